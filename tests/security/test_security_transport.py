"""What a member may do to its connections, below the messages."""

import asyncio
from contextlib import suppress

import pytest

from attacks.curve import INNER_COMMAND, INNER_MORE, CurveClient, framed
from braidmq.core.links.link import Open
from braidmq.testing import TestNet
from braidmq.trust.joinfile import load
from braidmq.wire import control
from tests.support.async_tests import until
from tests.support.peers import now_ms

FRAMES = 2_000


@pytest.fixture
def connect():
    """Return what makes connections of the member "evil", whose handshakes are complete."""
    made = []

    async def make(net):
        broker = net.brokers["b1"]
        target = Open("b1", broker.endpoint, load(broker.join).public_key)
        made.append(await asyncio.to_thread(CurveClient, load(net.join("evil")), target))
        return made[-1]

    yield make
    for each in made:
        each.socket.close()


def hello():
    return control.encode_control(control.Hello("raw"), now_ms())


def changed(message):
    return message[:-1] + bytes((message[-1] ^ 1,))


async def lives(net):
    async with net.node("bystander") as node:
        await node.connected()


async def test_a_peer_that_sends_pings_beyond_all_limits_and_resets_its_connection_ends_no_process(connect):
    async with TestNet(1) as net:
        net.node("evil")
        for _ in range(5):
            peer = await connect(net)
            peer.socket.settimeout(1.0)
            with suppress(TimeoutError, ConnectionError):
                peer.socket.sendall(b"".join(peer.message(b"") + peer.ping() for _ in range(FRAMES)))
            peer.reset()
        await lives(net)
        assert net.brokers["b1"].state == "up"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda peer: peer.message(b"part", INNER_MORE),
        lambda peer: peer.message(b"x", 0x80),
        lambda peer: peer.message(b"\x04WHAT", INNER_COMMAND),
        lambda peer: peer.message(b"\x04PING\x00\x64" + bytes(17), INNER_COMMAND),
    ],
    ids=["several frames", "unknown flags", "unknown command", "a long PING"],
)
async def test_what_only_the_holder_of_the_key_can_have_done_bars_it(connect, wrong):
    async with TestNet(1) as net:
        net.node("evil")
        peer = await connect(net)
        peer.socket.sendall(peer.message(hello()) + wrong(peer))
        await until(lambda: net.counters["barred"] == 1)
        with pytest.raises(OSError):  # noqa: PT011 - refused, in whatever way
            await connect(net)
        await lives(net)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda peer: b"\x80" + peer.message(b"x")[1:],
        lambda peer: changed(peer.message(b"x")),
        lambda peer: framed(b"\x07MESSAGE" + bytes(40)),
        lambda peer: framed(b"\x07MESSAGE"),
        lambda peer: framed(b"\x05READY" + bytes(60)),
        lambda peer: b"\x02" + b"\xff" * 8 + bytes(100),
        lambda peer: peer.message(bytes(2 * 1024 * 1024)),
    ],
    ids=["flags", "a bit", "a nonce", "no box", "no message", "a length", "too long"],
)
async def test_what_somebody_on_the_way_may_have_done_ends_the_connection_and_bars_nobody(connect, wrong, caplog):
    async with TestNet(1) as net:
        net.node("evil")
        peer = await connect(net)
        with suppress(ConnectionError):  # it may be ended before all is sent
            peer.socket.sendall(peer.message(hello()) + wrong(peer))
        await until(lambda: "does not keep to the protocol" in caplog.text)
        assert net.counters["barred"] == 0
        again = await connect(net)
        again.socket.sendall(again.message(hello()))
        await until(lambda: "evil" in {node.name for node in net.brokers["b1"].report().nodes})
        await lives(net)


async def test_one_key_gets_no_connections_without_number_though_none_says_anything(connect):
    async with TestNet(1) as net:
        net.node("evil")
        most = net.brokers["b1"]._loop._listener._keys.connections_max
        made = [await connect(net) for _ in range(most)]
        with pytest.raises(OSError):  # noqa: PT011 - refused, in whatever way
            await connect(net)
        await lives(net)
        made.pop().reset()

        async def let_in():
            with suppress(OSError):
                made.append(await connect(net))
            return len(made) == most

        async with asyncio.timeout(10.0):
            while not await let_in():
                pass
