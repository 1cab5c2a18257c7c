"""The endpoint of a bridge: whose messages are whose, whose turn it is, and what is heard at the end."""

import asyncio
import contextlib
import itertools
import socket
import subprocess
import sys

import pytest
import zmq

from braidmq.bridges import router
from braidmq.bridges.limits import FRAMES_MAX, READ_BYTES, READS_AT_ONCE_OF_ONE, REST_S
from braidmq.bridges.plain import PlainDoor
from tests.support.async_tests import until
from tests.support.bridge_endpoint import Behind, by_hand, heard, listening, say, spoken_with
from tests.support.scarcity import descriptors


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


class Refusing(Behind):
    """Finds that some messages were in vain: at once, or when all that was read together has been told."""

    def __init__(self, *, late):
        super().__init__()
        self.late = late
        self.in_vain = []

    def on_message(self, peer, frames):
        super().on_message(peer, frames)
        if frames == [b"flood"]:
            self.in_vain.append(peer)
            if not self.late:
                self.on_read()

    def on_read(self):
        super().on_read()
        while self.in_vain:
            self.in_vain.pop().refused += 1


@pytest.mark.parametrize("late", [False, True])
async def test_for_each_message_that_was_in_vain_nothing_is_read_of_a_peer_for_a_while(dealer, late):
    async with listening(Refusing(late=late)) as (listener, behind):
        flooder, other = dealer(listener), dealer(listener)
        flooder.send(b"hello")
        await until(lambda: len(behind.come) == 1)
        for _ in range(900):
            flooder.send(b"flood")
        flooder.send(b"good")
        await until(lambda: len(behind.come) > 1)
        began, before = asyncio.get_running_loop().time(), len(behind.come)
        await until(lambda: len(behind.come) >= before + 200)
        assert asyncio.get_running_loop().time() - began >= (200 - READS_AT_ONCE_OF_ONE) * REST_S
        other.send(b"little")
        await until(lambda: [b"little"] in behind.frames)
        assert [b"good"] not in behind.frames
        await until(lambda: [b"good"] in behind.frames)
        for _ in range(2_000):
            flooder.send(b"good")
        began = asyncio.get_running_loop().time()
        await until(lambda: behind.frames.count([b"good"]) == 2_001)
        assert asyncio.get_running_loop().time() - began < 2_000 * REST_S


async def test_one_that_rests_holds_no_more_than_any_other():
    async with listening(Refusing(late=False)) as (listener, behind):
        with by_hand(listener) as raw:
            say(raw, b"hello")
            await until(lambda: len(behind.come) == 1)
            link = listener._connections.link(behind.come[0][0])
            raw.setblocking(False)
            flood, most = bytes([0, 5]) + b"flood", 0
            for _ in range(200):
                with contextlib.suppress(BlockingIOError):
                    raw.send(flood * 1_000)
                await asyncio.sleep(0)
                most = max(most, link.engine.held_bytes)
            assert READ_BYTES <= most < 2 * READ_BYTES


@pytest.mark.parametrize("reset", [False, True])
async def test_end_of_one_that_has_asked_for_too_much_is_noticed_soon_however_much_it_has_left(reset):
    async with listening(Refusing(late=False)) as (listener, behind):
        with by_hand(listener) as raw:
            say(raw, b"hello")
            await until(lambda: len(behind.come) == 1)
            left = 0
            raw.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while left < 40_000:
                    left += raw.send((bytes([0, 5]) + b"flood") * 100) // 7
            await until(lambda: len(behind.come) > 20)
            if reset:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
        await until(lambda: len(behind.gone) == 1)
        assert left > 10_000, "at the pace of one that rests, that takes 10 s"
        assert behind.news[-1] is behind.gone[0]


async def test_of_a_message_with_many_frames_only_some_are_looked_at_before_all_else_has_its_turn(dealer):
    async with listening() as (listener, behind):
        flooder = dealer(listener)
        flooder.send(b"hello")
        await until(lambda: len(behind.come) == 1)
        for _ in range(50):  # the event loop stands still meanwhile
            flooder.send_multipart([b""] * FRAMES_MAX)
        await until(lambda: len(behind.come) == 51)
        assert {after - before for before, after in itertools.pairwise(behind.reads)} <= {0, 1}


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


async def test_the_end_waits_only_a_while_for_one_that_does_not_read(monkeypatch):
    monkeypatch.setattr(router, "CLOSE_S_MAX", 0.1)
    async with spoken_with() as (listener, _, _, peer):
        while listener.send(peer, [b"x" * 60_000]):
            pass
        await listener.close()
        await until(lambda: not listener._there)
