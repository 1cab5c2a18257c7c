"""What it costs that somebody looks on, and that nobody reads the log: `python -m bench.onlookers`.

`monitor`: three brokers, 20 nodes with 100 services, and the monitor, each worker and the monitor a process of its own.
Rows tell the monitor's share of a processor and its memory, without a page and with one open. Then the monitor is
stopped (SIGSTOP) and let go on in turns: rows tell what brokers without calls need of a processor in either case, and
how many calls get through a broker at 64 in flight.

`log`: brokers whose stderr is read, is full as nobody reads it, is on a full disk, or closed, in turns. A row tells the
p99 of calls at a fixed rate. All log what they can, and a stranger is refused again and again, which is to be said.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Final

from bench.bridges import processor_s
from braidmq import Node, RequestError
from braidmq.lab.pace import Pace
from braidmq.lab.processes.child import BRAIDMQ, Child
from braidmq.lab.processes.ports import free_ports
from braidmq.lab.processes.waiting import wait_until
from braidmq.trust.authority import Authority
from faults.figures import percentile
from faults.live_net import LiveNet

BROKERS: Final = ("b1", "b2", "b3")
WORKERS: Final = 10
CLIENTS: Final = 10
SERVICES_EACH: Final = 10

IN_FLIGHT: Final = 64

RATE: Final = 500.0
"""Calls a second of `log`: a machine with two processors is far from busy."""

PAYLOAD: Final = b"x" * 64

WORKER: Final = """
import os
from braidmq import Services
services = Services()
async def echo(request):
    return request.payload
for name in os.environ["SERVES"].split():
    services.service(name, concurrency=256)(echo)
"""


def say(**row: object) -> None:
    """Print a row."""
    print(json.dumps(row), flush=True)


@contextmanager
def net_of(brokers: tuple[str, ...], workers: int, clients: int) -> Iterator[tuple[LiveNet, Path]]:
    """A net whose brokers are to be started, and where its workers' services are."""
    with tempfile.TemporaryDirectory() as folder, LiveNet(Path(folder) / "net") as net:
        net.add_members(*brokers)
        net.add_node("monitor", observe=True)
        for number in range(workers):
            net.add_node(f"worker-{number}", serves=["*"])
        for number in range(clients):
            net.add_node(f"client-{number}", calls=["*"])
        (Path(folder) / "bench_worker.py").write_text(WORKER)
        yield net, Path(folder)


def serve(net: LiveNet, folder: Path, number: int, names: list[str]) -> None:
    """Start a worker."""
    net.serve("bench_worker:services", name=f"worker-{number}", cwd=folder, env={"SERVES": " ".join(names)})


def share_of(children: Iterable[Child], seconds: float) -> float:
    """Return the share of a processor that the busiest of some processes has in a time, in per cent."""
    before, begun = {child: processor_s(child.pid) for child in children}, perf_counter()
    sleep(seconds)
    return max(processor_s(child.pid) - was for child, was in before.items()) / (perf_counter() - begun) * 100.0


async def calls_of(node: Node, seconds: float) -> int:
    """Return how many calls were answered in a time, 64 of them at once."""
    until, answered = perf_counter() + seconds, 0

    async def caller() -> None:
        nonlocal answered
        while perf_counter() < until:
            await node.request("s0-0", PAYLOAD, timeout=30)
            answered += 1

    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return answered


@contextmanager
def page(port: int) -> Iterator[Callable[[], int]]:
    """Read what an open page is told; yields how many bytes those were so far."""
    read, closed = 0, threading.Event()

    def take() -> None:
        nonlocal read
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/stream", timeout=30) as response:
            while not closed.is_set() and (some := response.readline()):  # there is one each second
                read += len(some)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        yield lambda: read
    finally:
        closed.set()
        thread.join()


async def monitored(seconds: float, rounds: int) -> None:
    """Measure what the monitor needs, and what it costs the brokers."""
    with net_of(BROKERS, WORKERS, CLIENTS) as (net, folder):
        brokers = [net.broker(name, local=True) for name in BROKERS]
        for number in range(WORKERS):
            serve(net, folder, number, [f"s{number}-{each}" for each in range(SERVICES_EACH)])
        for number in range(WORKERS):
            await asyncio.to_thread(net.wait_for_workers, f"s{number}-0")
        clients = [Node(net.join(f"client-{number}")) for number in range(CLIENTS)]
        for client in clients:
            await client.start()
            await client.connected(10)
        (port,) = free_ports(1)
        monitor = net.launch([*BRAIDMQ, "monitor", "--join", net.join("monitor"), "--http", f"127.0.0.1:{port}"])
        await asyncio.to_thread(wait_until, lambda: answers(port), "the monitor answers")
        await asyncio.to_thread(needs, monitor, port, seconds)
        await asyncio.to_thread(polls, brokers, monitor, seconds, rounds)
        await under_load(clients[0], monitor, seconds, rounds)
        say(monitor="after calls", rss_mib=rss_mib(monitor))
        for client in clients:
            await client.close()


