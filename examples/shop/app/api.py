"""The API of the shop: puts orders into the queue, and lists those that are packed.

    GET  /api/orders    {"waiting": 1, "packed": [{"item": "tea", "quantity": 2, ..}]}
    POST /api/orders    {"item": "tea", "quantity": 2}
"""

import json
import socket
from datetime import datetime, timezone
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import psycopg
import redis

import shop

PORT = 8000
LARGEST_BODY = 10_000


class Mistake(Exception):
    """What a client did wrong, in words for it."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path:
            case "/healthz":
                self.answer(HTTPStatus.OK, {"ok": True})
            case "/api/orders":
                self.answer_with(HTTPStatus.OK, list_orders)
            case _:
                self.answer(HTTPStatus.NOT_FOUND, {"error": f"nothing is at {self.path}"})

    def do_POST(self) -> None:
        match self.path:
            case "/api/orders":
                self.answer_with(HTTPStatus.ACCEPTED, lambda: place(self.order()))
            case _:
                self.answer(HTTPStatus.NOT_FOUND, {"error": f"nothing is at {self.path}"})

    def order(self) -> dict:
        """The order in the request's body."""
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST_BODY:
            raise Mistake("the order is too long")
        try:
            sent = json.loads(self.rfile.read(length))
        except ValueError as error:
            raise Mistake("the order is not JSON") from error
        match sent:
            # In Python, True is an integer, too.
            case {"item": str(item), "quantity": int(quantity)} if (
                item.strip() and 1 <= quantity <= 100 and quantity is not True
            ):
                return {"item": item.strip(), "quantity": quantity}
        raise Mistake("an order has an item, and a quantity from 1 to 100")

    def answer_with(self, status: HTTPStatus, work) -> None:
        try:
            self.answer(status, work())
        except Mistake as mistake:
            self.answer(HTTPStatus.BAD_REQUEST, {"error": str(mistake)})
        except redis.ConnectionError:
            self.answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the queue does not answer"})
        except psycopg.OperationalError:
            self.answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the database does not answer"})

    def answer(self, status: HTTPStatus, content: dict) -> None:
        body = json.dumps(content, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_) -> None:
        """Says nothing: `cosmos proxy logs` has a line for each request."""


def list_orders() -> dict:
    queue = shop.queue()
    with shop.database() as database:
        packed = database.execute("select * from orders order by packed_at desc limit 20").fetchall()
    return {
        "waiting": queue.llen(shop.WAITING) + queue.llen(shop.PACKING),
        "packed": packed,
        "api": socket.gethostname(),
    }


def place(order: dict) -> dict:
    placed = {"id": str(uuid4()), **order, "placed_at": datetime.now(timezone.utc).isoformat()}
    shop.queue().lpush(shop.WAITING, json.dumps(placed))
    print(f"took an order of {order['quantity']} x {order['item']}")
    return placed


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
