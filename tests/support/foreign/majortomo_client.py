"""majortomo's client: calls SERVICE at ENDPOINT so many times, one after the other, and prints each reply."""

import sys

from majortomo.client import Client


def main(endpoint: str, service: str, count: str) -> None:
    with Client(endpoint) as client:
        for number in range(int(count)):
            client.send(service, b"%d" % number)
            print(client.recv_all_as_list(timeout=20.0), flush=True)


main(*sys.argv[1:])
