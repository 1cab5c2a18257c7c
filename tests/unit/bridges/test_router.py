"""The endpoint of a bridge, with peers of libzmq that do what they like."""

import asyncio
import contextlib
import itertools
import socket
import subprocess
import sys

import pytest
import zmq

from braidmq.bridges import connections, link, router
from braidmq.bridges import listening as listening_module
from braidmq.bridges.limits import ABSENCE_S_MAX, FRAMES_MAX, READ_BYTES, READS_AT_ONCE_OF_ONE, SLACK_BYTES
from braidmq.bridges.plain import PlainDoor
from braidmq.bridges.router import Router
from braidmq.errors import ConfigError
from braidmq.host.room import NoRoom
from tests.support.async_tests import until
from tests.support.scarcity import descriptors, only

PAYLOAD_BYTES_MAX = 10_000


class Behind:
    """Keeps what comes."""

    def __init__(self):
        self.come, self.gone, self.news, self.reads = [], [], [], []

    def on_message(self, peer, frames):
        self.come.append((peer, frames))
        self.news.append(frames[-1])

    def on_gone(self, peer):
        assert peer.gone
        self.gone.append(peer)
        self.news.append(peer)

    def on_read(self):
        self.reads.append(len(self.come))

    @property
    def frames(self):
        return [frames for _, frames in self.come]


@contextlib.asynccontextmanager
async def listening(**options):
    behind = Behind()
    listener = Router(behind, payload_bytes_max=PAYLOAD_BYTES_MAX, **options)
    try:
        listener.bind(["tcp://127.0.0.1:*"])
        yield listener, behind
    finally:
        await listener.close()


@pytest.fixture
def dealer():
    """Makes foreign peers, which are closed after the test."""
    made = []
    with zmq.Context() as context:

        def make(listener, *, place=0, name=None, user=None, password=None):
            peer = context.socket(zmq.DEALER)
            made.append(peer)
            peer.setsockopt(zmq.LINGER, 0)
            if name is not None:
                peer.setsockopt(zmq.IDENTITY, name)
            if user is not None:
                peer.plain_username, peer.plain_password = user, password
            peer.connect(listener.endpoints[place])
            return peer

        yield make
        for peer in made:
            peer.close()


async def heard(peer):
    await until(lambda: peer.poll(0) > 0)
    return peer.recv_multipart()


async def test_peers_are_known_and_answered_until_they_go(dealer):
    async with listening() as (listener, behind):
        first, second = dealer(listener), dealer(listener)
        first.send_multipart([b"", b"hello"])
        second.send(b"hi")
        await until(lambda: len(behind.come) == 2)
        peers = {bytes(frames[-1]): peer for peer, frames in behind.come}
        assert (peers[b"hi"].host, peers[b"hi"].user, peers[b"hi"].member) == ("127.0.0.1", "", "")
        assert listener.send(peers[b"hi"], [b"", b"answer"])
        assert await heard(second) == [b"", b"answer"]
        second.send(b"again")
        await until(lambda: len(behind.come) == 3)
        assert behind.come[2][0] is peers[b"hi"]
        second.close()
        await until(lambda: behind.gone == [peers[b"hi"]])
        assert not listener.send(peers[b"hi"], [b"late"])
        assert listener.counters["unreachable"] == 1
        assert listener.send(peers[b"hello"], [b"still here"])
        assert await heard(first) == [b"still here"]


async def test_last_words_of_a_peer_are_heard_before_its_end(dealer):
    async with listening() as (listener, behind):
        peer = dealer(listener)
        peer.setsockopt(zmq.LINGER, 1_000)
        for number in range(3):
            peer.send(b"%d" % number)
        peer.close()
        await until(lambda: len(behind.come) == 3)
        await until(lambda: {peer.route for peer in behind.gone} == {peer.route for peer, _ in behind.come})


@contextlib.contextmanager
def by_hand(listener):
    """Yield a socket to the endpoint, over which the handshake of a DEALER has been said without waiting."""
    with socket.create_connection(("127.0.0.1", port_of(listener))) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(shaking_hands())
        yield raw


