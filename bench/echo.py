"""Echo over one broker: one client, one worker and one broker process, CURVE on, on loopback.

`make bench`, or `python bench/echo.py --help`. It prints exchanges per second, latencies, and the CPU time that each
of the three processes spends per exchange. Figures of a busy or shared machine drift: compare runs that were made in
turns, by their ratio.
"""

import argparse
import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from braidmq.node import Node
from braidmq.settings import Settings
from braidmq.trust.authority import Authority
from braidmq.zeromq.broker_loop import BrokerLoop

CONCURRENCY = 1_000
SETTINGS = Settings(in_flight_max=CONCURRENCY)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def work(join: str) -> None:
    """Be the worker."""
    node = Node(join, settings=SETTINGS)

    @node.service("echo", concurrency=CONCURRENCY)
    async def echo(request):  # type: ignore[no-untyped-def]
        return request.payload

    run(node.run_until_signal())


def serve(join: str) -> None:
    """Be the broker."""
    broker = BrokerLoop(join, SETTINGS)
    broker.open()
    signal.signal(signal.SIGTERM, lambda *_: broker.stop())
    broker.run()


def run(main):  # type: ignore[no-untyped-def]
    """Run a coroutine, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def cpu_s(pid: int) -> float:
    """Return the CPU time of another process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def own_cpu_s() -> float:
    """Return the CPU time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(node: Node, payload: bytes, in_flight: int, count: int, pids: dict[str, int]) -> str:
    """Make `count` calls, `in_flight` at a time; return a row."""
    latencies: list[float] = []
    numbers = iter(range(count))

    async def caller() -> None:
        for _ in numbers:
            began = perf_counter()
            reply = await node.request("echo", payload)
            latencies.append(perf_counter() - began)
            assert reply.payload == payload

    before = {name: cpu_s(pid) for name, pid in pids.items()}
    own, began = own_cpu_s(), perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    took_s = perf_counter() - began
    cpu = {"client": own_cpu_s() - own} | {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    latencies.sort()
    p50, p99 = (latencies[int(count * part)] * 1e6 for part in (0.5, 0.99))
    spent = "".join(f"{cpu[name] / count * 1e6:>10.0f}" for name in ("client", "broker", "worker"))
    return f"{len(payload):>8}{in_flight:>10}{count / took_s:>14,.0f}{p50:>10,.0f}{p99:>10,.0f}{spent}"


async def client(join: str, options: argparse.Namespace, pids: dict[str, int]) -> None:
    """Measure every combination and print a row for each."""
    async with Node(join, settings=SETTINGS) as node:
        await node.connected()
        deadline = perf_counter() + 10.0
        while "echo" not in await services(node):
            assert perf_counter() < deadline, "the worker did not come up"
        print(f"{'bytes':>8}{'in flight':>10}{'exchanges/s':>14}{'p50 us':>10}{'p99 us':>10}", end="")
        print(f"{'client':>10}{'broker':>10}{'worker':>10}   CPU us per exchange")
        for _ in range(options.rounds):
            for size in options.bytes:
                for in_flight in options.in_flight:
                    count = options.count if in_flight > 1 else options.count // 8
                    print(await measure(node, os.urandom(size), in_flight, count, pids), flush=True)


async def services(node: Node) -> set[str]:
    """Return the services that have a worker."""
    return {service.name for report in (await node.observe()).values() for service in report.services}


def main() -> None:
    """Make a net, start its processes, measure, and end them."""
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2])
        return
    if sys.argv[1:2] == ["--broker"]:
        serve(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, nargs="+", default=[4096], help="payload sizes")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64, 512], help="calls at a time")
    parser.add_argument("--count", type=int, default=20_000, help="calls of each row (an eighth for one at a time)")
    parser.add_argument("--rounds", type=int, default=3, help="how often all rows are measured, in turns")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        authority = Authority.create(Path(directory))
        broker_join = authority.add_broker("b1", [f"tcp://127.0.0.1:{port}"])
        worker_join = authority.add_node("worker", serves=["echo"])
        client_join = authority.add_node("client", calls=["echo"], observe=True)
        broker = subprocess.Popen([sys.executable, __file__, "--broker", str(broker_join)])
        worker = subprocess.Popen([sys.executable, __file__, "--worker", str(worker_join)])
        try:
            run(client(str(client_join), options, {"broker": broker.pid, "worker": worker.pid}))
        finally:
            for process in (worker, broker):
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
