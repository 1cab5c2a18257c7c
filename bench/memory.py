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
from braidmq.settings import Settings
from faults.child import Child, wait_until
from faults.live_net import LiveNet
from faults.loaded import MODULE, ROOT
from faults.net import SHARERS

NODES: Final = 1_000

AGED_NODES: Final = 200

BEAT_S: Final = 0.1
"""Between two heartbeats of nodes that are to age fast."""

BEATS: Final = 600
"""After so many a node has its final weight: libzmq has two blocks of 256 messages for each direction by then."""

CROWDS: Final = 4
"""Processes that hold the nodes."""

SERVICES: Final = 9
"""Each has its own queue at the broker."""

CALLS: Final = Settings().queue_messages_max
"""How many wait for each service: as many as a broker keeps."""

PAYLOAD: Final = bytes(4096)

WAIT_S_MAX: Final = 120.0

KIB: Final = 1024


class Idle(NamedTuple):
    """What nodes that do nothing cost a broker: memory for each, and seconds until all are connected."""

    node_bytes: float
    started_s: float
    back_s: float


class UnderWay(NamedTuple):
    """What a request costs a broker: one that a worker has, and one that waits for a worker, beside its payload."""

    at_work_bytes: float
    in_queue_bytes: float


def idle(directory: Path, nodes: int = NODES, beats: int = 0) -> Idle:
    """Let nodes connect to a broker, at first, and when it is back after its death.

    Args:
        directory: an empty one.
        nodes: how many; a multiple of SHARERS.
        beats: how many heartbeats, in haste, they have sent when they are weighed.
    """
    options = ("--set", f"heartbeat_s={BEAT_S}") if beats else ()
    with LiveNet(directory) as net:
        net.add_broker("b1")
        keys = [net.add_node(f"n{number}") for number in range(nodes // SHARERS)]
        joins = [key for key in keys for _ in range(SHARERS)]
        broker = net.broker("b1", *options)
        few = [_crowd(net, joins[:SHARERS])]
        _wait_for(few, SHARERS)
        before = broker.rss_bytes
        began = monotonic()
        crowds = few + [_crowd(net, joins[SHARERS + number :: CROWDS]) for number in range(CROWDS)]
        _wait_for(crowds, nodes)
        started_s = monotonic() - began
        sleep(beats * BEAT_S)
        node_bytes = (broker.rss_bytes - before) / (nodes - SHARERS)
        broker.close()
        _wait_for(crowds, 0)
        net.broker("b1", *options)
        began = monotonic()
        _wait_for(crowds, nodes)
        back_s = monotonic() - began
    return Idle(node_bytes, started_s, back_s)


async def under_way(directory: Path, waiting: int = CALLS) -> UnderWay:
    """Let so many requests wait for each of `SERVICES` services, and let a worker have as many together."""
    queues = [f"queue{number}" for number in range(SERVICES)]
    calls = SERVICES * waiting
    room = Settings(in_flight_max=3 * calls, in_flight_bytes_max=3 * calls * len(PAYLOAD), timeout_s=WAIT_S_MAX)
    with LiveNet(directory) as net:
        net.add_members("b1")
        broker = net.broker("b1", "--set", f"in_flight_max={room.in_flight_max}")
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

        worker.service("work", concurrency=calls)(wait)
        for queue in queues:
            worker.service(queue, concurrency=1)(wait)
        async with worker, client:
            for service in ("work", *queues):
                await asyncio.to_thread(net.wait_for_workers, service)
            few, *_, many = [await call(queue, 1 + waiting, 1, waiting) for queue in queues]
            in_queue_bytes = (many - few) / (calls - waiting) - len(PAYLOAD)
            few = await call("work", waiting, waiting, 0)
            at_work_bytes = (await call("work", calls - waiting, calls, 0) - few) / (calls - waiting)
            end.set()
            await asyncio.gather(*replies)
    return UnderWay(at_work_bytes, in_queue_bytes)


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
        aged = idle(Path(directory) / "aged", AGED_NODES, BEATS)
        print(f"an idle node: {nodes.node_bytes / KIB:.1f} KiB, {aged.node_bytes / KIB:.1f} after {BEATS} heartbeats")
        print(f"{NODES:,} nodes are connected {nodes.started_s:.1f} s after their {CROWDS} processes are started")
        print(f"{NODES:,} nodes are back {nodes.back_s:.1f} s after a killed broker listens again", flush=True)
        requests = asyncio.run(under_way(Path(directory) / "under_way"))
        print(f"a request that a worker has: {requests.at_work_bytes / KIB:.2f} KiB")
        print(f"a request that waits for a worker: {requests.in_queue_bytes / KIB:.2f} KiB beside its payload")


if __name__ == "__main__":
    main()
