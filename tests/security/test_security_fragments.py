"""What a hostile member may do with fragments: it gets no more memory than is its due, and others feel nothing."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from attacks.curve import CurveClient
from braidmq import Settings
from braidmq.carrier.fragments import FRAGMENT_BYTES, LAST, MORE
from braidmq.carrier.options import frame_bytes_max
from braidmq.carrier.reassembly import joining_bytes_max
from braidmq.core.links.link import Open
from braidmq.settings import KIB, MIB
from braidmq.testing import TestNet
from braidmq.trust.joinfile import load
from braidmq.wire import control
from tests.support.async_tests import until
from tests.support.peers import now_ms
from tests.support.services import async_echo

LIMITS = {"payload_bytes_max": 2 * MIB, "outbox_bytes_max": 4 * MIB, "in_flight_bytes_max": 4 * MIB}
SETTINGS = Settings.test(**LIMITS, transport_timeout_s=60.0)
PIECE = bytes((MORE,)) + bytes(FRAGMENT_BYTES)


class Evil:
    """A member with connections that never say HELLO, and send fragments."""

    def __init__(self, net):
        self.net = net
        self.made = []
        net.node("evil")

    @property
    def listener(self):
        return self.net.brokers["b1"]._loop._listener

    @property
    def joining_bytes(self):
        return sum(peer.joining_bytes for peer in list(self.listener._peers.values()))

    async def connect(self):
        broker = self.net.brokers["b1"]
        target = Open("b1", broker.endpoint, load(broker.join).public_key)
        self.made.append(await asyncio.to_thread(CurveClient, load(self.net.join("evil")), target))
        return self.made[-1]

    async def send(self, peer, *frames):
        def act():
            with suppress(OSError):  # the broker may end it meanwhile
                for frame in frames:
                    peer.socket.sendall(peer.message(frame))

        await asyncio.to_thread(act)


async def lives(net):
    """Whether somebody else still calls with large payloads, both ways."""
    worker = net.node("worker")
    worker.service("s")(async_echo)
    async with worker, net.node("client") as client:
        await net.served("s")
        payload = bytes(MIB)
        assert (await client.request("s", payload)).payload == payload


def close(evil):
    for each in evil.made:
        each.socket.close()


async def test_fragments_without_end_are_a_message_that_is_too_long_and_bar_the_key():
    async with TestNet(1, settings=SETTINGS) as net:
        evil = Evil(net)
        peer = await evil.connect()
        await evil.send(peer, *[PIECE] * (frame_bytes_max(SETTINGS) // FRAGMENT_BYTES + 2))
        await until(lambda: net.counters["barred"] == 1)
        assert evil.joining_bytes == 0
        await lives(net)
        close(evil)


async def test_half_finished_messages_over_all_connections_of_a_key_take_no_more_than_its_due():
    most = joining_bytes_max(SETTINGS)
    async with TestNet(1, settings=SETTINGS) as net:
        evil = Evil(net)
        seen = []
        for _ in range(12):  # a MiB each: three times of what it may have
            await evil.send(await evil.connect(), *[PIECE] * 16)
            seen.append(evil.joining_bytes)
        await until(lambda: len(evil.listener._peers) < 12 and not evil.listener.has_more)
        assert max(seen) > most // 2
        assert max(seen) <= most + frame_bytes_max(SETTINGS), "one of them may go on"
        assert net.counters["barred"] == 0
        await lives(net)
        close(evil)
        await until(lambda: evil.joining_bytes == 0)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc tells how much memory a process has")
async def test_single_bytes_take_no_more_memory_than_they_are():
    async with TestNet(1, settings=SETTINGS) as net:
        evil = Evil(net)
        peer = await evil.connect()
        await evil.send(peer, *[bytes((MORE, 0))] * 5_000)
        await until(lambda: evil.joining_bytes == 5_000)
        [joiner] = [each._joiner for each in evil.listener._peers.values() if each._joiner is not None]
        assert joiner._data.__sizeof__() < 16 * KIB
        await lives(net)
        close(evil)


async def test_half_a_message_is_dropped_with_its_connection_when_it_does_not_go_on():
    async with TestNet(1, settings=Settings.test(**LIMITS, transport_heartbeat_s=0.1, transport_timeout_s=0.3)) as net:
        evil = Evil(net)
        await evil.send(await evil.connect(), PIECE)
        await until(lambda: evil.joining_bytes == FRAGMENT_BYTES)
        await until(lambda: evil.joining_bytes == 0)
        assert net.counters["barred"] == 0
        close(evil)


@pytest.mark.parametrize("frame", [bytes((MORE,)), bytes((LAST,)), bytes((LAST,)) + b"alone"])
async def test_a_fragment_that_nobody_may_send_bars_the_key(frame):
    async with TestNet(1, settings=SETTINGS) as net:
        evil = Evil(net)
        await evil.send(await evil.connect(), frame)
        await until(lambda: net.counters["barred"] == 1)
        await lives(net)
        close(evil)


async def test_what_is_joined_is_read_like_any_other_frame():
    async with TestNet(1, settings=SETTINGS) as net:
        evil = Evil(net)
        hello = control.encode_control(control.Hello("raw"), now_ms())
        await evil.send(await evil.connect(), hello, PIECE, bytes((LAST,)) + bytes(100))
        await until(lambda: net.counters["malformed"] == 1)
        assert net.counters["barred"] == 0
        await lives(net)
        close(evil)
