"""Large messages over real sockets: in fragments where both sides know of them, and whole where one does not."""

import pytest

from braidmq.carrier.fragments import ABANDON, FRAGMENT_BYTES, LAST, MORE, UNDERSTANDS, WHOLE_BYTES_MAX
from braidmq.carrier.rooms import READ_BYTES
from braidmq.carrier.stream import FRAMES_PER_FLUSH, KEEPING_BYTES
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import KIB
from braidmq.wire.envelope import CANCEL, LOST, REPLY, REQUEST, Envelope, Withdrawal, decode, encode
from braidmq.zmtp.engine import NUMBER_MAX
from braidmq.zmtp.violation import Misdeed, Violation
from tests.support.streams import NOTHING, TIGHT, as_client, as_server, read_to_the_end, shake_hands, sockets, streams


def message(command, size=0, tag=0):
    return encode(Envelope(command, bytes(16), tag=tag, service=b"s", payload=b"p" * size))


LARGE, SMALL, CANCELS = message(REQUEST, 1000 * KIB), message(REQUEST, 10, tag=2), message(CANCEL, tag=3)


@pytest.fixture
def tight():
    made = streams(buffer_bytes=TIGHT)
    yield made
    for each in made:
        each.close()


def carried(sender, receiver, count):
    """Let one send what waits, and the other read, until so many frames have come; return them."""
    found = []
    wait_until(lambda: sender.flush() or receiver.read(found) or len(found) >= count, "they have come", poll_s=0.0)
    return found


def test_small_ones_get_in_between_and_what_stays_behind_does_not(tight):
    server, client = tight
    client.send([LARGE, CANCELS])
    assert client.blocked
    client.send([SMALL])
    assert carried(client, server, 3) == [SMALL, LARGE, CANCELS]
    assert (client.blocked, client.waiting_bytes, server.joining_bytes) == (False, 0, 0)


@pytest.mark.parametrize(
    "tells", [(NOTHING, UNDERSTANDS), (UNDERSTANDS, NOTHING), ({b"x-braid-fragments": b"2"}, UNDERSTANDS)]
)
def test_where_one_side_knows_nothing_of_fragments_there_are_none(tells):
    here, there = sockets(buffer_bytes=TIGHT)
    server, client = as_server(here, tells=tells[0]), as_client(there, tells=tells[1])
    shake_hands(server, client)
    for one, other in ((server, client), (client, server)):
        one.send([LARGE])
        one.send([SMALL])
        before = other.commands
        assert carried(one, other, 2) == [LARGE, SMALL]
        assert other.commands == before
    server.close(), client.close()


def test_who_knows_nothing_of_fragments_gets_their_marks_as_any_other_frame():
    server, client = streams(tells=NOTHING)
    marked = [bytes((mark,)) + b"no fragment" for mark in (MORE, LAST)]
    for frame in marked:
        client.send([frame])
    assert carried(client, server, 2) == marked
    server.close(), client.close()


def test_other_marks_are_frames(wide):
    server, client = wide
    others = [bytes((mark,)) + b"?" for mark in (ABANDON + 1, MORE - 1, 255)]
    for frame in others:
        client.send([frame])
    assert carried(client, server, 3) == others