async def test_last_words_of_a_peer_are_its_own_even_if_its_end_is_known_before():
    async with listening() as (listener, behind):
        with by_hand(listener) as raw:
            say(raw, b"hello")
            await until(lambda: len(behind.come) == 1)
            raw.recv(1_000)  # what is not read would make its end a reset, which takes with it what was sent
            for number in range(3 * READS_AT_ONCE_OF_ONE):  # the event loop stands still until its end is there, too
                say(raw, b"%d" % number)
        await until(lambda: len(behind.gone) == 1)
        assert {id(peer) for peer, _ in behind.come} == {id(behind.gone[0])}
        assert behind.news[:-1] == [b"hello", *(b"%d" % number for number in range(3 * READS_AT_ONCE_OF_ONE))]


async def test_who_comes_back_over_another_connection_is_heard_after_the_end_of_the_first():
    async with listening() as (listener, behind):
        with by_hand(listener) as first:
            say(first, b"1")
            await until(lambda: len(behind.come) == 1)
            with by_hand(listener) as second:
                await until(lambda: len(listener._connections.links()) == 2)
                first.close()  # the event loop stands still until both are there
                say(second, b"2")
                await until(lambda: len(behind.news) == 3)
        assert behind.news == [b"1", behind.come[0][0], b"2"]


async def test_peer_may_name_itself_and_come_back_under_its_name(dealer):
    async with listening() as (listener, behind):
        for number in range(3):
            peer = dealer(listener, name=b"worker")
            peer.send(b"%d" % number)
            await until(lambda number=number: len(behind.come) == number + 1)
            assert listener.send(behind.come[-1][0], [b"answer"])
            assert await heard(peer) == [b"answer"]
            peer.close()
            await until(lambda number=number: len(behind.gone) == number + 1)
        assert len({id(peer) for peer, _ in behind.come}) == 3


async def test_message_of_any_form_is_taken_and_a_too_large_one_is_not(dealer):
    async with listening() as (listener, behind):
        peer = dealer(listener)
        sent = [[b""], [b"", b""], [b"x"] * FRAMES_MAX, [b"x" * PAYLOAD_BYTES_MAX]]
        too_large = [[b""] * (FRAMES_MAX + 1), [b"x" * SLACK_BYTES, b"x" * PAYLOAD_BYTES_MAX, b"x", b"y"]]
        for frames in (too_large[0], *sent, *too_large, [b"end"]):
            peer.send_multipart(frames)
        await until(lambda: behind.frames[-1:] == [[b"end"]])
        assert behind.frames == [*sent, [b"end"]]
        assert listener.counters["too_large"] == 3
        assert len({peer.route for peer, _ in behind.come}) == 1


async def test_peer_with_a_larger_frame_than_allowed_is_cut(dealer):
    async with listening() as (listener, behind):
        peer = dealer(listener)
        peer.send(b"hello")
        await until(lambda: len(behind.come) == 1)
        peer.send(b"x" * (PAYLOAD_BYTES_MAX + SLACK_BYTES + 1))
        await until(lambda: len(behind.gone) == 1)
        assert behind.frames == [[b"hello"]]


async def test_too_large_message_counts_even_if_its_peer_is_cut_right_behind_it():
    async with listening() as (listener, behind):
        with by_hand(listener) as raw:
            say(raw, b"hello")
            await until(lambda: len(behind.come) == 1)
            raw.sendall(b"\1\0" * (FRAMES_MAX + 1) + b"\0\0" + b"\xff" * 9)
            await until(lambda: len(behind.gone) == 1)
        assert (listener.counters["too_large"], listener.counters["malformed"]) == (1, 1)


async def test_bytes_that_are_no_zmtp_harm_nobody(dealer):
    async with listening() as (listener, behind):
        peer = dealer(listener)
        port = int(listener.endpoints[0].rpartition(":")[2])
        for junk in (
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff" * 64,
            bytes(200),
            b"\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL" + bytes(60),
        ):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(junk)
        peer.send(b"hello")
        await until(lambda: behind.frames == [[b"hello"]])
        assert behind.gone == []


def shaking_hands():
    """Return what a DEALER of ZMTP 3 says first, without authentication."""
    greeting = b"\xff" + bytes(8) + b"\x7f\3\0" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    return greeting + bytes((4, len(ready))) + ready


