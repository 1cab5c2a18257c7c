"""Frames of an open connection: how they go and come, their nonces, the room that they take, and what is cut."""

import pytest

from braidmq.zmtp.engine import HEAD_BYTES, NUMBER_MAX, OVERHEAD_BYTES
from braidmq.zmtp.framing import SHORT_BYTES_MAX
from braidmq.zmtp.sodium import Room
from braidmq.zmtp.violation import Violation
from tests.support import zmtp
from tests.support.zmtp import (
    BOX_COMMAND,
    BOX_MORE,
    COMMAND,
    FRONT,
    LONG,
    MORE,
    HandClient,
    HandServer,
    bodies,
    framed,
    initiated_by_hand,
    open_pair,
    opened_by_hand,
)
from tests.support.zmtp_cuts import cut

SIZES = (0, 1, 2, 221, 222, 223, 224, 255, 256, 257, 4096, 65_536, 1_000_000)
"""Lengths of frames, about those where headers and boxes get longer."""


@pytest.mark.parametrize("size", SIZES)
def test_frames_come_as_they_went(size):
    here, there = open_pair()
    frame = (bytes(range(256)) * (size // 256 + 1))[:size]
    for line, other in ((here, there), (there, here)):
        data = line.seal(frame)
        longer = 2 if size + OVERHEAD_BYTES <= SHORT_BYTES_MAX else 9
        assert len(data) == size + OVERHEAD_BYTES + longer
        assert data[0] == (0 if longer == 2 else LONG)
        assert other.give(data) == [frame]


@pytest.mark.parametrize("size", SIZES[:-2])
def test_frames_are_those_of_rfc_26(size):
    line = zmtp.server()
    hand = opened_by_hand(line)
    frame = bytes(size)
    assert line.give(framed(hand.message(frame, 3))) == [frame]
    [message] = bodies(line.seal(frame))
    assert message[8:16] == zmtp.number(2)
    assert hand.open_message(message) == (0, frame)


def test_client_by_the_rfc_too():
    line, hand = zmtp.client(), HandServer()
    initiated_by_hand(line, hand)
    line.give(framed(hand.ready(), COMMAND))
    assert line.engine.open
    assert line.give(framed(hand.message(b"reply", 2))) == [b"reply"]
    [message] = bodies(line.seal(b"request"))
    nonce = b"CurveZMQMESSAGEC" + zmtp.number(3)
    assert message[8:16] == nonce[16:]
    assert zmtp.crypto_box_open(message[16:], nonce, hand.client_short, hand.short.secret) == b"\0request"


def test_message_may_be_a_command_frame_as_rfc_25_has_it():
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert line.give(framed(hand.message(b"command", 3), COMMAND)) == [b"command"]
    assert line.give(framed(hand.message(b"c" * 300, 4), COMMAND)) == [b"c" * 300]


def test_several_frames_in_one_room_are_found_in_order():
    here, there = open_pair()
    frames = [b"a", b"", b"c" * 1000, b"d"]
    data = b"".join(map(there.seal, frames))
    assert here.give(data[:-1]) == frames[:-1]
    assert here.give(data[-1:]) == frames[-1:]


def test_frames_lie_where_found_says_and_what_is_not_handled_is_where_it_was():
    here, there = open_pair()
    data = there.seal(b"whole") + there.seal(b"half")[:20]
    room = Room(5 + len(data) + 5)
    room.view[:] = b"\xee" * 5 + data + b"\xee" * 5
    found = []
    at = here.engine.receive(room, 5, 5 + len(data), found)
    assert [bytes(room.view[a:b]) for a, b in zip(found[::2], found[1::2], strict=True)] == [b"whole"]
    assert room.view[at : 5 + len(data)] == data[-20:]
    assert room.view[:5] == room.view[-5:] == b"\xee" * 5


def test_frames_before_a_violation_are_found():
    here, there = open_pair()
    with pytest.raises(Violation):
        here.give(there.seal(b"good") + b"\xff" * 9)
    assert here.frames == [b"good"]


@pytest.mark.parametrize("flags", [MORE, MORE | LONG, MORE | COMMAND])
def test_message_of_several_frames_is_cut_by_its_header(flags):
    line = zmtp.server()
    hand = opened_by_hand(line)
    data = framed(hand.message(b"m" * (300 if flags & LONG else 3), 3), flags)
    assert cut(line, data[:9], "none of a box")


@pytest.mark.parametrize("flags", [BOX_MORE, BOX_MORE | BOX_COMMAND])
def test_message_of_several_frames_is_cut_by_its_box(flags):
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert cut(line, framed(hand.message(b"more", 3, flags)), "several frames")
    assert line.frames == []


@pytest.mark.parametrize("flags", [8, 16, 32, 64, 128, 128 | LONG])
def test_unknown_flags_of_a_frame_are_cut(flags):
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert cut(line, framed(hand.message(b"m" * (300 if flags & LONG else 3), 3), flags), "none of a box")


@pytest.mark.parametrize("flags", [4, 8, 0x80, 0xFE])
def test_unknown_flags_in_a_box_are_cut(flags):
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert cut(line, framed(hand.message(b"flags", 3, flags)), "unknown flags in a MESSAGE")
    assert line.frames == []


def test_frame_may_have_as_many_bytes_as_was_said():
    line = zmtp.server(size=1000)
    hand = opened_by_hand(line)
    assert line.give(framed(hand.message(bytes(1000), 3))) == [bytes(1000)]
    assert cut(line, framed(hand.message(bytes(1001), 4))[:9], "too long")


@pytest.mark.parametrize("size", [2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_frame_that_is_too_long_is_cut_by_its_header(size):
    line = zmtp.server()
    opened_by_hand(line)
    assert cut(line, b"\x02" + size.to_bytes(8, "big"), "too long")


@pytest.mark.parametrize("size", [0, 1, 16, 32])
@pytest.mark.parametrize("flags", [0, LONG, COMMAND])
def test_frame_that_is_too_short_for_a_box_is_cut_by_its_header(size, flags):
    line = zmtp.server()
    opened_by_hand(line)
    assert cut(line, bytes((flags,)) + size.to_bytes(8 if flags & LONG else 1, "big"), "too short for a box")


@pytest.mark.parametrize("nonce", [0, 1, 2])
def test_nonces_of_the_handshake_are_used(nonce):
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert cut(line, framed(hand.message(b"m", nonce)), "nonce is used")


@pytest.mark.parametrize("nonce", [9, 10])
def test_nonces_that_are_equal_or_lower_are_cut(nonce):
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert line.give(framed(hand.message(b"m", 10))) == [b"m"]
    assert cut(line, framed(hand.message(b"m", nonce)), "nonce is used")
    assert line.frames == [b"m"]


def test_nonces_may_leave_some_out_up_to_the_last_one():
    line = zmtp.server()
    hand = opened_by_hand(line)
    for nonce in (3, 5, 2**32, 2**63, 2**64 - 1):
        assert line.give(framed(hand.message(b"m", nonce))) == [b"m"]
    assert cut(line, framed(hand.message(b"m", 2**64 - 1)), "nonce is used")


def test_frame_that_comes_twice_is_cut():
    here, there = open_pair()
    data = there.seal(b"once")
    here.give(data)
    assert cut(here, data, "nonce is used")
    assert here.frames == [b"once"]


def test_frame_that_is_sent_back_is_cut():
    """Either side's nonces say whose they are, as both sides seal with one key."""
    here, there = open_pair()
    there.give(here.seal(b"to get their numbers apart"))
    assert cut(here, here.seal(b"mine"), "does not open")


def test_nonce_of_a_box_that_does_not_open_is_not_used():
    line = zmtp.server()
    hand = opened_by_hand(line)
    forged = hand.message(b"m", 2**64 - 1)[:-1] + b"\0"
    assert cut(line, framed(forged), "does not open")
    line.unread = b""
    assert line.give(framed(hand.message(b"m", 3))) == [b"m"]


def test_frame_of_another_session_is_cut():
    here, _ = open_pair()
    other, hand = zmtp.server(name="another"), HandClient()
    opened_by_hand(other, hand)
    assert cut(here, framed(hand.message(b"m", 7)), "does not open")


def test_every_frame_has_a_nonce_of_its_own():
    here, there = open_pair()
    nonces = [there.seal(b"same")[10:18] for _ in range(5)]
    assert nonces == [zmtp.number(3 + each) for each in range(5)]
    assert [here.seal(b"same")[10:18] for _ in range(2)] == [zmtp.number(2), zmtp.number(3)]


def test_session_ends_before_its_nonces_run_out():
    here, _ = open_pair()
    here.engine._sent = NUMBER_MAX - 1
    assert here.seal(b"last")[10:18] == zmtp.number(NUMBER_MAX)
    for _ in range(2):
        with pytest.raises(Violation, match="used up its nonces"):
            here.seal(b"none is left")
    assert here.engine._sent == NUMBER_MAX
    assert NUMBER_MAX < 2**64 - 1


def needs(line, data):
    room = Room(len(FRONT) + len(data) + len(FRONT))
    room.view[:] = FRONT + data + FRONT
    return line.engine.needs(room, len(FRONT), len(FRONT) + len(data))


def test_length_of_a_long_frame_is_known_by_its_header():
    here, there = open_pair()
    data = there.seal(bytes(5000))
    assert needs(here, data[:8]) == 0
    assert needs(here, data[:9]) == needs(here, data) == len(data)


def test_length_of_what_is_short_or_of_the_handshake_is_not_told():
    here, there = open_pair()
    assert needs(here, there.seal(b"short")) == 0
    assert needs(zmtp.server(), there.seal(bytes(5000))) == 0
    assert needs(here, b"") == 0


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"\x02" + b"\xff" * 8, "too long"),
        (b"\x03" + bytes(6) + b"\x10\x00", "none of a box"),
        (b"\x02" + bytes(8), "short"),
        (b"\x12" + bytes(6) + b"\x10\x00", "none of a box"),
    ],
)
def test_header_of_a_frame_that_is_none_is_cut_before_room_is_made_for_it(header, reason):
    here, _ = open_pair()
    with pytest.raises(Violation, match=reason):
        needs(here, header)


def test_seal_leaves_what_is_behind_the_frame():
    here, there = open_pair()
    room = Room(HEAD_BYTES + 5 + 3)
    room.view[HEAD_BYTES:] = b"frameend"
    begin = here.engine.seal(room, 5)
    assert there.give(bytes(room.view[begin : HEAD_BYTES + 5])) == [b"frame"]
    assert room.view[HEAD_BYTES + 5 :] == b"end"


def test_frame_that_is_longer_than_its_room_is_not_sealed():
    here, _ = open_pair()
    with pytest.raises(IndexError):
        here.engine.seal(Room(HEAD_BYTES + 5), 6)
