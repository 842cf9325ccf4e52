"""The page's Python example, with a switch for each mistake that people make."""
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = os.environ.get("HOST") or "0.0.0.0"
PORT = int(os.environ.get("OTHER_PORT") or os.environ.get("FC_CUSTOM_LISTEN_PORT") or 9000)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one write.
    wbufsize = -1
    timeout = float(os.environ["KEEP_ALIVE"]) if os.environ.get("KEEP_ALIVE") else None

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        while length > 0:
            length -= len(self.rfile.read(min(length, 65536)))
        text = f"{self.command} {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

    def log_message(self, text, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024


if os.environ.get("EXIT"):
    print("nothing to serve", flush=True)
    sys.exit(int(os.environ["EXIT"]))
print("starting", flush=True)
time.sleep(float(os.environ.get("DELAY") or 0))
server = Server((HOST, PORT), Handler)
print(f"listening on {HOST}:{PORT}", flush=True)
server.serve_forever()