MIB_OF_FRAMES = (b"\x03" + (0x4000).to_bytes(8) + bytes(0x4000)) * 64
"""64 frames, behind each of which there are more of the same message."""


async def pour(writer, data, times):
    with contextlib.suppress(ConnectionError):
        for _ in range(times):
            writer.write(data)
            await writer.drain()


async def test_of_a_message_that_never_ends_nothing_is_kept(dealer):
    async with listening() as (listener, behind):
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
        writer.write(shaking_hands())
        await pour(writer, MIB_OF_FRAMES, 50)
        assert listener._held_bytes <= 2 * READ_BYTES
        dealer(listener).send(b"honest")
        await until(lambda: behind.frames == [[b"honest"]])
        writer.transport.abort()


async def test_of_those_whose_messages_are_not_complete_the_one_with_the_most_is_cut(monkeypatch):
    monkeypatch.setattr(router, "HELD_BYTES_MAX", 5 * PAYLOAD_BYTES_MAX)
    async with listening() as (listener, behind), contextlib.AsyncExitStack() as ends:
        raws = [ends.enter_context(by_hand(listener)) for _ in range(4)]
        for number, raw in enumerate(raws):
            raw.sendall(b"\2" + PAYLOAD_BYTES_MAX.to_bytes(8) + bytes(PAYLOAD_BYTES_MAX - 1 - number))
            await until(lambda number=number: listener._held_bytes >= (number + 1) * (PAYLOAD_BYTES_MAX - 4))
        large = ends.enter_context(by_hand(listener))
        large.sendall(b"\2" + (SLACK_BYTES).to_bytes(8) + bytes(2 * PAYLOAD_BYTES_MAX))
        await until(lambda: listener.counters["too_far_ahead"] == 1)
        await until(lambda: len(listener._there) == 4)
        for number, raw in enumerate(raws):
            raw.sendall(bytes(number + 1))
        await until(lambda: len(behind.come) == 4)
        assert listener._held_bytes == 0
        assert listener.counters["too_far_ahead"] == 1


async def test_who_has_gone_and_waits_to_be_heard_is_cut_before_one_that_has_sent_less(monkeypatch):
    monkeypatch.setattr(router, "HELD_BYTES_MAX", 1_000)
    async with listening() as (listener, _):
        monkeypatch.setattr(listener, "_turn_soon", lambda: None)
        with by_hand(listener) as gone:
            for _ in range(8):
                say(gone, bytes(100))
            await until(lambda: listener._held_bytes > 800)
        await until(lambda: not listener._there)
        with by_hand(listener) as other:
            say(other, bytes(200))
            await until(lambda: listener.counters["too_far_ahead"] == 1)
            assert len(listener._there) == 1
            assert [*listener._there] == [*listener._waiting]


async def test_peer_that_sends_much_in_whole_messages_is_not_cut(dealer):
    async with listening() as (listener, behind):
        peer = dealer(listener)
        for number in range(1_500):
            await until(lambda: peer.poll(0, zmq.POLLOUT), 60)
            peer.send_multipart([b"%d" % number, bytes(PAYLOAD_BYTES_MAX)])
        await until(lambda: len(behind.come) == 1_500, 60)
        assert [int(frames[0]) for frames in behind.frames] == list(range(1_500))
        assert listener.counters["too_far_ahead"] == 0


async def test_nothing_is_kept_of_those_who_have_gone(dealer):
    async with listening() as (listener, behind):
        for number in range(3):
            peer = dealer(listener)
            peer.send(b"%d" % number)
            await until(lambda: len(behind.come) == number + 1)  # noqa: B023 - it is called at once
            peer.close()
        await until(lambda: len(behind.gone) == 3)
        await until(lambda: not listener._there)
        assert (listener._connections.links(), listener._waiting, listener._held_bytes) == ([], {}, 0)


