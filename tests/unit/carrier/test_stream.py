"""A connection over real sockets: what comes, what goes, and what is known when it ends."""

import subprocess
import sys

import pytest

from braidmq.carrier.fragments import UNDERSTANDS
from braidmq.carrier.rooms import READ_BYTES, ROOM_BYTES_MAX, Rooms
from braidmq.carrier.stream import FRAMES_PER_FLUSH, KEEPING_BYTES, End
from braidmq.lab.processes.waiting import wait_until
from braidmq.wire.limits import BUNDLE_BYTES
from braidmq.zmtp.engine import HEAD_BYTES, OVERHEAD_BYTES
from braidmq.zmtp.sodium import Room
from braidmq.zmtp.violation import Violation
from tests.support.streams import (
    NOTHING,
    TIGHT,
    as_client,
    as_server,
    read_to_the_end,
    reset,
    shake_hands,
    sockets,
    streams,
)

KIB = 1024
LONG_HEADER_BYTES = 9


@pytest.fixture(params=[UNDERSTANDS, NOTHING], ids=["fragments", "whole"])
def pair(request):
    made = streams(tells=request.param)
    yield made
    for each in made:
        each.close()


@pytest.fixture(params=[UNDERSTANDS, NOTHING], ids=["fragments", "whole"])
def tight(request):
    made = streams(tells=request.param, buffer_bytes=TIGHT)
    yield made
    for each in made:
        each.close()


def numbered(count, size=32 * KIB):
    return [b"%06d" % number + b"m" * (size - 6) for number in range(count)]


def split_numbered(frames, size=32 * KIB):
    data = b"".join(frames)
    assert len(data) % size == 0
    return [data[at : at + size] for at in range(0, len(data), size)]


def carry(sender, receiver, size):
    """Let one send what waits, and the other read, until so many bytes have come; return the frames."""
    found = []

    def all_of_it():
        sender.flush()
        receiver.read(found)
        return sum(len(each) for each in found) >= size

    wait_until(all_of_it, "all of it has come", poll_s=0.0)
    return found


def fill(stream, messages):
    """Send messages until the system takes no more; return those that were given to the stream."""
    for count, message in enumerate(messages, 1):
        stream.send([message])
        if stream.blocked:
            return messages[:count]
    raise AssertionError("the system takes everything")


# -- what goes


def test_messages_share_frames_and_keep_their_order(pair):
    server, client = pair
    messages = numbered(100, size=1000)
    client.send(messages)
    frames = carry(client, server, 100_000)
    assert split_numbered(frames, 1000) == messages
    assert len(frames) == 2
    assert max(map(len, frames)) <= BUNDLE_BYTES


def test_what_the_system_does_not_take_leaves_later_in_order(tight):
    server, client = tight
    messages = numbered(40)
    for message in messages:
        client.send([message])
    assert client.blocked
    assert client.waiting_bytes > 20 * 32 * KIB
    assert split_numbered(carry(client, server, 40 * 32 * KIB)) == messages
    assert not client.blocked
    assert client.waiting_bytes == 0


@pytest.mark.parametrize("more", [0, 1, 3])
def test_close_returns_what_has_not_left_and_nothing_else(tight, more):
    server, client = tight
    messages = numbered(60)
    sent = fill(client, messages)
    for message in messages[len(sent) : len(sent) + more]:
        client.send([message])
        sent.append(message)
    unsent = client.close()
    arrived = split_numbered(read_to_the_end(server))
    assert arrived + unsent == sent
    assert len(unsent) == 1 + more


def test_a_bundle_that_has_begun_to_leave_is_returned_with_all_its_messages(tight):
    server, client = tight
    sent = fill(client, numbered(60))
    more = numbered(4, size=10)
    client.send(more)
    assert client.close()[-4:] == more
    assert split_numbered(read_to_the_end(server)) == sent[:-1]


def test_what_has_left_is_not_returned(pair):
    _server, client = pair
    client.send(numbered(3))
    assert client.close() == []


def test_messages_wait_for_the_handshake_and_nobody_spins_meanwhile():
    server, client = sockets()
    here, there = as_server(server), as_client(client)
    there.send([b"early"])
    there.flush()
    assert not there.blocked
    assert there.waiting_bytes == len(b"early") + KEEPING_BYTES
    found = []
    wait_until(lambda: here.flush() or there.read(found) or here.read(found) or found, "it has come")
    assert found == [b"early"]
    assert there.close() == []
    here.close()


def test_messages_that_waited_for_a_handshake_in_vain_are_returned():
    server, client = sockets()
    there = as_client(client)
    there.send([b"early", b"and more"])
    assert there.close() == [b"early", b"and more"]
    server.close()


