"""What a foreign peer may cost a bridge, by what it sends, does not read, or does not do."""

import asyncio
import contextlib
import socket
import sys

import pytest
import zmq

from braidmq.bridges import connections, link, router
from braidmq.bridges.limits import ABSENCE_S_MAX, FRAMES_MAX, READ_BYTES, SLACK_BYTES
from tests.support.async_tests import until
from tests.support.bridge_endpoint import (
    PAYLOAD_BYTES_MAX,
    block,
    by_hand,
    listening,
    port_of,
    say,
    shaking_hands,
    spoken_with,
)


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
        assert (listener.counters["too_large"], listener.counters["malformed"]) == (1, 0)


async def test_too_large_message_counts_even_if_its_peer_is_cut_right_behind_it():
    async with spoken_with() as (listener, behind, raw, _):
        raw.sendall(b"\1\0" * (FRAMES_MAX + 1) + b"\0\0" + b"\xff" * 9)
        await until(lambda: len(behind.gone) == 1)
        assert (listener.counters["too_large"], listener.counters["malformed"]) == (1, 1)


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
    async with spoken_with() as (listener, _, _, _):
        (near,) = (each._transport.get_extra_info("socket") for each in listener._there)
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if sys.platform == "linux":
            asked = [
                near.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_KEEP{name}"))
                for name in ("IDLE", "INTVL", "CNT")
            ]
            assert asked[0] + asked[1] * asked[2] == ABSENCE_S_MAX


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
    async with spoken_with() as (listener, behind, deaf, peer):
        await block(listener, peer)
        if end == "half-closed":
            deaf.shutdown(socket.SHUT_WR)
        else:
            deaf.sendall(b"\xff" * 9)
        await until(lambda: not listener._there)
        assert len(behind.gone) == 1
        assert not listener._blocked


async def test_who_is_sent_away_may_read_its_last_words_for_a_while_only(monkeypatch):
    monkeypatch.setattr(router, "CLOSE_S_MAX", 0.1)
    async with spoken_with() as (listener, _, deaf, peer):
        [there] = listener._there
        while not there._transport.get_write_buffer_size():
            assert listener.send(peer, [b"x" * 1_000])
            await asyncio.sleep(0)
        assert not there.blocked
        deaf.sendall(b"\xff" * 9)
        await until(lambda: not listener._there)


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