async def test_of_too_many_that_say_nothing_the_oldest_is_cut(dealer, monkeypatch):
    monkeypatch.setattr(connections, "SILENT_MAX", 3)
    monkeypatch.setattr(router, "HANDSHAKE_S_MAX", 600.0)  # or they are cut for that
    async with listening() as (listener, behind):
        speaker = dealer(listener)
        speaker.send(b"1")
        await until(lambda: len(behind.come) == 1)
        silent = []
        for number in range(4):  # one after the other, so that it is known which one is the oldest
            silent.append(await asyncio.open_connection("127.0.0.1", port_of(listener)))
            there = min(number + 2, 4)
            await until(lambda: len(listener._connections.links()) >= there)  # noqa: B023 - it is called at once
        with contextlib.suppress(ConnectionResetError):
            await silent[0][0].read()  # to its end
        assert listener.counters["too_many_silent"] == 1
        await until(lambda: len(listener._connections.links()) == 4)
        speaker.send(b"2")
        await until(lambda: behind.frames == [[b"1"], [b"2"]])
        for _, writer in silent:
            writer.close()


async def test_one_that_does_not_shake_hands_is_cut_in_time(monkeypatch):
    monkeypatch.setattr(router, "HANDSHAKE_S_MAX", 0.1)
    async with listening() as (listener, behind):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
        with by_hand(listener):
            writer.write(shaking_hands()[:-1])
            with contextlib.suppress(ConnectionResetError):
                await reader.read()  # to its end
            assert len(listener._there) == 1, "whose handshake is complete may be silent"
        writer.close()
        assert behind.gone == []


async def test_the_system_asks_whether_the_machine_of_a_peer_is_there():
    async with listening() as (listener, behind):
        with by_hand(listener) as raw:
            say(raw, b"hello")
            await until(lambda: len(behind.come) == 1)
            (near,) = (each._transport.get_extra_info("socket") for each in listener._there)
            assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if sys.platform == "linux":
                asked = [
                    near.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_KEEP{name}"))
                    for name in ("IDLE", "INTVL", "CNT")
                ]
                assert asked[0] + asked[1] * asked[2] == ABSENCE_S_MAX


def port_of(listener):
    return int(listener.endpoints[0].rpartition(":")[2])


async def test_only_so_many_peers_are_heard(dealer, monkeypatch):
    monkeypatch.setattr(connections, "PEERS_MAX", 2)
    async with listening() as (listener, behind):
        peers = [dealer(listener) for _ in range(3)]
        for number, peer in enumerate(peers):
            peer.send(b"%d" % number)
            await until(lambda number=number: len(behind.come) + listener.counters["too_many_peers"] == number + 1)
        assert behind.frames == [[b"0"], [b"1"]]
        peers[0].close()
        await until(lambda: len(behind.gone) == 1)
        peers[2].send(b"again")
        await until(lambda: behind.frames[-1] == [b"again"])


async def test_what_a_peer_does_not_read_is_dropped_and_blocks_nobody(dealer, monkeypatch):
    monkeypatch.setattr(link, "UNREAD_MESSAGES_MAX", 10)
    async with listening() as (listener, behind):
        slow, other = dealer(listener), dealer(listener)
        for peer in (slow, other):
            peer.send(b"hello")
        await until(lambda: len(behind.come) == 2)
        chunk = b"x" * 60_000
        routes = {peer.route: peer for peer, _ in behind.come}
        assert len(routes) == 2
        full = behind.come[0][0]
        for _ in range(5_000):
            if not listener.send(full, [chunk]):
                break
        assert listener.counters["unread"] == 1
        assert listener.send(behind.come[1][0], [b"answer"])


async def test_what_all_peers_together_do_not_read_has_a_limit(monkeypatch):
    monkeypatch.setattr(router, "UNREAD_BYTES_MAX", 4_000_000)
    async with listening() as (listener, behind):
        with by_hand(listener) as one, by_hand(listener) as two:
            for raw in (one, two):
                say(raw, b"hello")
            await until(lambda: len(behind.come) == 2)
            first, second = (peer for peer, _ in behind.come)
            chunk = b"x" * 60_000
            while listener.send(first, [chunk]):
                pass
            assert listener.counters["unread"] == 1
            while not behind.gone:  # the one with the most makes room once another one does not read, either
                assert listener.send(second, [chunk])
                kept = sum(each.unread_bytes for each in listener._there)
                assert kept < 4_000_000 + 3 * len(chunk)
            assert behind.gone == [first]
            assert listener.counters["unread"] == 2