def needs(monitor: Child, port: int, seconds: float) -> None:
    """Measure what the monitor needs, without a page and with one."""
    sleep(seconds)
    say(monitor="no page", processor_percent=round(share_of([monitor], seconds), 2), rss_mib=rss_mib(monitor))
    with page(port) as read:
        share = share_of([monitor], seconds)
        say(monitor="one page", processor_percent=round(share, 2), rss_mib=rss_mib(monitor), read_bytes=read())


def answers(port: int) -> bool:
    """Whether a monitor answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def rss_mib(child: Child) -> float:
    """Return the memory of a process."""
    return round(child.rss_bytes / 2**20, 1)


@contextmanager
def stopped(child: Child) -> Iterator[None]:
    """Stop a process for a while."""
    child.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        child.send_signal(signal.SIGCONT)


def polls(brokers: list[Child], monitor: Child, seconds: float, rounds: int) -> None:
    """Measure what brokers without calls need of a processor, polled and not."""
    shares: dict[str, list[float]] = {"polled": [], "alone": []}
    for _ in range(rounds):
        shares["polled"].append(share_of(brokers, seconds))
        with stopped(monitor):
            shares["alone"].append(share_of(brokers, seconds))
    told = {way: round(median(each), 3) for way, each in shares.items()}
    say(broker_processor_percent=told, cost_percent=round(told["polled"] - told["alone"], 3))


async def under_load(client: Node, monitor: Child, seconds: float, rounds: int) -> None:
    """Measure how many calls get through, polled and not."""
    ratios: list[float] = []
    await calls_of(client, seconds)
    for number in range(rounds):
        counts: dict[bool, int] = {}
        for polled in (number % 2 == 0, number % 2 == 1):
            if polled:
                counts[polled] = await calls_of(client, seconds)
            else:
                with stopped(monitor):
                    counts[polled] = await calls_of(client, seconds)
        ratios.append(counts[True] / counts[False])
    ordered = sorted(ratios)
    quarter = len(ordered) // 4
    say(
        calls_polled_to_alone=round(median(ordered), 4), rounds=rounds,
        quartiles=[round(ordered[quarter], 4), round(ordered[-1 - quarter], 4)],
    )  # fmt: skip


SINKS: Final = {"read": "", "full": '2>"$0"', "disk full": "2>/dev/full", "closed": "2>&-"}
"""How a shell redirects the stderr of a broker; $0 is a pipe that is full."""


@contextmanager
def full_pipe(folder: Path) -> Iterator[Path]:
    """A named pipe that nobody reads, and that takes nothing more."""
    path = folder / "full"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        with suppress(BlockingIOError):
            while True:
                os.write(end, b"x" * 512)  # no more than a pipe takes in one piece, so that no room is left
        yield path
    finally:
        os.close(end)


@contextmanager
def net_that_logs(sink: str) -> Iterator[Node]:
    """A broker whose stderr is so, a worker, and a stranger that tries again and again; yields a client."""
    with tempfile.TemporaryDirectory() as foreign, net_of(("b1",), 1, 1) as (net, folder), full_pipe(folder) as full:
        broker = map(str, [*BRAIDMQ, "broker", "--join", net.join("b1"), "--log-level", "debug"])
        net.launch(["sh", "-c", f'exec "$@" {SINKS[sink]}', full, *broker])
        serve(net, folder, 0, ["s0-0"])
        net.wait_for_workers("s0-0")
        other = Authority.create(Path(foreign) / "net")
        other.add_broker("b1", [net.endpoints["b1"]])
        net.start("call", "s", "--join", other.add_node("stranger", ["s"]), "--timeout", "3600")
        yield Node(net.join("client-0"))


async def logged(seconds: float, rounds: int) -> None:
    """Measure p99 through brokers whose log is read, is not, and cannot be written."""
    with ExitStack() as nets:
        clients = {sink: nets.enter_context(net_that_logs(sink)) for sink in SINKS}
        for client in clients.values():
            await client.start()
            await client.connected(30)
        found: dict[str, list[float]] = {sink: [] for sink in SINKS}
        for _ in range(rounds):
            for sink, client in clients.items():
                found[sink].append(percentile(await paced(client, seconds), 0.99) * 1e3)
        for sink in SINKS:
            say(stderr=sink, p99_ms=round(median(found[sink]), 3), of=[round(each, 2) for each in found[sink]])
        for client in clients.values():
            await client.close()


async def paced(node: Node, seconds: float) -> list[float]:
    """Return how long calls took, from when each was due, at a fixed rate."""
    took: list[float] = []
    tasks: set[asyncio.Task[None]] = set()

    async def call(due: float) -> None:
        try:
            await node.request("s0-0", PAYLOAD, timeout=10)
        except RequestError as error:
            say(failed=str(error))
        took.append(perf_counter() - due)

    pace = Pace(perf_counter(), RATE, int(RATE * seconds))
    while not pace.done:
        for due in pace.take(perf_counter()):
            task = asyncio.create_task(call(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(1.0 / RATE)
    await asyncio.gather(*tasks)
    return took


def main() -> int:
    """Measure; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("monitor", "log"))
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each measurement takes")
    parser.add_argument("--rounds", type=int, default=11, help="how many turns are taken")
    chosen = parser.parse_args()
    asyncio.run((monitored if chosen.what == "monitor" else logged)(chosen.seconds, chosen.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