def test_fragments_count_as_work_and_what_has_come_of_a_message_is_known(tight):
    server, client = tight
    client.send([LARGE])
    found = []
    wait_until(lambda: client.flush() or server.read(found) or server.joining_bytes, "some of it has come", poll_s=0.0)
    assert server.joining_bytes == server.commands * FRAGMENT_BYTES
    assert server.came_bytes >= server.joining_bytes
    assert found == []
    assert carried(client, server, 1) == [LARGE]
    assert server.commands == -(-len(LARGE) // FRAGMENT_BYTES)
    assert server.joining_bytes == 0


def test_messages_that_are_hardly_longer_than_a_bundle_travel_whole(wide):
    server, client = wide
    longest = message(REQUEST, WHOLE_BYTES_MAX - len(message(REQUEST)))
    assert len(longest) == WHOLE_BYTES_MAX
    client.send([longest, longest + b"!", longest])
    assert carried(client, server, 3) == [longest, longest, longest + b"!"]
    assert server.commands == 2


def test_a_large_message_that_waited_for_the_handshake_leaves_in_fragments():
    here, there = sockets()
    server, client = as_server(here), as_client(there)
    client.send([SMALL, LARGE, CANCELS])
    found = []
    wait_until(
        lambda: server.flush() or client.flush() or client.read(found) or server.read(found) or len(found) > 2, "it"
    )
    assert found == [SMALL, LARGE, CANCELS]
    assert server.commands > 1
    server.close(), client.close()


def test_one_flush_sends_no_more_fragments_than_leave_others_their_turn(wide):
    server, client = wide
    huge = message(REQUEST, (2 * FRAMES_PER_FLUSH + 5) * FRAGMENT_BYTES)
    client.send([huge])
    assert client.blocked
    assert client.waiting_bytes == len(huge) - FRAMES_PER_FLUSH * FRAGMENT_BYTES + KEEPING_BYTES
    assert carried(client, server, 1) == [huge]


@pytest.mark.parametrize("behind", [[], [SMALL], [CANCELS, SMALL, LARGE]])
@pytest.mark.parametrize("read_bytes", [0, 200 * KIB, 900 * KIB])
def test_a_large_message_of_which_only_a_part_left_is_returned(tight, read_bytes, behind):
    server, client = tight
    client.send([SMALL, LARGE, *behind])
    found = []
    wait_until(lambda: client.flush() or server.read(found) or server.came_bytes > read_bytes, "so much has come")
    assert client.blocked
    unsent = client.close()
    found += read_to_the_end(server)
    assert LARGE not in found
    assert found == [SMALL] if SMALL not in behind else [SMALL] * found.count(SMALL)
    left = [SMALL, LARGE, *behind]
    for each in found:
        left.remove(each)
    assert sorted(unsent) == sorted(left)
    assert [each for each in unsent if each != SMALL] == [each for each in left if each != SMALL]


@pytest.mark.parametrize("frame", [bytes((MORE,)), bytes((LAST,)) + b"alone"])
def test_a_fragment_that_nobody_may_send_ends_the_connection(wide, frame):
    server, client = wide
    for each in (SMALL, frame, SMALL):
        client.send([each])
    found = []
    wait_until(lambda: server.read(found) or server.end is not None, "it is noticed")
    assert isinstance(server.end, Misdeed)
    assert found == [SMALL]
    assert not server.has_more


def test_fragments_of_a_message_that_is_too_long_end_the_connection():
    here, there = sockets()
    server, client = as_server(here, frame_bytes_max=100 * KIB), as_client(there)
    shake_hands(server, client)
    client.send([b"f" * 100 * KIB])
    assert carried(client, server, 1) == [b"f" * 100 * KIB]
    client.send([b"l" * (100 * KIB + 1)])
    wait_until(lambda: client.flush() or server.read([]) or server.end is not None, "it is noticed")
    assert isinstance(server.end, Misdeed)
    server.close(), client.close()


def test_a_beginning_is_dropped_with_the_connection(tight):
    server, client = tight
    client.send([LARGE])
    wait_until(lambda: client.flush() or server.read([]) or server.joining_bytes, "some of it has come")
    client.close()
    assert read_to_the_end(server) == []
    server.close()
    assert server.joining_bytes == 0


def test_a_session_without_nonces_ends_and_keeps_what_it_could_not_send(wide):
    _server, client = wide
    client._engine._sent = NUMBER_MAX - 1
    client.send([LARGE, CANCELS])
    assert isinstance(client.end, Violation)
    assert client.close() == [LARGE, CANCELS]


def test_one_read_gives_no_more_than_what_it_may_and_messages_come_whole(wide):
    server, client = wide
    for _ in range(3):
        client.send([LARGE, SMALL])
    found = []
    while sum(len(frame) for frame in found) < 3 * len(LARGE + SMALL):
        client.flush()
        before = server.came_bytes
        server.read(found)
        assert server.came_bytes - before <= READ_BYTES
    assert found.count(LARGE) == 3
    assert b"".join(frame for frame in found if frame != LARGE) == SMALL * 3  # some share a frame


def test_a_large_message_whose_last_fragment_left_in_part_is_returned(tight):
    server, client = tight
    client.send([LARGE])
    found = []

    def only_a_part_of_the_last_one_waits():
        client.flush()
        server.read(found, KIB)
        return client.blocked and not client._outbox

    wait_until(only_a_part_of_the_last_one_waits, "all but a part of the last fragment has left", poll_s=0.0)
    client.send([SMALL])
    assert client.close() == [LARGE, SMALL]
    assert found + read_to_the_end(server) == []


OLDER = {b"x-braid-fragments": b"1"}
"""What a peer tells that knows of fragments, but of none that are abandoned."""


def some_has_come(sender, receiver):
    """Let one send until the other has some of a large message."""
    found = []
    wait_until(lambda: sender.flush() or receiver.read(found) or receiver.joining_bytes, "some has come", poll_s=0.0)
    assert found == []


def test_a_request_that_is_cancelled_in_its_middle_goes_no_further(tight):
    server, client = tight
    assert not client.send([LARGE])
    some_has_come(client, server)
    assert client.send([message(CANCEL), SMALL]) == [LARGE]
    assert client.waiting_bytes < 2 * FRAGMENT_BYTES
    assert carried(client, server, 1) == [SMALL]
    wait_until(lambda: client.flush() or server.read([]) or not server.joining_bytes, "what had come is dropped")
    assert server.came_bytes < len(LARGE) // 2
    client.send([LARGE, CANCELS])
    assert carried(client, server, 2) == [LARGE, CANCELS]


def test_a_request_that_is_cancelled_before_it_has_begun_to_leave_is_not_heard_of(tight):
    server, client = tight
    assert client.send([LARGE, message(CANCEL)]) == [LARGE]
    client.send([SMALL])
    assert carried(client, server, 1) == [SMALL]
    assert server.commands == 0


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_reply_that_is_called_back_in_its_middle_is_lost(tight, pieces):
    server, client = tight
    reply = message(REPLY, 1000 * KIB, tag=7)
    if pieces:
        server.send([reply])
        some_has_come(server, client)
    else:
        server.send([message(REPLY, 100 * KIB, tag=8), reply])
    client.send([SMALL, message(CANCEL, tag=7)])
    carried(client, server, 1)
    lost, *others = carried(server, client, 2 - pieces)  # it may overtake
    assert decode(lost) == Envelope(LOST, bytes(16), tag=7)
    assert [decode(each).tag for each in others] == [8] * (1 - pieces)
    assert client.came_bytes < len(reply) // 2
    assert client.joining_bytes == 0


def test_a_reply_whose_attempt_is_superseded_counts_and_is_sent(tight):
    server, client = tight
    reply = message(REPLY, 1000 * KIB)
    server.send([reply])
    client.send([encode(Envelope(CANCEL, bytes(16), code=Withdrawal.SUPERSEDED))])
    carried(client, server, 1)
    assert carried(server, client, 1) == [reply]


@pytest.mark.parametrize("tells", [(OLDER, UNDERSTANDS), (UNDERSTANDS, OLDER)])
def test_who_knows_nothing_of_it_is_sent_all_of_what_has_begun(tells):
    here, there = sockets(buffer_bytes=TIGHT)
    server, client = as_server(here, tells=tells[0]), as_client(there, tells=tells[1])
    shake_hands(server, client)
    client.send([LARGE])
    assert client.send([message(CANCEL)]) == []
    assert carried(client, server, 2) == [LARGE, message(CANCEL)]
    server.send([bytes((ABANDON,))])
    assert carried(server, client, 1) == [bytes((ABANDON,))], "and its mark is any other frame"
    server.close(), client.close()


@pytest.mark.parametrize("frames", [[bytes((ABANDON,))], [bytes((MORE,)) + b"begun", bytes((ABANDON,)) + b"!"]])
def test_an_abandonment_that_nobody_may_say_ends_the_connection(wide, frames):
    server, client = wide
    for each in frames:
        client.send([each])
    wait_until(lambda: server.read([]) or server.end is not None, "it is noticed")
    assert isinstance(server.end, Misdeed)


def test_what_comes_of_large_messages_is_counted_whatever_becomes_of_them(tight):
    server, client = tight
    whole = bytes((LAST,)) + bytes(FRAGMENT_BYTES)
    for frames, more in (([bytes((MORE,)) + bytes(100)], 100), ([whole], FRAGMENT_BYTES)):
        before = server.large_bytes
        for each in frames:
            client.send([each])
        wait_until(
            lambda at=before + more: client.flush() or server.read([]) or server.large_bytes == at, "it has come"
        )
    client.send([bytes((MORE,)) + bytes(100)])
    client.send([bytes((ABANDON,))])
    wait_until(lambda: server.read([]) or server.large_bytes == 100 + FRAGMENT_BYTES + 101, "it was abandoned")
    assert server.joining_bytes == 0


def test_a_long_frame_is_counted_as_a_large_message():
    server, client = streams(tells=NOTHING, buffer_bytes=TIGHT)
    client.send([LARGE])
    assert carried(client, server, 1) == [LARGE]
    assert len(LARGE) <= server.large_bytes < len(LARGE) + 100
    server.close(), client.close()
