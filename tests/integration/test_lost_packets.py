"""Paths that lose large packets and say nothing, as a tunnel does behind a firewall that keeps back ICMP.

Each namespace has a kernel's TCP of its own, and packets of 1,500 bytes are lost between them.
"""

import asyncio
from contextlib import contextmanager

import pytest

from braidmq import Node
from braidmq.lab.processes.child import BRAIDMQ
from faults import wire
from faults.wire import NODES, Rule, Wire
from tests.support.async_tests import until
from tests.support.nights import cases
from tests.support.processes import LiveNet

LARGE_BYTES = 100_000
PACKET_BYTES_MAX = 1_400
TIMEOUT_S = 20.0
"""Of a call that is made again and again while its path is stuck; without small packets it never gets through."""

pytestmark = pytest.mark.skipif(bool(wire.missing()), reason=wire.missing() or "there is a wire")


@contextmanager
def net_of(directory, *brokers):
    """Yield a net whose brokers have namespaces of their own, and the wire; this thread is among the nodes."""
    with Wire(brokers) as between, LiveNet(directory) as net:
        for name in brokers:
            net.add_broker(name, host=between.address(name))
        net.add_node("client", calls=["*"])
        net.add_node("worker", serves=["*"])
        children = {
            name: net.launch([*between.inside(name), *BRAIDMQ, "broker", "--no-local", "--join", net.join(name)])
            for name in brokers
        }
        for name, child in children.items():
            child.wait_for_line(f"{name} listens at ")
        yield net, between, children


def worker_of(net):
    worker = Node(net.join("worker"))

    @worker.service("measure")
    async def measure(request):
        return b"%d" % len(request.payload)

    @worker.service("fill")
    async def fill(request):
        return bytes(LARGE_BYTES)

    return worker


def large_call(client, what, **options):
    """Begin a call with a large request or a large reply."""
    if what == "request":
        return asyncio.ensure_future(client.request("measure", bytes(LARGE_BYTES), timeout=TIMEOUT_S, **options))
    return asyncio.ensure_future(client.request("fill", timeout=TIMEOUT_S, **options))


def is_complete(reply, what):
    return reply.payload == (b"%d" % LARGE_BYTES if what == "request" else bytes(LARGE_BYTES))


@cases(
    "brokers",
    [
        pytest.param(("b1",), id="one broker"),
        pytest.param(("b1", "b2"), id="two brokers", marks=pytest.mark.nightly),
    ],
    one_in=2,
)
@pytest.mark.parametrize("what", ["request", "reply"])
async def test_a_path_is_stuck_once_and_carries_everything_from_then_on(tmp_path, caplog, what, brokers):
    with net_of(tmp_path / "net", *brokers) as (net, between, children):
        async with worker_of(net) as worker, Node(net.join("client")) as client:
            await until(lambda: all(b.state == "up" for node in (client, worker) for b in node.brokers))
            await client.request("measure", b"first", timeout=TIMEOUT_S, wait=True)
            away, back = (
                Rule(NODES, packet_bytes_max=PACKET_BYTES_MAX),
                Rule("", NODES, packet_bytes_max=PACKET_BYTES_MAX),
            )
            between.rule(away if what == "request" else back)
            for name in brokers:
                large = large_call(client, what, via=name, attempts=20)
                while not large.done():
                    assert (await client.request("measure", b"s", timeout=TIMEOUT_S, attempts=20)).payload == b"1"
                assert is_complete(await large, what)
            for name in 3 * brokers:
                assert is_complete(await large_call(client, what, via=name, attempts=1), what)
                await client.request("measure", b"s", via=name, attempts=1)
    lines = [text for text in caplog.messages if "large packets are lost on the way there" in text]
    told = sum(child.log.count("does not get large packets") for child in children.values())
    if what == "request":
        assert {line.partition(" ")[0] for line in lines} == set(brokers)
        assert len(lines) == len(brokers), "each path is stuck once"
        assert told == 0
    else:
        assert lines == []
        assert told == len(brokers)
