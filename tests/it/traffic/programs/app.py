"""An application as people write them, with the `websockets` of PyPI: it echoes,
closes as it is asked to, and tells what it saw of each connection."""

import asyncio
import json
import sys
from contextlib import suppress

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def tell(**seen):
    print(json.dumps(seen, sort_keys=True), flush=True)


async def handle(socket):
    path = socket.request.path
    tell(
        path=path,
        host=socket.request.headers["Host"],
        asked=socket.request.headers.get("Sec-WebSocket-Extensions"),
        extensions=[type(one).__name__ for one in socket.protocol.extensions],
        subprotocol=socket.subprotocol,
    )
    _, kind, *rest = path.split("/")
    if kind == "close":
        await socket.close(int(rest[0]), rest[1])
    with suppress(ConnectionClosed):
        while True:
            await socket.send(await socket.recv())
    tell(path=path, code=socket.close_code, reason=socket.close_reason)


async def main():
    async with serve(
        handle, "127.0.0.1", 0, subprotocols=["chat"], max_size=4 << 20, ping_interval=None
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