async def block(listener, peer):
    """Send to a peer that does not read until something waits here."""
    while not listener._connections.link(peer).blocked:
        assert listener.send(peer, [b"x" * 60_000])
        await asyncio.sleep(0)


async def test_who_reads_slowly_loses_nothing_as_long_as_few_messages_wait(monkeypatch, tmp_path):
    monkeypatch.setattr(link, "UNREAD_MESSAGES_MAX", 10)
    async with listening() as (listener, behind):
        listener.bind([f"ipc://{tmp_path}/bridge"])  # whose sockets take little at once, other than those of TCP
        with socket.socket(socket.AF_UNIX) as slow:
            slow.connect(f"{tmp_path}/bridge")
            slow.sendall(shaking_hands())
            say(slow, b"hello")
            await until(lambda: len(behind.come) == 1)
            peer = behind.come[0][0]
            await block(listener, peer)
            there = listener._connections.link(peer)
            for _ in range(100):
                assert listener.send(peer, [b"x" * 60_000])
                while there.unread_bytes > 8 * 60_000:
                    slow.recv(10_000)
                    await asyncio.sleep(0)
                assert there.blocked, "so it counts for something"
            assert listener.counters["unread"] == 0
            while listener.send(peer, [b"x" * 60_000]):
                pass
            assert there.unread_bytes <= 12 * 60_010


@pytest.mark.parametrize("end", ["half-closed", "malformed"])
async def test_who_does_not_read_and_has_ended_is_not_waited_for(end, monkeypatch):
    monkeypatch.setattr(router, "CLOSE_S_MAX", 600.0)
    async with listening() as (listener, behind):
        with by_hand(listener) as deaf:
            say(deaf, b"hello")
            await until(lambda: len(behind.come) == 1)
            await block(listener, behind.come[0][0])
            if end == "half-closed":
                deaf.shutdown(socket.SHUT_WR)
            else:
                deaf.sendall(b"\xff" * 9)
            await until(lambda: not listener._there)
        assert len(behind.gone) == 1
        assert not listener._blocked


async def test_who_is_sent_away_may_read_its_last_words_for_a_while_only(monkeypatch):
    monkeypatch.setattr(router, "CLOSE_S_MAX", 0.1)
    async with listening() as (listener, behind):
        with by_hand(listener) as deaf:
            say(deaf, b"hello")
            await until(lambda: len(behind.come) == 1)
            peer = behind.come[0][0]
            [there] = listener._there
            while not there._transport.get_write_buffer_size():
                assert listener.send(peer, [b"x" * 1_000])
                await asyncio.sleep(0)
            assert not there.blocked
            deaf.sendall(b"\xff" * 9)
            await until(lambda: not listener._there)


async def test_nothing_is_written_to_one_that_has_ended(caplog):
    async with listening() as (listener, behind):
        with by_hand(listener) as raw:
            say(raw, b"hello")
            await until(lambda: len(behind.come) == 1)
            raw.sendall(
                (b"\4\7\4PING\0\0" + b"\0\0") * 1_000
            )  # the event loop stands still until its end is there, too
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
        await until(lambda: len(behind.gone) == 1)
    assert not caplog.records


async def test_what_the_bridge_does_not_read_in_time_waits_at_its_peer(dealer, tmp_path):
    async with listening() as (listener, behind):
        listener.bind([f"ipc://{tmp_path}/bridge"])  # whose sockets hold little, other than those of TCP
        peer = dealer(listener, place=-1)
        peer.setsockopt(zmq.SNDHWM, 1)
        peer.send(b"hello")
        await until(lambda: len(behind.come) == 1)
        sent = 0
        while sent < 500 and peer.poll(500, zmq.POLLOUT):  # the event loop stands still meanwhile
            peer.send(b"x" * SLACK_BYTES)
            sent += 1
        assert sent < 100
        await until(lambda: len(behind.come) == 1 + sent)