def test_a_large_frame_leaves_in_pieces_and_is_read_in_pieces(pair):
    server, client = pair
    message = bytes(range(256)) * (20 * KIB)
    client.send([message])
    assert client.blocked
    before = len(message)
    while client.blocked:
        assert client.waiting_bytes < before
        before = client.waiting_bytes
        server.read([])
        wait_until(lambda before=before: client.flush() or client.waiting_bytes < before, "more of it has left")
        if before < len(message) // 2:
            break
    client.send([b"behind it"])
    assert carry(client, server, len(message) + 9) == [message, b"behind it"]


def test_room_for_large_frames_is_given_back():
    rooms = Rooms()
    assert rooms.outbox_for(BUNDLE_BYTES) is rooms.outbox
    for size in (200 * KIB, ROOM_BYTES_MAX - HEAD_BYTES, 10 * ROOM_BYTES_MAX):
        assert rooms.outbox_for(size).size >= size + HEAD_BYTES
        assert rooms.outbox.size <= ROOM_BYTES_MAX
    assert rooms.outbox_for(10) is rooms.outbox


def test_nothing_more_is_sent_to_who_has_gone_and_its_end_is_still_read(pair):
    server, client = pair
    server.send([b"last words"])
    server.close()
    client.send([b"x"])  # is answered by a reset
    wait_until(lambda: client.send([b"y"]) or client._torn is not None, "the system takes no more")
    assert not client.blocked
    assert read_to_the_end(client) == [b"last words"]
    assert isinstance(client.end, End)
    assert set(client.close()) == {b"y"}


