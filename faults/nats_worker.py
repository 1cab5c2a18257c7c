"""A worker of the rival that writes down what it runs: `python -m faults.nats_worker --help`.

It answers every request with `answer_to` its payload, after a time that stands for its work, many at a time; and it
appends a braidmq.lab.simulation.record.Execution as a line of JSON to a file before each. NATS gives no ids and no
flags for duplicates: both stay empty. It ends on SIGTERM after what it has begun.
"""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from time import monotonic

import msgspec
import nats
from nats.aio.msg import Msg

from braidmq.lab.bench.systems.nats import QUEUE, SUBJECT
from braidmq.lab.simulation.payload import answer_to, key_of
from braidmq.lab.simulation.record import Execution
from faults.nats_caller import connect
from faults.nats_cluster import NatsCluster

ROOT = Path(__file__).parent.parent


def command(cluster: NatsCluster, name: str, record: Path, *, work_s: float = 0.0, life: int = 0) -> list[str]:
    """Return the command line of a worker; its working directory must be ROOT."""
    options = ["--name", name, "--record", str(record), "--work-s", str(work_s), "--life", str(life)]
    tls = ["--tls", str(cluster.tls)] if cluster.tls else []
    return [sys.executable, "-m", __spec__.name, *options, *tls, *cluster.urls.values()]


class Worker:
    """Runs requests, at most `concurrency` at a time; more wait in nats-py's queue."""

    def __init__(self, name: str, record: Path, work_s: float, concurrency: int, life: int) -> None:
        self._name = name
        self._work_s = work_s
        self._life = life
        self._places = asyncio.Semaphore(concurrency)
        self._concurrency = concurrency
        self._jobs: set[asyncio.Task[None]] = set()
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def on_message(self, message: Msg) -> None:
        """Handle a request. nats-py calls this for one message at a time."""
        await self._places.acquire()
        job = asyncio.create_task(self._run(message))
        self._jobs.add(job)
        job.add_done_callback(self._on_done)

    async def finish(self) -> None:
        """Wait until nothing runs any more."""
        for _ in range(self._concurrency):
            await self._places.acquire()
        os.close(self._record)

    async def _run(self, message: Msg) -> None:
        execution = Execution(
            key=key_of(message.data),
            worker=self._name,
            id=b"",
            started=monotonic(),
            possible_duplicate=False,
            retry_count=0,
            life=self._life,
        )
        os.write(self._record, msgspec.json.encode(execution) + b"\n")
        await asyncio.sleep(self._work_s)
        try:
            await message.respond(answer_to(message.data))
        except nats.errors.Error as error:
            print(f"{self._name} could not answer {execution.key}: {error}", file=sys.stderr)

    def _on_done(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        self._places.release()
        job.result()  # whatever it raised belongs into the event loop's log


async def serve(options: argparse.Namespace) -> None:
    """Be a worker until SIGTERM."""
    worker = Worker(options.name, options.record, options.work_s, options.concurrency, options.life)
    told_to_stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_stop.set)
    connection = await connect(options.urls, options.name, tls=options.tls)
    subscription = await connection.client.subscribe(SUBJECT, queue=QUEUE, cb=worker.on_message)
    await told_to_stop.wait()
    await subscription.drain()  # type: ignore[no-untyped-call] # it has no annotations
    await worker.finish()
    await connection.close()


def main() -> None:
    """Read the command line and be a worker."""
    parser = argparse.ArgumentParser(description="a worker of the NATS cluster; ends on SIGTERM")
    parser.add_argument("--name", required=True)
    parser.add_argument("--record", type=Path, required=True, help="the file that executions are appended to")
    parser.add_argument("--tls", type=Path, help="the cluster's directory with certificates")
    parser.add_argument("--work-s", type=float, default=0.0, help="how long each request takes")
    parser.add_argument("--concurrency", type=int, default=32, help="requests at a time")
    parser.add_argument("--life", type=int, default=0, help="how often a worker of this name was started before")
    parser.add_argument("urls", nargs="+", help="of the servers")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
