"""One net under load: its clients and workers are started, ordered, and looked at."""

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from braidmq.lab.bench.cells import Cell, Shape
from braidmq.lab.bench.figures import Figures, latencies_us
from braidmq.lab.bench.orders import Answer, Member, Order
from braidmq.lab.bench.systems.system import BenchFailed, Net, System
from braidmq.lab.bench.usage import Usage, usage_of
from braidmq.lab.processes.child import Child, python

WARM_UP_S: Final = 0.5

ANSWER_S: Final = 60.0
"""How long a process may be silent beyond the time of its order."""

_MIB: Final = 1024 * 1024


class Bench:
    """The processes of one net. Made by `prepared`."""

    def __init__(self, net: Net, workers: list[Child], clients: list[Child], directory: Path) -> None:
        self._groups = {"client": clients, "server": net.servers, "worker": workers}
        self._clients = clients
        self._directory = directory

    async def measure(self, cell: Cell, duration_s: float) -> Figures:
        """Put one load on it, after warming up. Raises BenchFailed if a process ends by itself or says nothing."""
        await self._order(cell, min(WARM_UP_S, duration_s), keep=False)
        before = self._used()
        answers = await self._order(cell, duration_s, keep=True)
        used = self._used()
        calls = sum(answer.calls for answer in answers)
        cpu_us = {
            f"{kind}_us": (used[kind].cpu_s - before[kind].cpu_s) / calls * 1e6 if calls else 0.0 for kind in used
        }
        return Figures(
            per_s=sum(answer.calls / answer.seconds for answer in answers),
            failed=sum(answer.failed for answer in answers),
            problem=next((answer.problem for answer in answers if answer.problem), ""),
            **latencies_us(self._latencies()),
            **cpu_us,
            **{f"{kind}_mib": usage.peak_bytes / _MIB for kind, usage in used.items()},
        )

    def _used(self) -> dict[str, Usage]:
        return {kind: usage_of(child.pid for child in group) for kind, group in self._groups.items()}

    def _latencies(self) -> "array[float]":
        found: array[float] = array("d")
        for client in self._clients:
            found.frombytes(self._path(client).read_bytes())
        return found

    def _path(self, client: Child) -> Path:
        return self._directory / f"{client.name}.latencies"

    async def _order(self, cell: Cell, duration_s: float, *, keep: bool) -> list[Answer]:
        count = len(self._clients)
        for number, client in enumerate(self._clients):
            order = Order(
                "open" if cell.rate else "closed",
                cell.payload_bytes,
                duration_s,
                cell.in_flight // count + (number < cell.in_flight % count),
                cell.rate / count,
                str(self._path(client)) if keep else "",
            )
            client.tell(msgspec.json.encode(order).decode())
        return list(await asyncio.gather(*(_answer(client, duration_s) for client in self._clients)))


@asynccontextmanager
async def prepared(system: System, shape: Shape, directory: Path) -> AsyncIterator[Bench]:
    """Start a net and its members, and wait until every client has had an answer; end them all afterwards."""
    async with AsyncExitStack() as stack:
        net = await stack.enter_async_context(system.net(directory, shape))
        workers = [
            await _started(
                stack, f"worker{number}", "braidmq.lab.bench.worker", Member(system.ends, address), directory
            )
            for number, address in enumerate(net.workers)
        ]
        for worker in workers:
            await _line(worker, ANSWER_S)
        clients = [
            await _started(
                stack, f"client{number}", "braidmq.lab.bench.client", Member(system.ends, address), directory
            )
            for number, address in enumerate(net.clients)
        ]
        for client in clients:
            await _answer(client, 0.0)
        yield Bench(net, workers, clients, directory)


async def _started(stack: AsyncExitStack, name: str, module: str, member: Member, directory: Path) -> Child:
    command = python("-m", module, msgspec.json.encode(member).decode())
    child = Child.leashed(name, command, directory / f"{name}.log", talks=True)
    stack.push_async_callback(child.kill)
    return child


async def _answer(client: Child, duration_s: float) -> Answer:
    return msgspec.json.decode(await _line(client, duration_s + ANSWER_S), type=Answer)


async def _line(child: Child, timeout_s: float) -> str:
    try:
        async with asyncio.timeout(timeout_s):
            line = await child.report()
    except TimeoutError:
        raise BenchFailed(f"{child.name} said nothing for {timeout_s:g} s: {child.last_log_line()}") from None
    if not line:
        await child.ended()
        raise BenchFailed(child.why_it_ended())
    return line
