"""Gearman's clients and workers. Its library blocks, and speaks text: it wants a thread for each call under way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from threading import local
from typing import Any, Final

import python3_gearman

from braidmq.host.threads import DaemonThreads
from braidmq.lab.bench.ends.caller import Call, until_told_to_stop

THREADS_MAX: Final = 64
"""Calls under way at once; more wait. With more threads it only gets slower."""

_TASK: Final = "echo"


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Call]:
    """See Ends. The address is the job server's."""
    loop = asyncio.get_running_loop()
    mine = local()

    def submit(payload: bytes) -> bytes:
        client = getattr(mine, "client", None)
        if client is None:
            client = mine.client = python3_gearman.GearmanClient([address])
        done = client.submit_job(_TASK, payload.decode("ascii"), poll_timeout=5.0)
        if not done.complete:
            raise TimeoutError("the job was not done within 5 s")
        return str(done.result).encode("ascii")

    with ThreadPoolExecutor(THREADS_MAX) as threads:

        async def call(payload: bytes) -> bytes:
            return await loop.run_in_executor(threads, submit, payload)

        yield call


async def serve(address: str, ready: Callable[[], None]) -> None:
    """See Ends."""
    worker = python3_gearman.GearmanWorker([address])
    worker.register_task(_TASK, _echo)
    ready()
    DaemonThreads(1, "gearman").submit(partial(worker.work, 1.0), lambda _ended: None)
    await until_told_to_stop()


def _echo(_worker: Any, job: Any) -> Any:
    return job.data
