"""What nodes and requests weigh at a broker, and how soon many nodes are there: ``python -m bench.memory``.

Real processes on the loopback. A weight is what a broker's memory grows by from a small number to a large one, so that
it holds nothing that every broker has.
"""

import asyncio
import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import Final, NamedTuple

from braidmq import Node, Reply, Request
from braidmq.lab.processes.child import Child
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import Settings
from faults.live_net import LiveNet
from faults.loaded import MODULE, ROOT
from faults.net import SHARERS

NODES: Final = 1_000

AGED_NODES: Final = 200

BEAT_S: Final = 0.1
"""Between two heartbeats of nodes that are to age fast."""

BEATS: Final = 600
"""After so many a node has its final weight."""

CROWDS: Final = 4
"""Processes that hold the nodes."""

SERVICES: Final = 9
"""Each has its own queue at the broker."""

WAITING: Final = Settings().queue_messages_max
"""How many requests wait for each service: as many as a broker keeps."""

PAYLOAD: Final = bytes(4096)

WAIT_S_MAX: Final = 60.0
"""How long anything may take that is waited for."""

KIB: Final = 1024


class Idle(NamedTuple):
    """What nodes that do nothing cost a broker.

    Attributes:
        node_bytes: memory for each, just connected.
        started_s: from the start of their processes until all are connected.
        back_s: from when a broker that was killed listens again until all are connected.
    """

    node_bytes: float
    started_s: float
    back_s: float


class UnderWay(NamedTuple):
    """What a request costs a broker: one that a worker has, and one that waits for a worker, beside its payload."""

    at_work_bytes: float
    in_queue_bytes: float


def idle(directory: Path, nodes: int = NODES) -> Idle:
    """Let a few nodes connect to a broker, then `nodes` more, and then all of them anew."""
    with LiveNet(directory) as net:
        net.add_broker("b1")
        few, many = _register(net, "few", SHARERS), _register(net, "many", nodes)
        broker = net.broker("b1")
        crowds = [_crowd(net, few)]
        _wait_for(crowds, len(few))
        before = broker.rss_bytes
        began = monotonic()
        crowds += [_crowd(net, many[number::CROWDS]) for number in range(CROWDS)]
        _wait_for(crowds, len(few) + nodes)
        started_s = monotonic() - began
        node_bytes = (broker.rss_bytes - before) / nodes
        broker.close()
        _wait_for(crowds, 0)
        net.broker("b1")
        began = monotonic()
        _wait_for(crowds, len(few) + nodes)
        back_s = monotonic() - began
    return Idle(node_bytes, started_s, back_s)


def ageing(directory: Path) -> float:
    """Return the bytes that an idle node gains at a broker while it sends `BEATS` heartbeats."""
    with LiveNet(directory) as net:
        net.add_broker("b1")
        joins = _register(net, "old", AGED_NODES)
        broker = net.broker("b1", "--set", f"heartbeat_s={BEAT_S}")
        _wait_for([_crowd(net, joins)], AGED_NODES)
        young = broker.rss_bytes
        sleep(BEATS * BEAT_S)
        return (broker.rss_bytes - young) / AGED_NODES


async def under_way(directory: Path, waiting: int = WAITING) -> UnderWay:
    """Let `waiting` requests wait for each of `SERVICES` services; then let a worker have as many as all of these."""
    queues = [f"queue{number}" for number in range(SERVICES)]
    total = SERVICES * waiting
    room = Settings(
        in_flight_max=3 * total,
        in_flight_bytes_max=3 * total * len(PAYLOAD),
        timeout_s=WAIT_S_MAX,
        exchange_timeout_s=WAIT_S_MAX,
    )
    with LiveNet(directory) as net:
        net.add_members("b1")
        queue = f"queue_messages_max={3 * waiting}"  # a key may have as much as it leaves free
        memory = f"queue_bytes_max={room.in_flight_bytes_max}"
        broker = net.broker("b1", "--set", f"in_flight_max={room.in_flight_max}", "--set", queue, "--set", memory)
        worker, client = Node(net.join("worker")), Node(net.join("client"), settings=room)
        end = asyncio.Event()
        replies: list[asyncio.Task[Reply]] = []

        async def wait(_request: Request) -> bytes:
            await end.wait()
            return b""

        async def call(service: str, number: int, outstanding: int, queued: int) -> int:
            """Make calls; return the broker's memory when so many are with a worker, and so many wait for one."""
            replies.extend(asyncio.create_task(client.request(service, PAYLOAD)) for _ in range(number))

            def arrived() -> bool:
                found = net.service("b1", service)
                return (found.outstanding, found.queued) == (outstanding, queued)

            await asyncio.to_thread(wait_until, arrived, f"{number} calls of {service} are at the broker")
            return broker.rss_bytes

        worker.service("work", concurrency=total)(wait)
        for queue in queues:
            worker.service(queue, concurrency=1)(wait)
        async with worker, client:
            for service in ("work", *queues):
                await asyncio.to_thread(net.wait_for_workers, service)
            few, *_, many = [await call(queue, 1 + waiting, 1, waiting) for queue in queues]
            in_queue_bytes = (many - few) / (total - waiting) - len(PAYLOAD)
            slices = range(waiting, total + 1, waiting)  # a burst of all would be on its way when it is weighed
            few, *_, many = [await call("work", waiting, outstanding, 0) for outstanding in slices]
            at_work_bytes = (many - few) / (total - waiting)
            end.set()
            await asyncio.gather(*replies)
    return UnderWay(at_work_bytes, in_queue_bytes)


def _register(net: LiveNet, name: str, number: int) -> list[Path]:
    """Return the join file of each of so many nodes; `SHARERS` of them share one."""
    joins = [net.add_node(f"{name}{each}") for each in range(number // SHARERS)]
    return [join for join in joins for _ in range(SHARERS)]


def _crowd(net: LiveNet, joins: list[Path]) -> Child:
    return net.launch([*MODULE, "faults.crowd", *joins], talks=True, cwd=ROOT)


def _wait_for(crowds: list[Child], number: int) -> None:
    def connected() -> int:
        for crowd in crowds:
            crowd.tell("")
        return sum(int(crowd.hear(WAIT_S_MAX)) for crowd in crowds)

    wait_until(lambda: connected() == number, f"{number} nodes are connected", WAIT_S_MAX, 0.1)


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        nodes = idle(Path(directory) / "idle")
        gained_bytes = ageing(Path(directory) / "ageing")
        print(
            f"an idle node: {nodes.node_bytes / KIB:.1f} KiB, and {gained_bytes / KIB:.1f} more by {BEATS} heartbeats"
        )
        print(f"{NODES:,} nodes are connected {nodes.started_s:.1f} s after their {CROWDS} processes are started")
        print(f"all are back {nodes.back_s:.1f} s after a killed broker listens again", flush=True)
        requests = asyncio.run(under_way(Path(directory) / "under_way"))
        print(f"a request that a worker has: {requests.at_work_bytes / KIB:.2f} KiB")
        print(f"a request that waits for a worker: {requests.in_queue_bytes / KIB:.2f} KiB beside its payload")


if __name__ == "__main__":
    main()