async def test_of_one_peer_only_some_messages_are_read_before_all_else_has_its_turn(dealer):
    async with listening() as (listener, behind):
        flooder, other = dealer(listener), dealer(listener)
        for peer in (flooder, other):
            peer.send(b"hello")
        await until(lambda: len(behind.come) == 2)
        for _ in range(500):  # the event loop stands still meanwhile
            flooder.send(b"flood")
        other.send(b"little")
        await until(lambda: len(behind.come) == 503)
        reads = [after - before for before, after in itertools.pairwise(behind.reads)]
        assert READS_AT_ONCE_OF_ONE <= max(reads) <= READS_AT_ONCE_OF_ONE + 1


async def test_of_a_peer_that_has_been_refused_one_message_is_read_before_all_else_has_its_turn(dealer):
    async with listening() as (listener, behind):
        flooder = dealer(listener)
        flooder.send(b"hello")
        await until(lambda: len(behind.come) == 1)
        behind.come[0][0].refused = True
        for _ in range(200):  # the event loop stands still meanwhile
            flooder.send(b"flood")
        await until(lambda: len(behind.come) == 201)
        assert {after - before for before, after in itertools.pairwise(behind.reads)} <= {0, 1}


async def test_of_a_message_with_many_frames_only_some_are_looked_at_before_all_else_has_its_turn(dealer):
    async with listening() as (listener, behind):
        flooder = dealer(listener)
        flooder.send(b"hello")
        await until(lambda: len(behind.come) == 1)
        for _ in range(50):  # the event loop stands still meanwhile
            flooder.send_multipart([b""] * FRAMES_MAX)
        await until(lambda: len(behind.come) == 51)
        assert {after - before for before, after in itertools.pairwise(behind.reads)} <= {0, 1}


# -- what peers say of themselves


@contextlib.asynccontextmanager
async def named_peer(connection, *told):
    """A ZMTP peer of NULL over a connected socket, whose READY tells properties of its own choice."""
    greeting = b"\xff" + bytes(8) + b"\x7f\3\0NULL" + bytes(16) + b"\0" + bytes(31)
    properties = [(b"Socket-Type", b"DEALER"), *told]
    body = b"\5READY" + b"".join(
        bytes([len(name)]) + name + len(value).to_bytes(4) + value for name, value in properties
    )
    with connection:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, greeting + b"\4" + bytes([len(body)]) + body)
        heard = b""
        while b"READY" not in heard:  # only then are messages taken
            heard += await loop.sock_recv(connection, 1_000)
        yield connection


def say(connection, text):
    connection.sendall(bytes([0, len(text)]) + text)


async def test_nobody_is_a_user_or_elsewhere_by_its_own_word(tmp_path):
    told = (b"User-Id", b"shop"), (b"Peer-Address", b"10.9.9.9")
    async with listening(members={"shop": "shop"}) as (listener, behind):
        listener.bind([f"ipc://{tmp_path}/bridge"])
        port = int(listener.endpoints[0].rpartition(":")[2])
        near = socket.socket(socket.AF_UNIX)
        near.connect(f"{tmp_path}/bridge")
        for number, connection in enumerate((socket.create_connection(("127.0.0.1", port)), near)):
            async with named_peer(connection, *told):
                say(connection, b"hello")
                await until(lambda number=number: len(behind.come) == number + 1)
        assert [(peer.user, peer.member, peer.host) for peer, _ in behind.come] == [
            ("", "", "127.0.0.1"),
            ("", "", ""),
        ]


@pytest.mark.parametrize("name", [b"User-Id", b"Peer-Address"])
async def test_peer_that_tells_nonsense_of_itself_costs_others_nothing(dealer, name):
    async with listening() as (listener, behind):
        port = int(listener.endpoints[0].rpartition(":")[2])
        peer = dealer(listener)
        peer.send(b"hello")
        await until(lambda: len(behind.come) == 1)
        async with named_peer(socket.create_connection(("127.0.0.1", port)), (name, b"\xff\xfe")) as stranger:
            say(stranger, b"boo")
            peer.send(b"again")
            await until(lambda: len(behind.come) == 3)
        assert sorted(frames[0] for frames in behind.frames) == [b"again", b"boo", b"hello"]


