"""A process with one node that calls: `python -m faults.promises.caller PLAN`, told what to do over stdin.

An order is a line of JSON, and is answered by one when it is done. How a call has ended is with the kernel before
anything follows from it.
"""

import asyncio
import random
import sys
from time import monotonic, sleep
from typing import Final

import msgspec

from braidmq import BraidError, Node
from braidmq.lab.simulation.record import Call, Error
from faults.caller import outcome_of
from faults.journal import Journal
from faults.promises import jobs
from faults.promises.jobs import Job
from faults.promises.orders import Answer, Ask, Begin, Block, Cancel, Drive, Order, Pace, Plan, When

TURNS: Final[dict[When, int]] = {"made": 1, "sent": 2}
"""How many turns of the event loop a call takes until it is made, and until its request has left the node."""

LINE_BYTES_MAX: Final = 64 * 1024


class CallingNode:
    """The node, its calls, and its journal."""

    def __init__(self, plan: Plan, node: Node) -> None:
        self._plan = plan
        self._node = node
        self._journal = Journal(plan.directory, Call, plan.process)
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._drivers: set[asyncio.Task[None]] = set()
        self._begun = 0
        self._stall_s = 0.0

    async def obey(self, order: Order) -> Answer:
        """Do what is told."""
        if isinstance(order, Begin):
            for number in range(order.count):
                self._begin(f"{order.prefix}{number}", order.ask)
            if order.when == "answered":
                self._stall_s = order.stall_s
            else:
                for _turn in range(TURNS[order.when]):
                    await asyncio.sleep(0)
                sleep(order.stall_s)  # noqa: ASYNC251 - a program that computes
        elif isinstance(order, Drive):
            for lane in range(order.in_flight):
                self._drivers.add(asyncio.create_task(self._drive(order, lane, monotonic() + order.for_s)))
        elif isinstance(order, Pace):
            self._drivers.add(asyncio.create_task(self._pace(order)))
        elif isinstance(order, Block):
            sleep(order.for_s)  # noqa: ASYNC251 - a program that computes
        elif isinstance(order, Cancel):
            for key, task in self._calls.items():
                if key.startswith(order.prefix):
                    task.cancel()
        else:
            await self._wait(order.for_s)
        return Answer(self._begun, len(self._calls))

    def _begin(self, key: str, ask: Ask) -> "asyncio.Task[None]":
        self._begun += 1
        task = self._calls[key] = asyncio.create_task(self._call(key, ask))
        task.add_done_callback(lambda _task: self._calls.pop(key))
        return task

    async def _call(self, key: str, ask: Ask) -> None:
        now = monotonic()
        call = Call(key, self._plan.process, now, now + ask.timeout_s, ask.attempts or self._node.settings.attempts)
        payload = jobs.encode(Job(key, length_s(ask, key), ask.gated))
        try:
            outcome = await outcome_of(
                self._node.request(ask.service, payload, timeout=ask.timeout_s, attempts=ask.attempts, via=ask.via),
                bytes.decode,
            )
            call.ends = [(monotonic(), outcome)]
        except asyncio.CancelledError:
            call.given_up_at = monotonic()
        except BraidError as error:
            call.ends = [(monotonic(), Error(type(error).__name__, 0, maybe_executed=False, text=str(error)))]
        self._journal.add(call)
        self._journal.flush()
        stall_s, self._stall_s = self._stall_s, 0.0
        sleep(stall_s)  # noqa: ASYNC251 - a program that computes with the first answer

    async def _drive(self, order: Drive, lane: int, until: float) -> None:
        for number in range(lane, order.count, order.in_flight):
            if monotonic() >= until:
                return
            await asyncio.wait([self._begin(f"{order.prefix}{number}", order.ask)])

    async def _pace(self, order: Pace) -> None:
        began = monotonic()
        for number in range(int(order.rate * order.for_s)):
            await asyncio.sleep(max(0.0, began + number / order.rate - monotonic()))
            self._begin(f"{order.prefix}{number}", order.ask)

    async def _wait(self, for_s: float) -> None:
        until = monotonic() + for_s
        while (tasks := [*self._drivers, *self._calls.values()]) and monotonic() < until:
            await asyncio.wait(tasks, timeout=until - monotonic())
            self._drivers = {each for each in self._drivers if not each.done()}


def length_s(ask: Ask, key: str) -> float:
    """Return how long the job of a call takes."""
    rng = random.Random(key)
    long = rng.random() < ask.long_share
    return ask.work_s + rng.uniform(0.0, ask.spread_s) + (ask.long_s if long else 0.0)


async def serve(plan: Plan) -> None:
    """Do what is told until stdin ends."""
    lines = asyncio.StreamReader(LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with Node(plan.join) as node:
        await node.settled()
        calling = CallingNode(plan, node)
        print(msgspec.json.encode(Answer()).decode(), flush=True)
        async for line in lines:
            answer = await calling.obey(msgspec.json.decode(line, type=Order))
            print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(msgspec.json.decode(sys.argv[1], type=Plan)))
