"""A server that keeps every rule of the contract but the one that MISTAKE names; KIND makes it another right one."""
import os
import signal
import socket
import subprocess
import sys
import threading
import time

MISTAKE = os.environ.get("MISTAKE", "")
KIND = os.environ.get("KIND", "")
current = None
busy = 0
lock = threading.Lock()
serial = threading.Lock()
stopping = threading.Event()
hoard = []
initialized = 0
checked = 0
in_a_row, latest = 0, None
worked_at = float("-inf")


def makes(name):
    return MISTAKE == name


def is_kind(name):
    return KIND == name


def log(text):
    print(text, flush=not makes("buffered-log"))


def port():
    if makes("fixed-port"):
        return int(os.environ["BUILT_IN"])
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


def control_of(headers):
    return headers.get("x-fc-control-path")


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
                    # Longer than a caller on a busy machine takes to send what it connected for.
                    self.stream.settimeout(4)
                born = time.monotonic()
                while self.one():
                    self.served += 1
                    if makes("unused"):
                        self.stream.settimeout(None)
                    if makes("short-idle"):
                        self.stream.settimeout(2)
                    if makes("max-requests") and self.served == 100:
                        return
                    if MISTAKE in ("max-age", "slow-max-age") and time.monotonic() - born > 3:
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
            if first and makes("malformed-crash"):
                print("cannot parse the request line", flush=True)
                os._exit(5)
            return False
        with lock:
            busy += 1
        try:
            return self.respond(line[0], line[1])
        finally:
            with lock:
                busy -= 1

    def respond(self, method, target):
        global current, initialized, checked, in_a_row, latest, worked_at
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
        if makes("small-together") and length + len(target) > 10_000:
            return self.send(method, "431 Request Header Fields Too Large", "too large")
        if is_kind("echo") and control_of(headers) == "/invoke":
            return self.echo(int(headers.get("content-length") or 0))
        body = self.body(int(headers.get("content-length") or 0))
        if body is None:
            return self.send(method, "413 Content Too Large", "too large")
        current = target
        identity = headers.get("x-fc-request-id", "")
        path, control = target.split("?")[0], control_of(headers)
        if makes("unbalanced"):
            log(f"FC Invoke Start RequestId: {identity}")
        if makes("logs-secrets"):
            log(repr(headers))
        if makes("descriptors") and path == "/" and self.served < 40:
            # Not more on a connection: the limit of the process must not end it before a check looks at the leak.
            hoard.append(os.open("/dev/null", os.O_RDONLY))
        if makes("wears-out"):
            # One check sends more than this on one connection while no other has a call, however quick the machine is.
            in_a_row = in_a_row + 1 if path == "/" and self is latest else 0
            latest = self
            if in_a_row == 1200:
                print("worn out", flush=True)
                os._exit(9)
        if makes("zombies"):
            hoard.append(subprocess.Popen(["true"]).pid)
            subprocess._active.clear()
        if makes("writes-later"):
            with open("requests.log", "a") as file:
                file.write(target + "\n")
        if makes("serial") and path != "/health":
            with serial:
                time.sleep(0.1)
        if makes("slow-max-age"):
            # A thousand requests take longer than that age, and each connection has as many of them as the other.
            time.sleep(0.1)
        if is_kind("no-root") and path == "/":
            time.sleep(60)
        if is_kind("slow") and path == "/":
            time.sleep(6)
        if makes("leak") and len(hoard) < 1500:
            hoard.append(b"x" * 400_000)
        if control == "/initialize":
            initialized += 1
            return self.send(method, "500 Broken" if makes("initialize-once") and initialized > 1 else "200 OK", "")
        if control == "/pre-stop":
            return self.send(method, "500 Broken" if makes("pre-stop-fails") else "200 OK", "")
        if path == "/health":
            time.sleep(1.5 if makes("slow-health") else 0)
            checked += 1
            is_sick = makes("sick-health") and time.monotonic() - worked_at < 2
            if is_sick or is_kind("moody-health") and checked % 3 == 0:
                return self.send(method, "503 Busy", "")
            return self.send(method, "200 OK", "")
        if path == "/fault":
            if makes("crash"):
                os._exit(4)
            return self.send(method, "500 Broken" if makes("unmarked") else "404 Failed", "it failed",
                             [] if makes("unmarked") else ["x-fc-status: 404"])
        if makes("route-hidden") and path == "/invoke" and control == "/http-invoke":
            return self.send(method, "500 Broken", "not an event")
        if makes("no-method") and method == "PATCH":
            return self.send(method, "400 Bad Request", "no such method")
        if path == "/events":
            return self.events(method)
        if control == "/invoke" and not body and makes("no-empty-event"):
            return self.send(method, "500 Broken", "no JSON")
        worked_at = time.monotonic()
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

    def echo(self, length):
        """Sends each piece back before it reads the next, as Go's io.Copy(w, r.Body) does."""
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        while length:
            piece = self.reader.read1(min(length, 65536))
            if not piece:
                return False
            self.stream.sendall(piece)
            length -= len(piece)
        return True

    def events(self, method):
        events = "".join(f"data: {number}\n\n" for number in range(400))
        kind = ["Content-Type: text/event-stream"]
        if makes("whole-events"):
            return self.send(method, "200 OK", events, kind)
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        if makes("held-events"):
            # Small, and all in one chunk at the end: what a compressing middleware does.
            time.sleep(0.2)
            self.chunk(b"data: 1\n\ndata: 2\n\ndata: 3\n\n")
        elif is_kind("quick-events"):
            # All at once, but each by itself: there was nothing to wait for.
            for number in range(3):
                self.chunk(b"data: %d\n\n" % number)
        elif is_kind("late-event"):
            time.sleep(0.3)
            self.chunk(b"data: only\n\n")
        else:
            number = 0
            while number < 4 or is_kind("endless-events"):
                self.chunk(f"data: {number}\n\n".encode())
                number += 1
                time.sleep(0.02)
        self.stream.sendall(b"0\r\n\r\n")
        return True

    def chunk(self, piece):
        self.stream.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))

    def send(self, method, status, text, fields=()):
        body = text.encode()
        lines = [f"HTTP/1.1 {status}", *([] if makes("endless") else [f"Content-Length: {len(body)}"]), *fields]
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
if is_kind("slow-start"):
    time.sleep(3)
signal.signal(signal.SIGTERM, stop)
number = port()
try:
    listener = socket.create_server(("0.0.0.0", number), backlog=1024)
except OSError as error:
    print(f"cannot listen on {number}: {error}", flush=True)
    sys.exit(69)
log("listening")
sys.stdout.flush()
if makes("ends-early"):
    print("no license", flush=True)
    os._exit(7)
while True:
    stream, _ = listener.accept()
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = Connection(stream)
    if makes("one-worker"):
        connection.serve()
    else:
        threading.Thread(target=connection.serve, daemon=True).start()
