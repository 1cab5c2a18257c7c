"""The net of a demo: its keys in a temporary directory, its ports, and its processes."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec

from braidmq.errors import BraidError
from braidmq.lab.demo.load import Orders
from braidmq.lab.demo.plan import Plan
from braidmq.lab.demo.service import SERVICE
from braidmq.lab.processes.child import Child, python
from braidmq.lab.processes.net import NetFiles

T = TypeVar("T")

READY_S: Final = 30.0
"""How long it may take until every client has had a reply through every broker."""


class DemoFailed(BraidError):  # noqa: N818 - named like the other errors of BraidMQ
    """The demo could not be run; the message says what went wrong."""


class Net:
    """Brokers, workers and clients, each a process of its own. Leaving it ends them all and removes its files.

    Attributes:
        brokers: by name.
        workers: by name.
        clients: by name.
    """

    def __init__(self, plan: Plan, logs: Path | None = None) -> None:
        self.plan = plan
        self.broker_names = [f"b{number}" for number in range(1, plan.brokers + 1)]
        self.brokers: dict[str, Child] = {}
        self.workers: dict[str, Child] = {}
        self.clients: dict[str, Child] = {}
        self._kept_logs = logs
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watches: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._directory = Path(tempfile.mkdtemp(prefix="braidmq-demo-"))
        try:
            self._logs = self._kept_logs or self._directory / "logs"
            self._logs.mkdir(parents=True, exist_ok=True)
            self._register()
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            for watch in self._watches:
                watch.cancel()
            await asyncio.gather(*(child.kill() for child in self._children()))
        finally:
            if self._failure.cancel() is False:
                self._failure.exception()  # it was told already, or came while another error ended the demo
            shutil.rmtree(self._directory, ignore_errors=True)

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`, but give up as soon as a process ends that should run.

        Raises:
            DemoFailed: one did.
        """
        task = asyncio.get_running_loop().create_task(work)
        either: set[asyncio.Future[Any]] = {task, self._failure}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._failure.result()
            return await task
        finally:
            task.cancel()
            await asyncio.wait({task})  # a process that it is starting is known, or gone, afterwards

    def fail(self, error: BaseException) -> None:
        """Let what `guard` guards fail with `error`."""
        if not self._failure.done():
            self._failure.set_exception(error)

    def start_broker(self, name: str) -> Child:
        """Start a broker: ``braidmq broker``. One that is killed leaves no socket behind."""
        command = ("-m", "braidmq", "broker", "--no-local", "--join", self._join(name))
        child = self.brokers[name] = self._start(name, *command)
        return child

    def start_worker(self, name: str) -> Child:
        """Start a worker: ``braidmq serve``."""
        child = self.workers[name] = self._start(
            name, "-m", "braidmq", "serve", "braidmq.lab.demo.worker:node", "--join", self._join(name)
        )
        return child

    def start_client(self, name: str) -> Child:
        """Start a client, which is part of the demo."""
        orders = Orders(
            join=self._join(name),
            brokers=self.broker_names,
            rate=self.plan.rate / self.plan.clients,
            timeout_s=self.plan.timeout_s,
            ready_s=READY_S,
        )
        child = self.clients[name] = self._start(
            name, "-m", "braidmq.lab.demo.load", msgspec.json.encode(orders).decode(), talks=True
        )
        return child

    def tell_clients(self, command: str) -> None:
        """Write a line to every client."""
        for client in self.clients.values():
            client.tell(command)

    async def drain(self) -> list[str]:
        """End everything with SIGTERM, who depends on others first; return what is wrong with how they ended."""
        problems: list[str] = []
        for group in (self.clients, self.workers, self.brokers):
            ends = await asyncio.gather(*(child.drain() for child in group.values()))
            problems += [end for end in ends if end]
        return problems

    # -- inner

    def _register(self) -> None:
        self._files = NetFiles(self._directory / "net")
        for name in self.broker_names:
            self._files.add_broker(name)
        workers = [f"w{number}" for number in range(1, self.plan.workers + 1)]
        clients = [f"c{number}" for number in range(1, self.plan.clients + 1)]
        self._files.add_ends(SERVICE, workers, clients)

    def _join(self, name: str) -> str:
        return str(self._files.join(name))

    def _start(self, name: str, *arguments: str, talks: bool = False) -> Child:
        child = Child.leashed(name, python(*arguments), self._logs / f"{name}.log", talks=talks)
        watch = asyncio.get_running_loop().create_task(self._watch(child))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        return child

    async def _watch(self, child: Child) -> None:
        await child.ended()
        if not child.ordered:
            self.fail(DemoFailed(child.why_it_ended()))

    def _children(self) -> list[Child]:
        return [*self.clients.values(), *self.workers.values(), *self.brokers.values()]