async def test_error_over_one_message_costs_no_other(dealer, caplog):
    async with listening() as (listener, behind):
        pass_on, behind.on_message = behind.on_message, lambda peer, frames: pass_on(peer, [b"%d" % int(frames[0])])
        peer = dealer(listener)
        for text in (b"1", b"two", b"3"):
            peer.send(text)
        await until(lambda: len(behind.come) == 2)
        assert behind.frames == [[b"1"], [b"3"]]
    assert "the bridge met an error of its own" in caplog.text


# -- PLAIN


async def test_users_are_let_in_by_their_passwords(dealer):
    door = PlainDoor({"shop": "secret", "bank": "other"})
    async with listening(door=door, members={"bank": "bank"}) as (listener, behind):
        wrong = [
            dealer(listener),
            dealer(listener, user=b"shop", password=b"other"),
            dealer(listener, user=b"nobody", password=b"secret"),
        ]
        for peer in wrong:
            peer.send(b"wrong")
        shop = dealer(listener, user=b"shop", password=b"secret")
        bank = dealer(listener, user=b"bank", password=b"other")
        shop.send(b"shop")
        bank.send(b"bank")
        await until(lambda: len(behind.come) == 2)
        await until(lambda: listener.counters["refused"] >= 2)
        assert {(peer.user, peer.member, frames[0]) for peer, frames in behind.come} == {
            ("shop", "", b"shop"),
            ("bank", "bank", b"bank"),
        }


# -- the endpoint itself


async def test_place_that_is_taken_is_told_in_one_line():
    async with listening() as (listener, _):
        other = Router(Behind(), payload_bytes_max=PAYLOAD_BYTES_MAX)
        told = f"cannot listen at {listener.endpoints[0]}: Address already in use: end what listens there, .*$"
        with pytest.raises(ConfigError, match=told):
            other.bind(listener.endpoints)
        with pytest.raises(ConfigError, match="cannot listen at nonsense: "):
            other.bind(["nonsense"])
        await other.close()


async def test_what_was_sent_last_leaves_before_the_end(dealer):
    async with listening() as (listener, behind):
        peer = dealer(listener)
        peer.send(b"hello")
        await until(lambda: len(behind.come) == 1)
        listener.send(behind.come[0][0], [b"goodbye"])
    assert await heard(peer) == [b"goodbye"]


ENDS_WITHOUT_DESCRIPTORS = """
import asyncio
from braidmq.bridges.router import Router
from tests.support.scarcity import only

async def main():
    router = Router(None, payload_bytes_max=1)
    with only(0):
        await router.close()

asyncio.run(main())
"""


@descriptors
def test_endpoint_ends_even_if_no_descriptor_is_left():
    command = [sys.executable, "-c", ENDS_WITHOUT_DESCRIPTORS]  # of its own, as this process has imported all it needs
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


async def test_of_those_who_wait_to_be_heard_nothing_is_kept_behind_the_end(monkeypatch):
    async with listening() as (listener, _):
        monkeypatch.setattr(listener, "_turn_soon", lambda: None)
        with by_hand(listener):
            await until(lambda: listener._there)
            [there] = listener._there
            await until(lambda: there.waits)
            await listener.close()
            await until(lambda: not listener._there)
            assert (listener._waiting, listener._held_bytes, there.handshake_timer) == ({}, 0, None)


@descriptors
async def test_who_finds_no_descriptor_waits_and_the_log_tells_it_once(monkeypatch, caplog):
    monkeypatch.setattr(listening_module, "PAUSE_S", 0.01)
    pauses = []
    pause = listening_module.Place._pause_because
    monkeypatch.setattr(listening_module.Place, "_pause_because", lambda *told: (pauses.append(told), pause(*told)))
    async with listening() as (listener, behind):
        with by_hand(listener) as live, contextlib.ExitStack() as ends:
            say(live, b"hello")
            await until(lambda: len(behind.come) == 1)
            raws = [ends.enter_context(socket.socket()) for _ in range(3 * listening_module.ACCEPTED_AT_ONCE)]
            with only(3):
                for raw in raws:
                    raw.connect(("127.0.0.1", port_of(listener)))
                    raw.sendall(shaking_hands())
                    say(raw, b"late")
                await until(lambda: len(pauses) > 3)
                say(live, b"again")
                await until(lambda: [b"again"] in behind.frames)
                assert len(listener._there) == 4
            await until(lambda: len(behind.come) == 2 + len(raws))
    [told] = [each.getMessage() for each in caplog.records]
    assert told.startswith(
        f"who connects to {listener.endpoints[0]} needs more file descriptors; this process may open "
    )


