"""A payment that is booked once, however often it is asked for: a worker, and a caller that does not give up.

Run it:   PAYMENTS_DB=payments.db braidmq serve payments:services --join net/orders.braid
Call it:  python payments.py net/shop.braid 4250                   prints the id, then the number of the booking
          python payments.py net/shop.braid 4250 ID                the same payment again, after whatever happened

A request may run twice: when its answer was lost, it is tried again, perhaps at another worker. So the booking is
stored together with who has asked and under which id, in one transaction. All workers share one database. Where the
booking is somebody else's, such as a bank's, hand the id on as its idempotency key.
"""

import os
import secrets
import sqlite3
import sys
from contextlib import closing

from braidmq import Reply, Request, RequestError, ServiceError, Services
from braidmq.blocking import Node

services = Services()

TRIES = 5

TABLE = """CREATE TABLE IF NOT EXISTS payments (
    number INTEGER PRIMARY KEY, sender TEXT NOT NULL, id BLOB NOT NULL, cents INTEGER NOT NULL, UNIQUE (sender, id)
)"""


@services.service("payment", concurrency=4)
def payment(request: Request) -> bytes:
    if not request.payload.isdigit():
        raise ServiceError("INVALID_ARGUMENT", "the amount must be a number of cents")
    key = (request.sender, request.id)  # unique in the net; it stays the same for all attempts
    with closing(sqlite3.connect(os.environ["PAYMENTS_DB"], timeout=request.remaining)) as db, db:  # one transaction
        db.execute(TABLE)
        db.execute("INSERT OR IGNORE INTO payments (sender, id, cents) VALUES (?, ?, ?)", (*key, int(request.payload)))
        number, cents = db.execute("SELECT number, cents FROM payments WHERE sender = ? AND id = ?", key).fetchone()
    if cents != int(request.payload):
        raise ServiceError("CONFLICT", "this id was used for another amount")
    return str(number).encode()


def pay(node: Node, cents: int, id_: bytes, *, again: bool = False) -> Reply:
    """Ask until there is an answer. The id makes all of it one payment; `again` says that it was asked for before."""
    for tried in range(1, TRIES + 1):
        try:
            return node.request(
                "payment", str(cents).encode(), timeout=5.0, wait=True, id=id_, possible_duplicate=again
            )
        except ServiceError:  # an answer, if not the one that was hoped for
            raise
        except RequestError as error:  # no answer
            if tried == TRIES:
                raise
            again = again or error.maybe_executed  # handlers have to know
    raise AssertionError


def new_id() -> bytes:
    id_ = secrets.token_bytes(16)
    return bytes((id_[0] & 0x7F,)) + id_[1:]  # the first bit of an id is 0


if __name__ == "__main__":
    again = len(sys.argv) > 3
    payment_id = bytes.fromhex(sys.argv[3]) if again else new_id()
    print("id", payment_id.hex(), flush=True)  # before anything is sent: whoever kills this program can go on
    with Node(sys.argv[1]) as shop:
        print("booking", pay(shop, int(sys.argv[2]), payment_id, again=again).payload.decode())
