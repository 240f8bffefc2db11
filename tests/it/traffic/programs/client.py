"""Talks to app.py on the port that it is given, and tells what came of it: the same
whether something stands between or not."""

import asyncio
import hashlib
import json
import random
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

PORT = int(sys.argv[1])


def tell(**seen):
    print(json.dumps(seen, sort_keys=True), flush=True)


def known(message):
    data = message.encode() if isinstance(message, str) else message
    return [type(message).__name__, len(data), hashlib.sha256(data).hexdigest()]


async def echo(path, messages, **options):
    async with connect(
        f"ws://web.shop.localhost{path}",
        host="127.0.0.1",
        port=PORT,
        subprotocols=["chat"],
        max_size=4 << 20,
        **options,
    ) as socket:
        answer = socket.response.headers
        tell(
            path=path,
            accepted=answer.get("Sec-WebSocket-Accept") is not None,
            extensions=answer.get("Sec-WebSocket-Extensions"),
            subprotocol=socket.subprotocol,
        )
        for message in messages:
            await socket.send(message)
            tell(path=path, echoed=known(await socket.recv()))
        pong = await socket.ping(b"here")
        await pong
        tell(path=path, ponged=True)
        await socket.close(4001, "enough of it")
        tell(path=path, code=socket.close_code, reason=socket.close_reason)


async def closed(code, reason):
    path = f"/close/{code}/{reason}"
    async with connect(
        f"ws://web.shop.localhost{path}", host="127.0.0.1", port=PORT, subprotocols=["chat"]
    ) as socket:
        try:
            await socket.recv()
        except ConnectionClosed as error:
            tell(path=path, code=error.rcvd.code, reason=error.rcvd.reason)


async def main():
    dice = random.Random(1)
    large = dice.randbytes(1 << 20)
    messages = [
        "",
        b"",
        "a word",
        "grüße 😀",
        large,
        "x" * (1 << 20),
        # In fragments, as who does not know the length beforehand sends them.
        ["one ", "two ", "three"],
        [large[:1000], large[1000:70000], b"", large[70000:]],
    ]
    await echo("/echo/deflated", messages)
    await echo("/echo/plain", messages, compression=None)
    await echo("/echo/many", [f"message {number}" for number in range(200)])
    for code, reason in [(1000, "done"), (1001, "away"), (1011, "broken"), (3000, "a"), (4999, "z")]:
        await closed(code, reason)


asyncio.run(main())
