"""A worker of majortomo, which knows nothing of BraidMQ: it answers with what it was asked.

Usage: python majortomo_worker.py ENDPOINT SERVICE HEARTBEAT_S
"""

import sys

from majortomo import error
from majortomo.worker import Worker


def main(endpoint: str, service: str, heartbeat_s: str) -> None:
    worker = Worker(endpoint, service, heartbeat_interval=float(heartbeat_s), heartbeat_timeout=4 * float(heartbeat_s))
    while True:
        worker.connect()
        print("registered", flush=True)
        try:
            while True:
                client, body = worker.wait_for_request()
                worker.send_reply_final(client, body)
        except error.Disconnected:
            continue


if __name__ == "__main__":
    main(*sys.argv[1:])
