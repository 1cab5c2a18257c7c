"""pyzmq-mdp, with what newer versions of pyzmq have taken from it: its worker echoes, its client calls.

`client ENDPOINT SERVICE` calls with each line of its input, and prints each reply; `worker ENDPOINT SERVICE` serves until it is ended.
"""

import sys
from typing import Any

import zmq
from tornado.ioloop import IOLoop, PeriodicCallback
from zmq.eventloop import ioloop


class DelayedCallback:
    """Calls back once, after some time."""

    def __init__(self, callback: Any, after_ms: float) -> None:
        self._callback, self._after_s = callback, after_ms / 1_000

    def start(self) -> None:
        IOLoop.current().call_later(self._after_s, self._callback)

    def stop(self) -> None:
        self._after_s = float("inf")


for name, value in (("DelayedCallback", DelayedCallback), ("IOLoop", IOLoop), ("PeriodicCallback", PeriodicCallback)):
    setattr(ioloop, name, value)

from mdp.client import mdp_request  # noqa: E402 - what it imports had to be there
from mdp.worker import MDPWorker  # noqa: E402


class Echo(MDPWorker):
    """Echoes."""

    def on_request(self, msg: list[bytes]) -> None:
        self.reply(msg)


def main(role: str, endpoint: str, service: str) -> None:
    context = zmq.Context()
    if role == "worker":
        worker = Echo(context, endpoint, service.encode())
        IOLoop.current().start()
        worker.shutdown()
        return
    for line in sys.stdin:
        socket = context.socket(zmq.REQ)
        socket.connect(endpoint)
        print(mdp_request(socket, service.encode(), [line.rstrip("\n").encode()], 20), flush=True)
        socket.close()


main(*sys.argv[1:])
