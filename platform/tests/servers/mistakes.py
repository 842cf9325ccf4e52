"""A server that keeps every rule of the contract but the one that MISTAKE names."""
import os
import signal
import socket
import sys
import threading
import time

MISTAKE = os.environ.get("MISTAKE", "")
current = None
busy = 0
lock = threading.Lock()
stopping = threading.Event()
hoard = []
initialized = 0


def makes(name):
    return MISTAKE == name


def log(text):
    print(text, flush=not makes("buffered-log"))


def port():
    text = os.environ.get("FC_CUSTOM_LISTEN_PORT") or "9000"
    if text.isdigit():
        return int(text)
    if makes("silent-port"):
        return 0
    print(f"no port: {text}", flush=True)
    sys.exit(78)


def stop(*_):
    stopping.set()
    if makes("cuts-off"):
        os._exit(0)
    if makes("ignores-sigterm"):
        return
    threading.Thread(target=leave).start()


def leave():
    deadline = time.monotonic() + 5
    while busy and time.monotonic() < deadline:
        time.sleep(0.01)
    sys.stdout.flush()
    os._exit(0)


class Connection:
    def __init__(self, stream):
        self.stream = stream
        self.reader = stream.makefile("rb")
        self.served = 0

    def serve(self):
        try:
            # The reader holds the socket open until it is closed itself.
            with self.stream, self.reader:
                if makes("unused"):
                    self.stream.settimeout(2)
                while self.one():
                    self.served += 1
                    if makes("unused"):
                        self.stream.settimeout(None)
                    if makes("max-requests") and self.served == 100:
                        return
        except (OSError, ValueError, IndexError):
            if makes("dies-with-callers"):
                os._exit(3)

    def one(self):
        global busy
        began = time.monotonic()
        first = self.reader.readline(70_000)
        if makes("freeze") and self.served and time.monotonic() - began > 2:
            # A timer that went on during a freeze expires before the bytes that arrived meanwhile are read.
            return False
        line = first.decode("latin-1").split()
        if len(line) != 3 or not line[0].isalpha():
            if first and makes("dies-with-callers"):
                os._exit(3)
            return False
        with lock:
            busy += 1
        try:
            return self.respond(line[0], line[1])
        finally:
            with lock:
                busy -= 1

    def respond(self, method, target):
        global current, initialized
        headers, length = {}, 0
        while True:
            field = self.reader.readline(70_000).decode("latin-1")
            length += len(field)
            if not field.strip():
                break
            name, value = field.split(":", 1)
            headers[name.lower()] = value.strip()
        if makes("small-head") and length > 4096:
            return self.send(method, "431 Request Header Fields Too Large", "too large")
        body = self.body(int(headers.get("content-length") or 0))
        if body is None:
            return self.send(method, "413 Content Too Large", "too large")
        current = target
        identity = headers.get("x-fc-request-id", "")
        path, control = target.split("?")[0], headers.get("x-fc-control-path")
        if makes("unbalanced"):
            log(f"FC Invoke Start RequestId: {identity}")
        if makes("logs-secrets"):
            log(repr(headers))
        if makes("descriptors"):
            hoard.append(os.open("/dev/null", os.O_RDONLY))
        if makes("leak"):
            hoard.append(b"x" * 100_000)
        if control == "/initialize":
            initialized += 1
            return self.send(method, "500 Broken" if makes("initialize-once") and initialized > 1 else "200 OK", "")
        if control == "/pre-stop":
            return self.send(method, "500 Broken" if makes("pre-stop-fails") else "200 OK", "")
        if path == "/health":
            time.sleep(1.5 if makes("slow-health") else 0)
            return self.send(method, "200 OK", "")
        if path == "/fault":
            if makes("crash"):
                os._exit(4)
            return self.send(method, "500 Broken" if makes("unmarked") else "404 Failed", "it failed",
                             [] if makes("unmarked") else ["x-fc-status: 404"])
        if path == "/events":
            return self.events(method)
        if control == "/invoke" and not body and makes("no-empty-event"):
            return self.send(method, "500 Broken", "no JSON")
        if makes("mixed-up"):
            time.sleep(0.02)
        log(f"{method} {target[:80]}") if not makes("late-log") else None
        sent = self.send(method, "200 OK", f"{method} {current if makes('mixed-up') else target}\n")
        if makes("late-log"):
            time.sleep(0.12)
            log(f"{method} {target[:80]}")
        return sent

    def body(self, length):
        if makes("small-body") and length > 1 << 20:
            return None
        body = self.reader.read(length)
        if len(body) < length:
            raise ValueError("the caller has left")
        return body

    def events(self, method):
        events = "".join(f"data: {number}\n\n" for number in range(400))
        kind = ["Content-Type: text/event-stream"]
        if makes("whole-events"):
            return self.send(method, "200 OK", events, kind)
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(4):
            piece = f"data: {number} {'.' * 400}\n\n".encode()
            self.stream.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(0.02)
        self.stream.sendall(b"0\r\n\r\n")
        return True

    def send(self, method, status, text, fields=()):
        body = text.encode()
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
        if makes("big-response-head"):
            lines.append("X-Big: " + "b" * 9000)
        if makes("closes"):
            lines.append("Connection: close")
        if method == "HEAD" and not makes("head-body"):
            body = b""
        self.stream.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return not makes("closes") and not status.startswith("413")


if makes("needs-variables"):
    print("region", os.environ["FC_REGION"], flush=True)
if makes("writes-code"):
    with open("state.txt", "w") as file:
        file.write("state")
signal.signal(signal.SIGTERM, stop)
number = port()
try:
    listener = socket.create_server(("0.0.0.0", number), backlog=1024)
except OSError as error:
    print(f"cannot listen on {number}: {error}", flush=True)
    sys.exit(69)
log("listening")
sys.stdout.flush()
while True:
    stream, _ = listener.accept()
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = Connection(stream)
    if makes("one-worker"):
        connection.serve()
    else:
        threading.Thread(target=connection.serve, daemon=True).start()
