"""A process of many clients: `python -m faults.clients PLAN`, told what to do over stdin, one line of JSON each.

Load is open: calls begin at a fixed rate, whether or not earlier ones have ended, and their latency counts from when
they were due. A net that stalls so has all calls wait that it made wait, and not only those that were lucky.
"""

import asyncio
import contextlib
import importlib
import sys
from collections.abc import Sequence
from time import monotonic, process_time
from typing import Any, Final, Literal

import msgspec

from braidmq.lab.simulation.payload import payload_of
from braidmq.lab.simulation.record import Call, Error, Outage, Reply
from faults.caller import Caller, Callers
from faults.journal import Journal

FLUSH_S: Final = 0.25

TICK_S: Final = 0.05

STARVED_S: Final = 0.1
"""A process that is so late, and did not spend the time itself, was kept from the processor."""

END_S: Final = 2.0
"""How long after the last deadline a call may end before it counts as lost."""

ATTEMPTS: Final = 3
"""The default of Settings."""


class Plan(msgspec.Struct):
    """What this process is.

    Attributes:
        process: its name.
        journal: the directory of its journal.
        callers: `module:name` of a `Callers`.
        clients: the argument of each caller, by the client's name.
        payload_bytes: the size of each payload.
    """

    process: str
    journal: str
    callers: str
    clients: dict[str, str]
    payload_bytes: int = 4096


class Order(msgspec.Struct):
    """What to do: call `rate` times per second from now on, stop that, or call as fast as it goes for `duration_s`."""

    do: Literal["begin", "stop", "peak"]
    rate: float = 0.0
    timeout_s: float = 5.0
    duration_s: float = 0.0
    in_flight: int = 0


class Answer(msgspec.Struct):
    """What has been done: how many calls have ended so far, or per second."""

    calls: int = 0
    rate: float = 0.0


class Clients:
    """The callers and their load."""

    def __init__(self, plan: Plan, callers: Sequence[Caller]) -> None:
        self._plan = plan
        self._callers = dict(zip(plan.clients, callers, strict=True))
        self._journal = Journal(plan.journal, Call, plan.process)
        self._pauses = Journal(plan.journal, Outage, plan.process)
        self._calls = 0
        self._pending: dict[asyncio.Task[None], Call] = {}
        self._drivers: list[asyncio.Task[None]] = []
        self._timeout_s = 0.0

    def begin(self, rate: float, timeout_s: float) -> None:
        """Call at `rate` in all from now on, spread evenly over the clients and over time."""
        for driver in self._drivers:
            driver.cancel()
        self._drivers.clear()
        self._timeout_s = timeout_s
        interval_s, now = len(self._callers) / rate, monotonic()
        for number, name in enumerate(self._callers):
            due = now + interval_s * number / len(self._callers)
            self._drivers.append(asyncio.ensure_future(self._drive(name, due, interval_s)))
        self._drivers.append(asyncio.ensure_future(self._flush()))

    async def stop(self) -> None:
        """Begin no more calls, and wait until all have ended."""
        for driver in self._drivers:
            driver.cancel()
        await asyncio.gather(*self._drivers, return_exceptions=True)
        self._drivers.clear()
        if self._pending:
            await asyncio.wait(self._pending, timeout=self._timeout_s + END_S)
        for call in self._pending.values():
            self._journal.add(call)
        self._journal.flush()
        self._pauses.flush()

    async def peak(self, duration_s: float, in_flight: int) -> float:
        """Call all the time, `in_flight` calls at once; return how many replies came each second."""
        replies, end = 0, monotonic() + duration_s

        async def call(caller: Caller, number: int) -> None:
            nonlocal replies
            while monotonic() < end:
                key = f"peak-{number}-{replies}"
                outcome = await caller.call(key, payload_of(key, self._plan.payload_bytes), 5.0)
                replies += isinstance(outcome, Reply) and monotonic() < end

        callers = list(self._callers.values())
        await asyncio.gather(*(call(callers[number % len(callers)], number) for number in range(in_flight)))
        return replies / duration_s

    @property
    def calls(self) -> int:
        """How many calls have ended."""
        return self._calls

    async def _drive(self, client: str, due: float, interval_s: float) -> None:
        while True:
            await asyncio.sleep(max(0.0, due - monotonic()))
            call = Call(f"{client}-{due:.6f}", client, due, due + self._timeout_s, ATTEMPTS)
            task = asyncio.ensure_future(self._call(call, self._callers[client]))
            self._pending[task] = call
            due += interval_s

    async def _call(self, call: Call, caller: Caller) -> None:
        payload = payload_of(call.key, self._plan.payload_bytes)
        call.deadline = monotonic() + self._timeout_s  # not when the task was made: a starved process is late with it
        outcome = await caller.call(call.key, payload, self._timeout_s)
        call.ends = [(monotonic(), outcome)]
        call.id = outcome.id if isinstance(outcome, Error) else outcome.original_id
        self._calls += 1
        self._journal.add(call)
        task = asyncio.current_task()
        assert task is not None
        del self._pending[task]

    async def watch(self) -> None:
        """Write down when this process was kept from the processor: nothing can end then, in time or not."""
        while True:
            began, spent = monotonic(), process_time()
            await asyncio.sleep(TICK_S)
            late_s = monotonic() - began - TICK_S
            if late_s > STARVED_S and process_time() - spent < late_s / 2:
                for client in self._callers:
                    self._pauses.add(Outage(client, "pause", began, monotonic()))

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            self._journal.flush()


async def obey(clients: Clients, order: Order) -> Answer:
    """Do what was ordered."""
    if order.do == "begin":
        clients.begin(order.rate, order.timeout_s)
    elif order.do == "stop":
        await clients.stop()
    else:
        return Answer(rate=await clients.peak(order.duration_s, order.in_flight))
    return Answer(clients.calls)


def say(answer: Answer) -> None:
    """Write a line to stdout."""
    print(msgspec.json.encode(answer).decode(), flush=True)


async def serve(plan: Plan) -> None:
    """Do what is told until stdin ends."""
    module, _, name = plan.callers.partition(":")
    connect: Callers = getattr(importlib.import_module(module), name)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with connect(list(plan.clients.values())) as callers:
        clients = Clients(plan, callers)
        watch = asyncio.ensure_future(clients.watch())
        say(Answer())
        async for line in lines:
            say(await obey(clients, msgspec.json.decode(line, type=Order)))
        watch.cancel()


def run(main: Any) -> None:
    """Run a coroutine, on uvloop where it is installed."""
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.run(main)
        return
    asyncio.run(main)


if __name__ == "__main__":
    run(serve(msgspec.json.decode(sys.argv[1], type=Plan)))
