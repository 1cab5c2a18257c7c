"""A client of majortomo, which knows nothing of BraidMQ: it calls a service with each line of its input.

Usage: python majortomo_client.py ENDPOINT SERVICE < LINES
"""

import sys

from majortomo.client import Client


def main(endpoint: str, service: str) -> None:
    with Client(endpoint) as client:
        for line in sys.stdin:
            client.send(service, line.rstrip("\n").encode())
            reply = client.recv_all_as_list(timeout=20.0)
            print(b" ".join(reply).decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