def test_a_program_that_sigpipe_ends_survives_a_connection_that_ends():
    script = """
import signal
from braidmq.lab.processes.waiting import wait_until
from tests.support.streams import NOTHING, TIGHT, reset, streams

signal.signal(signal.SIGPIPE, signal.SIG_DFL)
server, client = streams()
server.close()
wait_until(lambda: client.send([b"x"]) or client._torn is not None, "the system takes no more")
print("alive")
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, result.stdout) == (0, "alive\n"), result.stderr


def test_the_other_side_sees_the_end_behind_what_was_sent(pair):
    server, client = pair
    client.send([b"last words"])
    client.shut()
    assert read_to_the_end(server) == [b"last words"]
    assert server.end is End.CLOSED
    server.send([b"heard"])
    server.close()
    assert read_to_the_end(client) == [b"heard"]


# -- what comes


def test_what_came_before_the_end_is_read_before_it(pair):
    server, client = pair
    messages = numbered(20, size=10 * KIB)
    server.send(messages)
    server.close()
    assert split_numbered(read_to_the_end(client), 10 * KIB) == messages
    assert client.end is End.CLOSED


def test_what_came_before_a_reset_is_read_before_it():
    here, there = sockets()
    server, client = as_server(here), as_client(there)
    shake_hands(server, client)
    messages = numbered(3, size=10 * KIB)
    server.send(messages)
    wait_until(lambda: client.unread() > 30 * KIB, "it has come")
    reset(here)
    assert split_numbered(read_to_the_end(client), 10 * KIB) == messages
    assert client.end is End.RESET
    client.close()


def test_a_reset_in_the_middle_of_a_frame_is_told_and_its_beginning_is_dropped():
    here, there = sockets(buffer_bytes=TIGHT)
    server, client = as_server(here), as_client(there)
    shake_hands(server, client)
    server.send([b"whole"])
    server.send([b"l" * 1024 * KIB])
    found = []
    wait_until(lambda: client.read(found) or client.came_bytes > 8 * KIB, "a part of it has come")
    reset(here)
    found += read_to_the_end(client)
    assert found == [b"whole"]
    assert client.end is End.RESET
    client.close()


def test_a_reset_that_sending_has_met_is_told_by_reading():
    here, there = sockets()
    server, client = as_server(here), as_client(there)
    shake_hands(server, client)
    reset(here)
    wait_until(lambda: client.send([b"x"]) or client._torn is not None, "the system takes no more")
    assert read_to_the_end(client) == []
    assert client.end is End.RESET
    client.close()


def test_reading_ends_with_the_connection_though_more_was_expected(wide):
    server, client = wide
    half = bytes(READ_BYTES // 2 - LONG_HEADER_BYTES - OVERHEAD_BYTES)
    server.send([half, half])
    server.close()
    wait_until(lambda: client.unread() == READ_BYTES, "all of it has come")
    found = []
    client.read(found)
    assert client.has_more
    found += read_to_the_end(client)
    assert found == [half, half]
    assert not client.has_more


def test_nothing_more_is_expected_of_who_breaks_the_rules():
    here, there = sockets(buffer_bytes=ROOM_BYTES_MAX)
    server, client = as_server(here), as_client(there)
    shake_hands(server, client)
    here.setblocking(True)
    here.settimeout(5)
    here.sendall(b"\xff" * (READ_BYTES + 1))
    wait_until(lambda: client.unread() > READ_BYTES, "all of it has come")
    client.read([])
    assert isinstance(client.end, Violation)
    assert not client.has_more
    server.close(), client.close()


def test_one_read_has_a_limit_and_says_that_there_is_more(wide):
    server, client = wide
    server.send(numbered(20))
    wait_until(lambda: client.unread() > 2 * READ_BYTES, "much has come")
    found = []
    client.read(found)
    assert client.has_more
    assert 0 < sum(len(each) for each in found) <= READ_BYTES
    while client.has_more:
        client.read(found)
    assert split_numbered(found) == numbered(20)
    assert client.unread() == 0


def test_a_long_frame_takes_no_more_room_than_twice_what_has_come_of_it():
    server, client = streams(tells=NOTHING)
    server.send([b"l" * 1000 * KIB])
    found, most = [], 0.0
    while not found:
        client.read(found)
        server.flush()
        room = client._long
        if room is not None:
            assert room.size <= 2 * client.came_bytes
            most = max(most, room.size)
    assert found == [b"l" * 1000 * KIB]
    assert most > 500 * KIB
    client.close(), server.close()


def test_a_frame_that_is_too_long_ends_the_connection_at_its_header():
    here, there = sockets()
    server, client = as_server(here, frame_bytes_max=100 * KIB), as_client(there, tells=NOTHING)
    shake_hands(server, client)
    client.send([b"f" * 100 * KIB])
    assert carry(client, server, 100 * KIB)
    client.send([b"l" * (100 * KIB + 1)])
    wait_until(lambda: server.read([]) or server.end is not None, "it is noticed")
    assert "too long" in str(server.end)
    assert server._long is None
    server.close(), client.close()


def test_frames_come_whole_however_they_are_cut():
    here, there = sockets()
    server, client = as_server(here), as_client(there)
    shake_hands(server, client)
    near, far = sockets()
    sizes = [1, 5, 220, 223, 300, 70 * KIB, 3]
    sealed = []
    for size in sizes:  # what the server says goes by way of another connection, byte for byte
        server.send([b"s" * size])
    there.setblocking(True)
    while sum(len(each) for each in sealed) < sum(sizes) + len(sizes) * OVERHEAD_BYTES:
        sealed.append(there.recv(1 << 20))
    wire = b"".join(sealed)
    client._socket, client.descriptor = far, far.fileno()
    far.setblocking(False)
    found, at, step = [], 0, 1
    while at < len(wire):
        near.sendall(wire[at : at + step])
        at, step = at + step, step % 1500 + 7
        wait_until(client.unread, "it has come", poll_s=0.0)
        while client.unread():
            client.read(found)
    assert [len(each) for each in found] == sizes
    there.close(), near.close()
    server.close(), client.close()


def test_pings_of_who_reads_no_answer_are_counted(tight):
    server, client = tight
    engine = client._engine
    ping = b"\x04PING\0\0" + b"c" * 16
    for _ in range(5000):
        room = Room(HEAD_BYTES + len(ping))
        room.view[HEAD_BYTES:] = ping
        client._outbox = None
        client._left += bytes(room.view[engine._seal(room, len(ping), 2) :])
    wait_until(lambda: client.flush() or server.read([]) or not client.blocked, "all of it has left", poll_s=0.0)
    wait_until(lambda: server.read([]) or not server.unread(), "all of it has come", poll_s=0.0)
    assert server.blocked
    assert server.waiting_bytes > 5000 * 40 - 8 * TIGHT
    server.send([b"behind them"])
    found = []
    wait_until(lambda: server.flush() or client.read(found) or found, "they have left", poll_s=0.0)
    assert found == [b"behind them"]


def test_one_flush_leaves_others_their_turn(wide):
    _server, client = wide
    client._keep([b"tiny"] * (2 * FRAMES_PER_FLUSH * BUNDLE_BYTES // len(b"tiny")))
    client.flush()
    assert client.blocked
    assert client._engine._sent - client._engine._got <= FRAMES_PER_FLUSH + 1
    assert len(client._outbox) == FRAMES_PER_FLUSH * BUNDLE_BYTES // len(b"tiny")


def test_tiny_messages_that_wait_count_as_what_they_cost(tight):
    _server, client = tight
    fill(client, numbered(60))
    before = client.waiting_bytes
    client.send([b"tiny"] * 1_000)
    assert client.waiting_bytes - before == 1_000 * (KEEPING_BYTES + len(b"tiny"))
