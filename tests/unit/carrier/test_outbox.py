"""What leaves a connection when: small messages between the fragments of large ones, and nothing before its time."""

import pytest

from braidmq.carrier.fragments import FRAGMENT_BYTES, WHOLE_BYTES_MAX
from braidmq.carrier.outbox import OVERTAKING, Outbox, may_overtake
from braidmq.wire import control
from braidmq.wire.envelope import CANCEL, LOST, REJECT, RENEW, REPLY, REQUEST, WORKING, Envelope, decode, encode
from braidmq.wire.limits import BUNDLE_BYTES

CUT = "a piece"


def message(command: int, tag: int = 0, size: int = 0) -> bytes:
    return encode(Envelope(command, bytes(16), tag=tag, service=b"s", payload=bytes(size)))


LARGE, OTHER_LARGE = message(REQUEST, 1, 3 * FRAGMENT_BYTES - 100), message(REPLY, 2, FRAGMENT_BYTES + 1000)
SMALL = [message(REQUEST, tag) for tag in range(10, 20)]
STAYS = [message(CANCEL, tag) for tag in range(20, 30)]


def leave(outbox: Outbox, frames: int = 1_000) -> list[list[bytes] | str]:
    """Let frames leave; return what each of them was."""
    found: list[list[bytes] | str] = []
    while outbox and len(found) < frames:
        if outbox.cuts:
            outbox.piece_left()
            found.append(CUT)
        else:
            found.append(outbox.take_bundle())
    return found


def filled(*messages: bytes) -> Outbox:
    outbox = Outbox(fragments=True, abandons=True)
    outbox.add(messages)
    return outbox


def test_small_ones_and_fragments_take_turns() -> None:
    outbox = filled(LARGE)
    assert leave(outbox, 1) == [CUT]
    outbox.add(SMALL[:2])
    assert leave(outbox, 2) == [SMALL[:2], CUT]
    outbox.add(SMALL[2:3])
    assert leave(outbox) == [SMALL[2:3], CUT]


def test_many_small_ones_do_not_keep_a_large_one() -> None:
    many = [message(REQUEST, tag, 30_000) for tag in range(9)]
    outbox = filled(LARGE, *many)
    assert leave(outbox) == [CUT, many[:2], CUT, many[2:4], CUT, many[4:6], many[6:8], many[8:]]


def test_what_came_before_a_large_one_leaves_before_it() -> None:
    outbox = filled(SMALL[0], STAYS[0], LARGE, SMALL[1])
    assert leave(outbox) == [[SMALL[0], STAYS[0], SMALL[1]], CUT, CUT, CUT]


def test_what_stays_behind_a_large_one_leaves_after_it_and_all_that_came_before() -> None:
    outbox = filled(LARGE, SMALL[0], STAYS[0], STAYS[1], SMALL[1])
    assert leave(outbox) == [CUT, SMALL[:2], CUT, CUT, STAYS[:2]]


def test_large_ones_leave_one_after_the_other() -> None:
    outbox = filled(LARGE, STAYS[0], OTHER_LARGE, STAYS[1])
    assert outbox.piece()[0] is LARGE
    assert leave(outbox, 4) == [CUT, CUT, CUT, [STAYS[0]]]
    assert outbox.piece()[0] is OTHER_LARGE
    assert leave(outbox) == [CUT, CUT, [STAYS[1]]]


def test_without_fragments_everything_leaves_in_its_order() -> None:
    outbox = Outbox(fragments=False)
    messages = [LARGE, SMALL[0], STAYS[0], OTHER_LARGE, SMALL[1]]
    outbox.add(messages)
    assert leave(outbox) == [[LARGE], SMALL[:1] + STAYS[:1], [OTHER_LARGE], [SMALL[1]]]


def test_what_waited_before_the_handshake_is_cut_once_that_is_known_to_be_right() -> None:
    outbox = Outbox(fragments=False)
    outbox.add([SMALL[0], LARGE, STAYS[0], SMALL[1]])
    outbox.split(abandons=True)
    assert outbox.bytes == len(LARGE) + len(SMALL[0]) + len(SMALL[1]) + len(STAYS[0])
    assert leave(outbox) == [SMALL[:2], CUT, CUT, CUT, STAYS[:1]]


