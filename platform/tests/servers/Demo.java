import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** The page's Java example, with a switch for each mistake that people make. */
public class Demo {
    public static void main(String[] arguments) throws Exception {
        if (!environment("EXIT", "").isEmpty()) {
            System.out.println("nothing to serve");
            System.exit(Integer.parseInt(environment("EXIT", "")));
        }
        // The JDK's server reads these when it is first used.
        String idle = environment("KEEP_ALIVE", "86400");
        System.setProperty("sun.net.httpserver.idleInterval", idle);
        System.setProperty("sun.net.httpserver.maxIdleConnections", "1000");
        System.setProperty("sun.net.httpserver.clockTick", "500");
        System.out.println("starting");
        Thread.sleep((long) (Double.parseDouble(environment("DELAY", "0")) * 1000));
        String host = environment("HOST", "0.0.0.0");
        int port = Integer.parseInt(environment("OTHER_PORT", environment("FC_CUSTOM_LISTEN_PORT", "9000")));
        HttpServer server = HttpServer.create(new InetSocketAddress(host, port), 1024);
        server.createContext("/", Demo::answer);
        server.setExecutor(Executors.newCachedThreadPool());
        server.start();
        System.out.println("listening on " + host + ":" + port);
    }

    private static void answer(HttpExchange exchange) throws IOException {
        exchange.getRequestBody().readAllBytes();
        String line = exchange.getRequestMethod() + " " + exchange.getRequestURI() + "\n";
        byte[] text = line.getBytes(StandardCharsets.UTF_8);
        boolean isHead = exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(200, isHead ? -1 : text.length);
        if (!isHead) {
            exchange.getResponseBody().write(text);
        }
        exchange.close();
    }

    private static String environment(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
