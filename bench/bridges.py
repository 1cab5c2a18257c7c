"""What a call through the Majordomo bridge costs beside the same call of a node: `python -m bench.bridges`.

A broker, a worker that echoes and the bridge are processes of their own. Calls are made one at a time, and 64 at once.
A row tells how long one took, and how many came through. The bridge's processor time for each call says what it costs
on a machine that does something else as well.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import zmq

from braidmq import Node
from braidmq.lab.processes.child import BRAIDMQ, Child
from braidmq.lab.processes.net import NetFiles

PAYLOAD: Final = b"x" * 64

WARM_UP_CALLS: Final = 200

WORKER: Final = """
import asyncio, sys
from braidmq import Services
services = Services()
@services.service("echo", concurrency=256)
async def echo(request):
    return request.payload
"""


def through_bridge(endpoint: str, seconds: float, at_once: int) -> list[float]:
    """Return the seconds that calls of a client of 0.1 took, over one DEALER."""
    took: list[float] = []
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoint)
        begun: dict[bytes, float] = {}
        number = 0
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or begun:
            while len(begun) < at_once and time.perf_counter() < until:
                number += 1
                body = b"%064d" % number
                begun[body] = time.perf_counter()
                socket.send_multipart([b"", b"MDPC01", b"echo", body])
            body = socket.recv_multipart()[-1]
            took.append(time.perf_counter() - begun.pop(body))
    return took


async def by_node(join: str, seconds: float, at_once: int) -> list[float]:
    """Return the seconds that calls of a node took."""
    took: list[float] = []
    async with Node(join) as node:
        await node.connected(10)
        until = time.perf_counter() + seconds

        async def caller() -> None:
            while (begun := time.perf_counter()) < until:
                await node.request("echo", PAYLOAD, timeout=30)
                took.append(time.perf_counter() - begun)

        await asyncio.gather(*(caller() for _ in range(at_once)))
    return took


def processor_s(pid: int) -> float:
    """Return the processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def told(took: Iterable[float], seconds: float) -> dict[str, float]:
    """Return the figures of calls."""
    ordered = sorted(took)[WARM_UP_CALLS // 10 :]
    return {
        "calls_per_s": round(len(ordered) / seconds),
        "p50_us": round(ordered[len(ordered) // 2] * 1e6),
        "p99_us": round(ordered[len(ordered) * 99 // 100] * 1e6),
    }


def measure(seconds: float, bridge_only: bool) -> None:
    """Print a row of JSON for each way and each number at once."""
    with tempfile.TemporaryDirectory() as folder:
        net = NetFiles(Path(folder) / "net")
        net.add_broker("b1")
        for name in ("client", "worker", "bridge-1"):
            net.add_node(name, calls=["*"], serves=["*"])
        (Path(folder) / "bench_worker.py").write_text(WORKER)
        children = [Child([*BRAIDMQ, "broker", "--join", net.join("b1")])]
        children[0].wait_for_line("listens at ")
        serve = [*BRAIDMQ, "serve", "bench_worker:services", "--join", net.join("worker")]
        children.append(Child(serve, cwd=Path(folder)))
        command = [*BRAIDMQ, "bridge", "majordomo", "--join", net.join("bridge-1"), "--bind", "tcp://127.0.0.1:*"]
        children.append(Child(command))
        endpoint = children[2].wait_for_line("majordomo bridge").split()[-1]
        try:
            through_bridge(endpoint, 1.0, 1)
            for at_once in (1, 64):
                if not bridge_only:
                    row = told(asyncio.run(by_node(str(net.join("client")), seconds, at_once)), seconds)
                    print(json.dumps({"way": "node", "at_once": at_once, **row}))
                before = processor_s(children[2].pid)
                took = through_bridge(endpoint, seconds, at_once)
                used_us = (processor_s(children[2].pid) - before) / len(took) * 1e6
                outcome: dict[str, object] = {"way": "bridge", "at_once": at_once, **told(took, seconds)}
                print(json.dumps(outcome | {"bridge_us": round(used_us)}))
        finally:
            for child in children:
                child.close()


def main() -> int:
    """Measure; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each row takes")
    parser.add_argument("--bridge-only", action="store_true", help="leave out the calls of a node")
    chosen = parser.parse_args()
    measure(chosen.seconds, chosen.bridge_only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
