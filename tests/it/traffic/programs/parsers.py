"""A server and a client of h11, a strict parser of HTTP/1.1 that shares no code with
the proxy: whatever breaks a rule ends it with an error.

With no argument it serves, and prints its port; with a port it asks there, and prints
what came back."""

import json
import socket
import sys
import threading

import h11

# What the proxy adds, or the library by itself.
ADDED = {
    "via", "forwarded", "date", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    "x-forwarded-port", "x-real-ip", "x-request-id", "x-cosmos-hops",
}  # fmt: skip


def events(connection, stream, until):
    """All events up to one of a kind."""
    seen = []
    while not seen or not isinstance(seen[-1], until):
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(stream.recv(65536))
        else:
            seen.append(event)
    return seen


def written(headers):
    pairs = [(name.decode(), value.decode()) for name, value in headers]
    # Either side may end a connection when it likes.
    return sorted(
        pair for pair in pairs if pair[0] not in ADDED and pair != ("connection", "close")
    )


def known(seen):
    return {
        "headers": [written(one.headers) for one in seen if hasattr(one, "headers") and one.headers],
        "length": sum(len(one.data) for one in seen if isinstance(one, h11.Data)),
    }


def answer(stream):
    connection = h11.Connection(h11.SERVER)
    while True:
        head = events(connection, stream, (h11.Request, h11.ConnectionClosed))[-1]
        if isinstance(head, h11.ConnectionClosed):
            return
        if connection.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            stream.sendall(connection.send(go_on))
        seen = [head] + events(connection, stream, h11.EndOfMessage)
        told = json.dumps([head.method.decode(), head.target.decode(), known(seen)]).encode()
        path = head.target.decode()
        status = 204 if path == "/nothing" else 304 if path == "/known" else 200
        headers = [("x-a", "1"), ("x-a", "2")]
        end = h11.EndOfMessage()
        if path == "/chunked":
            headers += [("transfer-encoding", "chunked"), ("trailer", "x-sum")]
            end = h11.EndOfMessage(headers=[("x-sum", "7")])
        elif status == 200:
            headers.append(("content-length", str(len(told))))
        out = connection.send(h11.Response(status_code=status, headers=headers))
        if status == 200 and head.method != b"HEAD":
            for place in range(0, len(told), 100):
                out += connection.send(h11.Data(data=told[place : place + 100]))
        stream.sendall(out + connection.send(end))
        connection.start_next_cycle()


def serve():
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=answer, args=(stream,), daemon=True).start()


REQUESTS = [
    ("GET", "/", [], []),
    ("GET", "/a//b/../c?x=%20&y", [("accept", "*/*"), ("cookie", "a=1"), ("cookie", "b=2")], []),
    ("HEAD", "/", [], []),
    ("GET", "/nothing", [], []),
    ("GET", "/known", [], []),
    ("GET", "/chunked", [("te", "trailers"), ("connection", "te")], []),
    ("POST", "/", [("content-length", "10")], [b"0123456789"]),
    ("PUT", "/put", [("transfer-encoding", "chunked")], [b"a" * 70000, b"b", b"c" * 9]),
    ("POST", "/", [("content-length", "3"), ("expect", "100-continue")], [b"abc"]),
    ("DELETE", "/gone", [], []),
    ("OPTIONS", "*", [], []),
]


def ask(port):
    connection = h11.Connection(h11.CLIENT)
    stream = socket.create_connection(("127.0.0.1", port))
    for method, target, headers, body in REQUESTS:
        head = [("host", "web.shop.localhost"), *headers]
        stream.sendall(connection.send(h11.Request(method=method, target=target, headers=head)))
        first = []
        if ("expect", "100-continue") in headers:
            first = events(connection, stream, h11.InformationalResponse)
        for piece in body:
            stream.sendall(connection.send(h11.Data(data=piece)))
        stream.sendall(connection.send(h11.EndOfMessage()))
        seen = first + events(connection, stream, h11.EndOfMessage)
        text = b"".join(one.data for one in seen if isinstance(one, h11.Data)).decode()
        codes = [one.status_code for one in seen if hasattr(one, "status_code")]
        print(json.dumps([method, target, codes, known(seen)["headers"], text]))
        if connection.our_state is h11.MUST_CLOSE:
            connection = h11.Connection(h11.CLIENT)
            stream = socket.create_connection(("127.0.0.1", port))
        else:
            connection.start_next_cycle()


if len(sys.argv) > 1:
    ask(int(sys.argv[1]))
else:
    threading.Thread(target=serve, daemon=True).start()
    sys.stdin.read()
