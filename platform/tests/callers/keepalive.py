"""http.client sends bodies of all sizes, with a length and in chunks, and must keep its one connection."""
import http.client
import json
import sys

connection = http.client.HTTPConnection(sys.argv[1], timeout=60)
connection.connect()
own = connection.sock.getsockname()
for number in range(100):
    size = [0, 10, 70_000, 200_000][number % 4]
    if number % 3 == 0:
        pieces = (b"x" * (size // 2) for _ in range(2))
        connection.request("POST", "/", body=pieces, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    else:
        connection.request("POST", "/", body=b"x" * size)
    response = connection.getresponse()
    seen = json.loads(response.read())
    assert (response.status, seen["length"]) == (200, size), (number, response.status, seen)
    assert connection.sock and connection.sock.getsockname() == own, f"a new connection at {number}"
print("one connection")
