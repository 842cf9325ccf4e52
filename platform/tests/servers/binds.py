"""A function that binds as BIND says, and prints what it sees of its machine."""
import json
import os
import signal
import socket
import sys

PORT = int(os.environ["FC_CUSTOM_LISTEN_PORT"])
HOST, _, ONLY = os.environ.get("BIND", "0.0.0.0").partition(" ")

print("sees", json.dumps({
    "process": os.getpid(), "user": os.getuid(), "directory": os.getcwd(), "tmp": os.listdir("/tmp"),
    "code": os.environ["FC_FUNC_CODE_PATH"],
}), flush=True)
if os.environ.get("DAEMON"):
    # Twice, so that the daemon leaves its group, its session and its parent.
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", os.environ["DAEMON"]])
        os._exit(0)
    os.wait()
if os.environ.get("EARLY_EXIT"):
    sys.exit(int(os.environ["EARLY_EXIT"]))
# Held back until it is waited for, however early it comes.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
listener = socket.socket(socket.AF_INET6 if ":" in HOST else socket.AF_INET)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if os.environ.get("SHARED"):
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
if ":" in HOST:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if ONLY else 0)
listener.bind((HOST, PORT))
listener.listen(64)
print("bound", flush=True)
if os.environ.get("LATE_EXIT"):
    # Until the probe has come: the kernel accepts connections that the program does not.
    listener.accept()
    if os.environ.get("LATE_SIGNAL"):
        signal.sigwait({signal.SIGUSR1})
    print("cannot load the model", flush=True)
    sys.exit(int(os.environ["LATE_EXIT"]))
while True:
    stream, peer = listener.accept()
    with stream:
        if stream.recv(65536):
            body = f"{peer[0]} {os.environ['FC_INSTANCE_ID']}".encode()
            stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
