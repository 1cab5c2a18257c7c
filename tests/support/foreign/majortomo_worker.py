"""majortomo's worker: echoes what SERVICE at ENDPOINT is asked, and registers again when it is told to."""

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


main(*sys.argv[1:])
