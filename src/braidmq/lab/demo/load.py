"""A client of the demo, as a process: ``python -m braidmq.lab.demo.load ORDERS``.

It issues requests at a fixed rate whether or not answers come (open loop), checks every reply byte for byte, and
writes its totals to stdout as JSON lines. On stdin it is told ``go``, ``killed TIME`` and ``stop``; after the last
request has ended it waits for SIGTERM.
"""

import asyncio
import logging
import os
import signal
import sys
from typing import Final

import msgspec

from braidmq.errors import BraidError, RequestError
from braidmq.host.loggers import own_logger
from braidmq.lab.demo.plan import IN_FLIGHT_MAX, PAYLOAD_BYTES
from braidmq.lab.demo.service import SERVICE, SETTINGS, stamped
from braidmq.lab.demo.tally import Stage, Tally
from braidmq.lab.pace import Pace
from braidmq.node import Node
from braidmq.stderr import StderrHandler

_LOG = own_logger("braidmq.demo.load")

REPORT_S: Final = 0.2
"""From one line of totals to the next."""

PAUSE_S_MAX: Final = 0.05
"""How late a client that has nothing to issue for long notices ``stop``."""

PROBE_S: Final = 0.1
"""Pause after a request that failed before the client was ready: the workers may be starting still."""

LOGGED_MAX: Final = 20
"""Requests without a reply that are described in the log; the totals count all."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a client is to do.

    Attributes:
        join: its join file.
        brokers: those through which it must have had a reply before it is ready.
        rate: requests per second.
        timeout_s: of each request.
        ready_s: how long it may take to be ready.
    """

    join: str
    brokers: list[str]
    rate: float
    timeout_s: float
    ready_s: float


class Load:
    """Issues the requests and keeps the tally."""

    def __init__(self, node: Node, orders: Orders) -> None:
        self._node = node
        self._orders = orders
        self._now = asyncio.get_running_loop().time
        self._tally = Tally(node.name)
        self._calls: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._unlogged = LOGGED_MAX

    async def get_ready(self) -> None:
        """Return once there has been a reply through every broker. These requests do not count."""
        await asyncio.gather(*map(self._reach, self._orders.brokers))
        self._report(Stage.READY)

    def on_kill(self, at: float) -> None:
        """Note that a broker was killed."""
        self._tally.on_kill(at)

    def stop(self) -> None:
        """Issue no more requests."""
        self._stopping = True

    async def run(self) -> None:
        """Issue requests until `stop`, wait until the last one has ended, and report all the while."""
        async with asyncio.TaskGroup() as tasks:
            issuing = tasks.create_task(self._issue())
            while not issuing.done() or self._tally.open:
                await asyncio.sleep(REPORT_S)
                self._tally.expire(self._now())
                self._report(Stage.RUNNING)
        self._report(Stage.DONE)

    async def _reach(self, broker: str) -> None:
        payload = os.urandom(PAYLOAD_BYTES)
        while True:
            try:
                reply = await self._node.request(SERVICE, payload, timeout=self._orders.ready_s, via=broker)
            except RequestError as error:
                _LOG.info("not ready: %s", error)
                await asyncio.sleep(PROBE_S)
                continue
            if reply.payload != stamped(payload):
                raise BraidError(f"the first reply through {broker} is wrong")
            return

    async def _issue(self) -> None:
        pace = Pace(self._now(), self._orders.rate)
        while not self._stopping:
            for due_at in pace.take(self._now()):
                self._begin(due_at)
            await asyncio.sleep(min(PAUSE_S_MAX, pace.wait_s(self._now())))

    def _begin(self, due_at: float) -> None:
        if self._tally.open >= IN_FLIGHT_MAX:
            self._tally.hold_back()
            return
        payload = os.urandom(PAYLOAD_BYTES)
        number = self._tally.issue(stamped(payload), due_at=due_at, deadline=self._now() + self._orders.timeout_s)
        call = asyncio.get_running_loop().create_task(self._call(number, payload))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _call(self, number: int, payload: bytes) -> None:
        try:
            reply = await self._node.request(SERVICE, payload, timeout=self._orders.timeout_s)
        except BraidError as error:
            self._tally.on_error(number, type(error).__name__, self._now())
            self._describe(number, error)
        except Exception as error:
            self._tally.on_untyped(number)
            self._describe(number, error)
            raise
        else:
            self._tally.on_reply(number, reply, self._now())

    def _describe(self, number: int, error: Exception) -> None:
        if self._unlogged:
            self._unlogged -= 1
            attempts = getattr(error, "attempts", "?")
            executed = getattr(error, "maybe_executed", "?")
            _LOG.warning("request %d: %r, attempts=%s, maybe_executed=%s", number, error, attempts, executed)

    def _report(self, stage: Stage) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(self._tally.snapshot(stage, self._now())) + b"\n")
        sys.stdout.buffer.flush()


async def serve_orders(orders: Orders) -> int:
    """Do what `orders` say and what stdin says; return the exit code: 0 only if it was told to end after the load."""
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, commands.feed_eof)
    running: asyncio.Task[None] | None = None
    async with Node(orders.join, settings=SETTINGS) as node:
        load = Load(node, orders)
        await load.get_ready()
        while line := (await commands.readline()).decode():
            match line.split():
                case ["go"]:
                    running = loop.create_task(load.run())
                case ["killed", at]:
                    load.on_kill(float(at))
                case ["stop"]:
                    load.stop()
    return 0 if running is not None and running.done() and running.exception() is None else 1


def main(orders: str) -> int:
    """Run a client; `orders` is an Orders in JSON."""
    logging.basicConfig(handlers=[StderrHandler()], level="INFO")
    try:
        return asyncio.run(serve_orders(msgspec.json.decode(orders, type=Orders)))
    except BraidError as error:
        _LOG.error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
