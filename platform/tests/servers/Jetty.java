import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.AbstractHandler;
import org.eclipse.jetty.server.handler.StatisticsHandler;

/** Sends each body back while it still arrives: as people set Jetty up, or with SET_UP as the platform wants it. */
public class Jetty extends AbstractHandler {
    /** The platform keeps a connection for as long as it likes. */
    private static final int IDLE_MS = 86_400_000;
    /** 8 KB of fields and 4 KB of path may arrive, and the platform adds some. */
    private static final int HEAD_SIZE = 24 * 1024;
    private static final int STOP_MS = 9_000;

    public static void main(String[] arguments) throws Exception {
        boolean isSetUp = System.getenv("SET_UP") != null;
        Server server = new Server();
        HttpConfiguration configuration = new HttpConfiguration();
        if (isSetUp) {
            configuration.setRequestHeaderSize(HEAD_SIZE);
        }
        ServerConnector connector = new ServerConnector(server, new HttpConnectionFactory(configuration));
        connector.setPort(Integer.parseInt(System.getenv("FC_CUSTOM_LISTEN_PORT")));
        connector.setIdleTimeout(IDLE_MS);
        server.addConnector(connector);
        server.setHandler(new Jetty());
        if (isSetUp) {
            startWhole(server);
        } else {
            server.start();
        }
    }

    /** What is in flight ends before the server does, and a start that fails ends the program. */
    private static void startWhole(Server server) throws Exception {
        StatisticsHandler counting = new StatisticsHandler();
        counting.setHandler(server.getHandler());
        server.setHandler(counting);
        server.setStopTimeout(STOP_MS);
        try {
            server.start();
        } catch (IOException refused) {
            System.err.println("cannot start: " + refused);
            System.exit(1);
        }
        Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(server)));
    }

    private static void stop(Server server) {
        try {
            server.stop();
            Runtime.getRuntime().halt(0);
        } catch (Exception failed) {
            failed.printStackTrace();
        }
    }

    @Override
    public void handle(String target, Request base, HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        base.setHandled(true);
        InputStream from = request.getInputStream();
        OutputStream into = response.getOutputStream();
        byte[] part = new byte[8192];
        for (int length = from.read(part); length >= 0; length = from.read(part)) {
            into.write(part, 0, length);
            into.flush();
        }
    }
}
