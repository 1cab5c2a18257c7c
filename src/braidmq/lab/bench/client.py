"""A client of a benchmark, as a process: ``python -m braidmq.lab.bench.client MEMBER``.

It reads orders from stdin and writes its answers to stdout. A closed loop shows how much goes through when clients wait
for each answer; an open loop shows how long a call takes that begins when it is due, whatever has become of the others
(no coordinated omission).
"""

import array
import asyncio
import importlib
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Final, cast

import msgspec

from braidmq.lab.bench.ends.caller import Call, Ends, run
from braidmq.lab.bench.orders import Answer, Member, Order
from braidmq.lab.pace import Pace

READY_S: Final = 30.0
"""How long it may take until a call succeeds."""

PROBE_S: Final = 0.05

OPEN_S_MAX: Final = 5.0
"""How long after the last call of an open loop has begun the others may take."""


class Load:
    """The calls of one order."""

    def __init__(self, call: Call, payload: bytes) -> None:
        self._call = call
        self._payload = payload
        self._problem = ""
        self._failed = 0
        self.latencies = array.array("d")

    async def closed(self, in_flight: int, duration_s: float) -> Answer:
        """Keep `in_flight` calls under way."""
        began = perf_counter()
        end = began + duration_s
        await asyncio.gather(*(self._go_on(end) for _ in range(in_flight)))
        return self._answer(perf_counter() - began)

    async def open(self, rate: float, duration_s: float) -> Answer:
        """Begin `rate` calls each second; latencies count from when a call was due."""
        began = perf_counter()
        pace = Pace(began, rate, int(rate * duration_s))
        calls: set[asyncio.Task[None]] = set()
        while not pace.done:
            for due in pace.take(perf_counter()):
                task = asyncio.ensure_future(self._one(due))
                calls.add(task)
                task.add_done_callback(calls.discard)
            await asyncio.sleep(pace.wait_s(perf_counter()))
        seconds = perf_counter() - began
        if calls:
            _, late = await asyncio.wait(calls, timeout=OPEN_S_MAX)
            self._failed += len(late)
            for task in late:
                task.cancel()
        return self._answer(seconds)

    async def _go_on(self, end: float) -> None:
        while (now := perf_counter()) < end:
            await self._one(now)

    async def _one(self, due: float) -> None:
        try:
            answer = await self._call(self._payload)
        except Exception as error:  # noqa: BLE001 - each system has errors of its own; they are counted, and told
            self._failed += 1
            self._problem = self._problem or repr(error)
            return
        if len(answer) != len(self._payload):
            self._failed += 1
            self._problem = f"an answer of {len(answer)} bytes to {len(self._payload)}"
        self.latencies.append(perf_counter() - due)

    def _answer(self, seconds: float) -> Answer:
        return Answer(len(self.latencies), self._failed, seconds, self._problem)


async def obey(call: Call, order: Order) -> Answer:
    """Do what was ordered."""
    load = Load(call, os.urandom(order.payload_bytes // 2 + 1).hex()[: order.payload_bytes].encode())
    if order.do == "open":
        answer = await load.open(order.rate, order.duration_s)
    else:
        answer = await load.closed(order.in_flight, order.duration_s)
    if order.latencies:
        Path(order.latencies).write_bytes(load.latencies.tobytes())  # noqa: ASYNC240 - nothing is under way
    return answer


async def until_answered(call: Call) -> None:
    """Call until an answer comes: the others may still be starting."""
    give_up_at = perf_counter() + READY_S
    while True:
        try:
            await call(b"ready?")
        except Exception:
            if perf_counter() > give_up_at:
                raise
            await asyncio.sleep(PROBE_S)
        else:
            return


async def serve(member: Member) -> None:
    """Obey until stdin ends."""
    ends = cast("Ends", importlib.import_module(member.ends))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with ends.connect(member.address) as call:
        await until_answered(call)
        say(Answer(0, 0, 0.0))
        async for line in lines:
            say(await obey(call, msgspec.json.decode(line, type=Order)))


def say(answer: Answer) -> None:
    """Write a line to stdout."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    run(serve(msgspec.json.decode(sys.argv[1], type=Member)))
