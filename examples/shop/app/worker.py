"""The worker of the shop: packs the orders of the queue, and writes them down.

An order is in a second list while it is packed, and leaves that only once it is
in the database. So a worker that is killed loses none, and if an order is packed
twice, it is written down once.

Nothing is tried again here: if the queue or the database is gone, the worker
ends with an error, and Cosmos starts it until they are back.
"""

import json
import os
import socket
import time

import shop

SECONDS = float(os.environ.get("SECONDS_PER_ORDER", "0"))


def main() -> None:
    queue = shop.queue()
    # What a worker that was killed had in its hands.
    while queue.lmove(shop.PACKING, shop.WAITING, "LEFT", "RIGHT"):
        pass
    print("waiting for orders")
    while True:
        text = queue.blmove(shop.WAITING, shop.PACKING, 0, "RIGHT", "LEFT")
        pack(json.loads(text))
        queue.lrem(shop.PACKING, 1, text)


def pack(order: dict) -> None:
    time.sleep(SECONDS)
    with shop.database() as database:
        database.execute(
            """
            insert into orders (id, item, quantity, placed_at, packed_by)
            values (%(id)s, %(item)s, %(quantity)s, %(placed_at)s, %(packed_by)s)
            on conflict do nothing
            """,
            {**order, "packed_by": socket.gethostname()},
        )
    print(f"packed {order['quantity']} x {order['item']}")


if __name__ == "__main__":
    main()