def test_pieces_are_the_message() -> None:
    outbox = filled(OTHER_LARGE)
    found = b""
    while outbox:
        whole, begin, end = outbox.piece()
        assert whole is OTHER_LARGE
        assert 0 < end - begin <= FRAGMENT_BYTES
        found += whole[begin:end]
        outbox.piece_left()
    assert found == OTHER_LARGE


def test_it_counts_what_waits() -> None:
    outbox = filled(LARGE, SMALL[0])
    assert outbox.bytes == len(LARGE) + len(SMALL[0])
    leave(outbox, 2)
    assert outbox.bytes == len(LARGE) - FRAGMENT_BYTES
    leave(outbox)
    assert outbox.bytes == 0


def test_a_bundle_has_a_limit_and_one_message_at_least() -> None:
    half, whole = message(REQUEST, 1, BUNDLE_BYTES // 2), message(REQUEST, 2, BUNDLE_BYTES)
    assert BUNDLE_BYTES < len(whole) <= WHOLE_BYTES_MAX
    assert leave(filled(half, whole, half, SMALL[0])) == [[half], [whole], [half, SMALL[0]]]
    kept = message(CANCEL, 2, BUNDLE_BYTES // 2)
    assert leave(filled(LARGE, kept, kept))[3:] == [[kept], [kept]]
    assert leave(filled(LARGE, message(CANCEL, 2, BUNDLE_BYTES)))[3:] == [[message(CANCEL, 2, BUNDLE_BYTES)]]


@pytest.mark.parametrize("frames", range(8))
def test_what_never_left_is_returned_in_its_order(frames: int) -> None:
    messages = [SMALL[0], LARGE, SMALL[1], STAYS[0], SMALL[2], OTHER_LARGE, STAYS[1], SMALL[3]]
    outbox = filled(*messages)
    left = [each for frame in leave(outbox, frames) if frame != CUT for each in frame]
    large = [each for each in (LARGE, OTHER_LARGE) if each not in [waiting for waiting, _ in outbox._stays]]
    assert outbox.take([]) == [each for each in messages if each not in left + large]
    assert (outbox.bytes, bool(outbox)) == (0, False)


@pytest.mark.parametrize("frames", range(1, 9))
def test_what_has_left_in_part_is_returned_in_its_place(frames: int) -> None:
    messages = [LARGE, SMALL[1], STAYS[0], OTHER_LARGE, STAYS[1]]
    outbox = filled(*messages)
    before = leave(outbox, frames - 1)
    if outbox.cuts:
        whole, _, end = outbox.piece()
        outbox.piece_left()
        begun = [whole] if end == len(whole) else []
    else:
        begun = outbox.take_bundle()
    gone = [each for frame in before if frame != CUT for each in frame]
    gone += [LARGE] if before.count(CUT) >= 3 else []
    gone += [OTHER_LARGE] if before.count(CUT) >= 5 else []
    assert outbox.take(begun) == [each for each in messages if each not in gone]


def test_what_left_in_part_before_anything_waited_comes_first() -> None:
    outbox = filled(LARGE, SMALL[1])
    assert outbox.take([SMALL[0]]) == [SMALL[0], LARGE, SMALL[1]]


@pytest.mark.parametrize("command", [REQUEST, REPLY, WORKING, REJECT, LOST, RENEW])
def test_what_is_about_one_attempt_may_overtake_if_it_is_small(command: int) -> None:
    assert may_overtake(message(command))
    assert not may_overtake(message(command, size=WHOLE_BYTES_MAX))


def test_of_all_else_a_heartbeat_may_and_nothing_besides() -> None:
    assert may_overtake(control.encode_control(control.Heartbeat(), 0))
    assert {
        number for number in range(256) if may_overtake(b"\0\0\0\x0c\x10" + bytes((number,)) + bytes(6))
    } == OVERTAKING
    assert set(OVERTAKING) == {REQUEST, REPLY, WORKING, REJECT, LOST, RENEW, 35}
    assert not may_overtake(b"")
    assert not may_overtake(b"\0\0\0\x0c\x10")


def attempt(large: bytes) -> bytes:
    return large[16:36]


def test_a_large_request_that_is_cancelled_while_it_waits_is_dropped_with_what_cancels_it() -> None:
    outbox = filled(OTHER_LARGE, LARGE, STAYS[0])
    assert outbox.add([message(CANCEL, 1), SMALL[0]]) == [LARGE]
    assert outbox.bytes == len(OTHER_LARGE) + len(STAYS[0]) + len(SMALL[0])
    assert leave(outbox) == [CUT, [SMALL[0]], CUT, [STAYS[0]]]


@pytest.mark.parametrize("pieces", [1, 2])
def test_one_of_which_pieces_have_left_is_abandoned(pieces: int) -> None:
    outbox = filled(LARGE, OTHER_LARGE)
    leave(outbox, pieces)
    assert outbox.add([message(CANCEL, 1)]) == [LARGE]
    assert outbox.bytes == len(OTHER_LARGE)
    outbox.add([SMALL[0]])
    assert outbox.cuts
    assert outbox.piece() == (b"", 0, 0)
    outbox.piece_left()
    assert outbox.bytes == len(OTHER_LARGE) + len(SMALL[0])
    assert leave(outbox) == [[SMALL[0]], CUT, CUT]


def test_an_abandonment_is_told_though_nothing_else_waits() -> None:
    outbox = filled(LARGE)
    leave(outbox, 1)
    outbox.add([message(CANCEL, 1)])
    assert outbox
    assert outbox.cuts
    assert leave(outbox) == [CUT]
    assert (outbox.bytes, bool(outbox)) == (0, False)


def test_what_was_abandoned_is_not_among_what_never_left() -> None:
    outbox = filled(LARGE, STAYS[0])
    leave(outbox, 1)
    outbox.add([message(CANCEL, 1)])
    assert outbox.take([]) == [STAYS[0]]
    assert not outbox


def test_who_does_not_know_of_it_gets_the_message_to_its_end_and_what_has_cancelled_it() -> None:
    outbox = Outbox(fragments=True)
    outbox.add([LARGE])
    leave(outbox, 1)
    assert outbox.add([message(CANCEL, 1)]) == []
    outbox.call_back(attempt(LARGE))
    assert leave(outbox) == [CUT, CUT, [message(CANCEL, 1)]]
    outbox.add([OTHER_LARGE, LARGE])
    assert outbox.add([message(CANCEL, 1)]) == [LARGE], "what has not begun to leave can be dropped all the same"


def test_what_cancels_something_else_stays_in_its_place() -> None:
    outbox = filled(LARGE, OTHER_LARGE)
    others = [message(CANCEL, 2), encode(Envelope(CANCEL, bytes(15) + b"!", tag=1)), message(CANCEL, 3)]
    assert outbox.add(others) == []
    assert leave(outbox)[-1] == others


def test_a_request_that_has_left_is_cancelled_as_ever() -> None:
    outbox = filled(LARGE, OTHER_LARGE)
    leave(outbox, 3)
    assert outbox.add([message(CANCEL, 1)]) == []
    assert leave(outbox) == [CUT, CUT, [message(CANCEL, 1)]]


@pytest.mark.parametrize("pieces", [0, 1])
def test_lost_takes_the_place_of_a_large_reply_that_is_called_back(pieces: int) -> None:
    outbox = filled(OTHER_LARGE)
    assert outbox.has_replies
    leave(outbox, pieces)
    outbox.call_back(attempt(OTHER_LARGE))
    assert not outbox.has_replies
    *abandoned, [lost] = leave(outbox)
    assert abandoned == [CUT] * pieces
    assert decode(lost) == Envelope(LOST, bytes(16), tag=2)
    outbox.call_back(attempt(OTHER_LARGE))
    assert not outbox


def test_a_reply_that_has_left_is_not_there_to_be_called_back() -> None:
    outbox = filled(OTHER_LARGE)
    leave(outbox)
    assert not outbox.has_replies
    outbox.add([OTHER_LARGE])
    outbox.take([])
    assert not outbox.has_replies
