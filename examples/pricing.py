"""A worker that tells prices. Other examples here call it.

Run it:   braidmq serve pricing:services --join net/orders.braid      or   python pricing.py net/orders.braid
Call it:  braidmq call pricing 14 --join net/shop.braid
"""

import sys

from braidmq import Node, Request, ServiceError, Services

services = Services()

UNIT_PRICE = 3


@services.service("pricing", concurrency=64)
async def pricing(request: Request) -> bytes:
    try:
        quantity = int(request.payload)
    except ValueError:
        raise ServiceError("INVALID_ARGUMENT", "the quantity must be a whole number") from None
    if quantity <= 0:
        raise ServiceError("INVALID_ARGUMENT", "the quantity must be positive", {"quantity": quantity})
    return str(quantity * UNIT_PRICE).encode()


if __name__ == "__main__":
    Node(sys.argv[1], services=services).run()  # until SIGTERM or SIGINT, then it drains
