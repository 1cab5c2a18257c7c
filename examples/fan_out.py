"""Many calls at once: they spread over all workers and brokers, and each has an end of its own.

Run it:   braidmq serve pricing:services --join net/orders.braid          (once, or on several machines)
          python fan_out.py net/shop.braid 1000

A node has 256 calls on their way at once (`in_flight_max`), and lets further ones wait: no semaphore is needed.
"""

import asyncio
import sys

from braidmq import Node, RequestError


async def price(node: Node, quantity: int, timeout_s: float) -> int:
    reply = await node.request("pricing", str(quantity).encode(), timeout=timeout_s)
    return int(reply.payload)


async def main(join_file: str, count: int) -> int:
    async with Node(join_file) as node:
        calls = [price(node, quantity, timeout_s=30.0) for quantity in range(1, count + 1)]  # all have the same 30 s
        # With return_exceptions, one that fails leaves the others alone. An asyncio.TaskGroup would end them all.
        ends = await asyncio.gather(*calls, return_exceptions=True)
    prices = [end for end in ends if isinstance(end, int)]
    failed = [end for end in ends if isinstance(end, RequestError)]
    bugs = [end for end in ends if not isinstance(end, int | RequestError)]
    if bugs:
        raise bugs[0]
    print(f"{len(prices)} prices, {sum(prices)} in all; {len(failed)} failed")
    for error in failed[:3]:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]))))
