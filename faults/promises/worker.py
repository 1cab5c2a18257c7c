"""A worker that does what its jobs ask for: `braidmq serve faults.promises.worker:node`.

When a handler begins and ends is with the kernel before anything follows from it, so that kill -9 loses none of it.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Final

import msgspec

from braidmq import Node, Request
from faults.journal import Journal
from faults.promises import jobs
from faults.promises.jobs import CHAIN, THREAD, WORK, Begun, Job, Over

VARIABLE: Final = "PROMISES_WORKER"

GATE_POLL_S: Final = 0.005

CHAIN_TIMEOUT_S: Final = 10.0
"""Of the call that a handler of CHAIN makes."""


class Plan(msgspec.Struct):
    """What a worker is.

    Attributes:
        process: its name; a member that runs as two processes has two.
        directory: of its journal and its gate.
        services: those that it provides, with their concurrency.
        slowness: how many times longer its jobs take.
    """

    process: str
    directory: str
    services: dict[str, int]
    slowness: float = 1.0


def environment(plan: Plan) -> dict[str, str]:
    """Return what a worker must find in its environment."""
    return {VARIABLE: msgspec.json.encode(plan).decode()}


def gate_of(directory: Path | str, process: str) -> Path:
    """Return the file whose existence opens the gate of a worker."""
    return Path(directory) / f"gate.{process}"


class Worker:
    """The handlers of one process."""

    def __init__(self, plan: Plan, node: Node) -> None:
        self._plan = plan
        self._node = node
        self._writing = Lock()  # of handlers that run in threads
        self._gate = gate_of(plan.directory, plan.process)
        life = os.getpid()
        self._begun = Journal(plan.directory, Begun, plan.process, life)
        self._over = Journal(plan.directory, Over, plan.process, life)
        kinds: dict[str, Callable[..., object]] = {THREAD: self._in_thread, CHAIN: self._in_chain}
        for service, concurrency in plan.services.items():
            node.service(service, concurrency=concurrency)(kinds.get(service, self._on_loop))  # type: ignore[type-var]

    async def _on_loop(self, request: Request) -> bytes:
        with self._running(request) as job:
            await self._work(job)
        return job.key.encode()

    def _in_thread(self, request: Request) -> bytes:
        with self._running(request) as job:
            sleep(job.work_s * self._plan.slowness)
        return job.key.encode()

    async def _in_chain(self, request: Request) -> bytes:
        with self._running(request) as job:
            await self._work(job)
            rest = jobs.encode(Job(f"{job.key}+", job.work_s))
            await self._node.request(WORK, rest, timeout=CHAIN_TIMEOUT_S)
        return job.key.encode()

    async def _work(self, job: Job) -> None:
        await asyncio.sleep(job.work_s * self._plan.slowness)
        while job.gated and not self._gate.exists():  # noqa: ASYNC110 - another process opens it
            await asyncio.sleep(GATE_POLL_S)

    @contextmanager
    def _running(self, request: Request) -> Iterator[Job]:
        """Write down the beginning and the end of a handler."""
        job, now = jobs.decode(request.payload), monotonic()
        begun = Begun(
            job.key, self._plan.process, request.id, now, request.possible_duplicate, request.retry_count,
            client=request.sender, deadline=now + request.remaining,
        )  # fmt: skip
        with self._writing:
            self._begun.add(begun)
            self._begun.flush()
        stopped = True
        try:
            yield job
            stopped = False
        finally:
            with self._writing:
                self._over.add(Over(job.key, self._plan.process, monotonic(), stopped))
                self._over.flush()


if VARIABLE in os.environ:
    node = Node(os.environ["BRAIDMQ_JOIN"])
    Worker(msgspec.json.decode(os.environ[VARIABLE], type=Plan), node)
