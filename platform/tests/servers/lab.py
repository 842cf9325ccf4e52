"""A function for the gateway's tests: each path does one thing that a router has to cope with."""
import json
import os
import socket
import sys
import threading

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or 9000)
released = threading.Event()
connections = 0
requests = 0


class Connection:
    def __init__(self, stream, number):
        self.stream, self.number = stream, number
        self.reader = stream.makefile("rb")

    def serve(self):
        with self.stream:
            while self.one():
                pass

    def one(self):
        line = self.reader.readline().decode("latin-1").split()
        if len(line) != 3:
            return False
        method, target, _ = line
        global requests
        requests += 1
        headers = {}
        while (field := self.reader.readline().decode("latin-1").strip()):
            name, value = field.split(":", 1)
            headers[name.lower()] = value.strip()
        route = target.split("?")[0].strip("/").replace("-", "_").split("/")[0]
        return getattr(self, "on_" + route, self.on_default)(method, target, headers)

    def body(self, headers):
        self.trailers = {}
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self.chunks())
        return self.reader.read(int(headers.get("content-length") or 0))

    def chunks(self):
        while (size := int(self.reader.readline(), 16)) > 0:
            yield self.reader.read(size)
            self.reader.readline()
        self.trailers = {}
        while (field := self.reader.readline().decode("latin-1").strip()):
            name, value = field.split(":", 1)
            self.trailers[name.lower()] = value.strip()

    def send(self, text, status="200 OK", fields=()):
        body = text.encode()
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
        self.stream.sendall("\r\n".join(lines).encode() + body)
        return True

    def on_default(self, method, target, headers):
        body = self.body(headers)
        return self.send(json.dumps({
            "method": method, "target": target, "headers": headers, "connection": self.number,
            "body": body[:64].decode("latin-1"), "length": len(body), "instance": os.environ.get("FC_INSTANCE_ID"),
            "trailers": self.trailers,
        }), fields=["Server: lab", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "x-fc-secret: 1", "X-Own: yes"])

    def on_invoke(self, method, target, headers):
        if headers.get("x-fc-control-path") != "/invoke":
            return self.on_default(method, target, headers)
        body = self.body(headers)
        print("event", len(body), flush=True)
        if body == b"fail":
            return self.send("it failed", "404 Not Found", ["x-fc-status: 404"])
        return self.send(f"event of {len(body)}", "201 Created", ["X-Own: yes"])

    def on_initialize(self, method, target, headers):
        print("initialize", headers.get("x-fc-control-path"), flush=True)
        if os.environ.get("INITIALIZE"):
            return self.send("no database", os.environ["INITIALIZE"])
        return self.send("")

    def on_pre_stop(self, method, target, headers):
        print("pre-stop", flush=True)
        return self.send("")

    def on_health(self, method, target, headers):
        return self.send("", os.environ.get("HEALTH") or "200 OK")

    def on_release(self, method, target, headers):
        released.set()
        return self.send("released")

    def on_wait(self, method, target, headers):
        """Answers after /release, or after two seconds."""
        print("waiting", flush=True)
        released.wait(2)
        return self.send("waited")

    def on_never(self, method, target, headers):
        print("never", flush=True)
        threading.Event().wait(60)
        return False

    def on_stream(self, method, target, headers):
        """The first piece at once, the second after /release."""
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        released.wait(30)
        self.stream.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
        return True

    def on_upload(self, method, target, headers):
        """Echoes each piece as it arrives."""
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in self.chunks():
            self.stream.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.stream.sendall(b"0\r\n\r\n")
        return True

    def on_hops(self, method, target, headers):
        """Fields of this connection, an interim response, and trailers of both kinds."""
        self.stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Hop: 1\r\nConnection: X-Hop\r\n\r\n"
                            b"HTTP/1.1 200 OK\r\nConnection: X-Hop, X-End\r\nX-Hop: 1\r\nProxy-Connection: keep-alive\r\nTrailer: X-Sum\r\n"
                            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\nX-End: 1\r\nX-Fc-Status: 404\r\n\r\n")
        return True

    def on_requests(self, method, target, headers):
        """How many requests there have been, this one included."""
        return self.send(str(requests))

    def on_early(self, method, target, headers):
        """Refuses before it has read the body, and closes."""
        self.send("too much", "413 Content Too Large", ["Connection: close"])
        return False

    def on_both(self, method, target, headers):
        """A length beside chunks, where chunks count (RFC 9112 section 6.3)."""
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        return True

    def on_raw(self, method, target, headers):
        """Sends the body of the request as the response."""
        self.stream.sendall(self.body(headers))
        return False

    def on_half(self, method, target, headers):
        """Switches protocols and responds when the caller has ended what it sends."""
        self.stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n")
        received = b"".join(iter(lambda: self.stream.recv(4096), b""))
        self.stream.sendall(b"all of " + received)
        return False

    def on_socket(self, method, target, headers):
        """Takes the upgrade and echoes bytes."""
        self.stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while (piece := self.stream.recv(4096)):
            self.stream.sendall(piece)
        return False

    def on_big_head(self, method, target, headers):
        return self.send("big", fields=["X-Big: " + "b" * 9000])

    def on_broken(self, method, target, headers):
        self.stream.sendall(b"this is not HTTP\r\n\r\n")
        return False

    def on_drop(self, method, target, headers):
        """Answers once, then closes in silence: what a keep-alive time-out looks like to the router."""
        self.send("dropping")
        return False

    def on_memory(self, method, target, headers):
        """More than the function has; every page is touched."""
        hoard = [bytearray(b"x" * (16 << 20)) for _ in range(20)]
        threading.Event().wait(60)
        return len(hoard) == 0

    def on_crash(self, method, target, headers):
        print("crashing", flush=True)
        os._exit(7)


if os.environ.get("EARLY"):
    print(os.environ["EARLY"], flush=True)
listener = socket.create_server(("0.0.0.0", PORT), backlog=256)
print("lab is up", flush=True)
while True:
    stream, _ = listener.accept()
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connections += 1
    threading.Thread(target=Connection(stream, connections).serve, daemon=True).start()