async def test_it_may_end_while_nobody_finds_a_descriptor():
    async with listening() as (listener, _):
        [place] = listener._places
        place._pause_because(NoRoom(""))
        await listener.close()
        assert place._pause.cancelled()


async def test_the_end_waits_only_a_while_for_one_that_does_not_read(monkeypatch):
    monkeypatch.setattr(router, "CLOSE_S_MAX", 0.1)
    async with listening() as (listener, behind):
        with by_hand(listener) as deaf:
            say(deaf, b"hello")
            await until(lambda: len(behind.come) == 1)
            while listener.send(behind.come[0][0], [b"x" * 60_000]):
                pass
            await listener.close()
            await until(lambda: not listener._there)


async def test_file_of_a_socket_is_its_owners_and_goes_with_it(dealer, tmp_path):
    path = tmp_path / "bridge"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # what a process has left that was killed
    async with listening() as (listener, behind):
        listener.bind([f"ipc://{path}", f"ipc://@{path}"])
        assert path.stat().st_mode & 0o777 == 0o600
        for place in (1, 2):
            peer = dealer(listener, place=place)
            peer.send(b"hello")
            await until(lambda place=place: len(behind.come) == place)
            assert listener.send(behind.come[-1][0], [b"answer"])
            assert await heard(peer) == [b"answer"]
        assert {peer.host for peer, _ in behind.come} == {""}
        with pytest.raises(ConfigError, match=f"cannot listen at ipc://{path}: Address already in use"):
            listener.bind([f"ipc://{path}"])
    assert not path.exists()


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("tcp://127.0.0.1", "write tcp://HOST:PORT"),
        ("tcp://:5555", "write tcp://HOST:PORT"),
        ("tcp://127.0.0.1:port", "write tcp://HOST:PORT"),
        ("tcp://127.0.0.1:70000", "write tcp://HOST:PORT"),
        ("tcp://127.0.0.1:-1", "write tcp://HOST:PORT"),
        ("tcp://no.such.host.invalid:5555", "its host cannot be looked up"),
        ("tcp://192.0.2.1:5555", "Cannot assign requested address"),
        ("ipc://", "write tcp://HOST:PORT or ipc://PATH"),
        ("ipc:///no/such/folder/socket", "No such file or directory"),
        ("ipc:///" + "x" * 200, "too long"),
        ("inproc://here", "write tcp://HOST:PORT or ipc://PATH"),
        ("", "write tcp://HOST:PORT or ipc://PATH"),
    ],
)
async def test_endpoint_that_cannot_be_is_told_in_one_line(endpoint, why):
    async with listening() as (listener, _):
        with pytest.raises(ConfigError) as told:
            listener.bind([endpoint])
        assert str(told.value).startswith(f"cannot listen at {endpoint}: ")
        assert why in str(told.value)
        assert "\n" not in str(told.value)


async def test_every_address_of_this_machine_can_be_listened_at(dealer):
    async with listening() as (listener, behind):
        listener.bind(["tcp://*:*", "tcp://[::1]:*", "tcp://localhost:*"])
        assert [each.rpartition(":")[0] for each in listener.endpoints[1:]] == [
            "tcp://0.0.0.0",
            "tcp://[::1]",
            "tcp://127.0.0.1",
        ]
        for number in range(4):
            port = listener.endpoints[number].rpartition(":")[2]
            with socket.create_connection(("::1" if number == 2 else "127.0.0.1", int(port))) as raw:
                raw.sendall(shaking_hands())
                say(raw, b"hello")
                await until(lambda number=number: len(behind.come) == number + 1)
        assert [peer.host for peer, _ in behind.come] == ["127.0.0.1", "127.0.0.1", "::1", "127.0.0.1"]
