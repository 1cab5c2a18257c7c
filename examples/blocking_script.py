"""A script without asyncio: it asks for the price of each line of stdin.

Run it:   braidmq serve pricing:services --join net/orders.braid
          seq 1 5 | python blocking_script.py net/shop.braid

Its exit code is 0 if all was answered, and 1 if not. What an error means for a line is the caller's to decide: here, a
line that the service refuses is told, and the next one goes on; without brokers or workers there is no point in that.
"""

import sys

from braidmq import BraidError, ServiceError
from braidmq.blocking import Node


def main(join_file: str) -> int:
    refused = 0
    try:
        with Node(join_file) as node:
            for line in sys.stdin:
                try:
                    # `wait`: a worker that is just being restarted is no reason to give up.
                    reply = node.request("pricing", line.strip().encode(), timeout=10.0, wait=True)
                except ServiceError as error:  # the service has answered, with an error
                    print(f"{line.strip()}: {error.message}", file=sys.stderr)
                    refused += 1
                else:
                    print(line.strip(), reply.payload.decode())
    except BraidError as error:  # no broker, no worker, not in time, a wrong join file: the text says what to do
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        return 1
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
