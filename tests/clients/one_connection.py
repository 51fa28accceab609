"""Many requests on one connection: bodies that nobody wants, chunked ones, answers without any."""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
connection.connect()
socket = connection.sock


def ask(method, path, status, body=None, chunked=False, **fields):
    fields = {name.replace("_", "-"): value for name, value in fields.items()}
    connection.request(method, path, body, fields, encode_chunked=chunked)
    response = connection.getresponse()
    content = response.read()
    assert response.status == status, (method, path, response.status, content)
    assert connection.sock is socket, f"{method} {path} cost the connection"
    return response, content


bob = {"Authorization": "Basic Ym9iOmh1bmdyeQ=="}
assert ask("GET", "/long.bin", 200)[1] == b"0123456789"
assert ask("HEAD", "/long.bin", 200)[0].getheader("Content-Length") == "10"
assert ask("GET", "/long.bin", 206, Range="bytes=2-4")[1] == b"234"
ask("GET", "/long.bin", 416, Range="bytes=20-")
tag = ask("GET", "/long.bin", 200)[0].getheader("ETag")
ask("GET", "/long.bin", 304, If_None_Match=tag)
ask("PUT", "/long.bin", 401, b"not allowed")
ask("PUT", "/~bob/made.txt", 201, b"made", **bob)
pieces = iter([b"in ", b"two pieces"])
ask("PUT", "/~bob/made.txt", 204, pieces, True, Transfer_Encoding="chunked", **bob)
assert ask("GET", "/~bob/made.txt", 200)[1] == b"in two pieces"
ask("PUT", "/~bob/made.txt", 412, b"lost", If_Match='"old"', **bob)
ask("DELETE", "/~bob/made.txt", 204, **bob)
ask("GET", "/~bob/made.txt", 404)
ask("GET", "/long.bin", 200, b"a body that nobody wants")
assert ask("OPTIONS", "*", 204)[0].getheader("Allow")
