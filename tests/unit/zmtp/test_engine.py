"""A connection, of both sides: states, frames, nonces, commands, and what is cut for what."""

import pytest

from braidmq.zmtp.engine import (
    HANDSHAKE_BYTES_MAX,
    HEAD_BYTES,
    NUMBER_MAX,
    OVERHEAD_BYTES,
    PING_CONTEXT_BYTES_MAX,
    SHORT_BYTES_MAX,
    Engine,
)
from braidmq.zmtp.handshake import ClientHandshake, ServerHandshake
from braidmq.zmtp.sodium import Room
from braidmq.zmtp.violation import OTHER_KEY, OTHER_NET, ForeignProtocol, Refusal, Violation, WrongKey, WrongServer
from tests.support import zmtp
from tests.support.zmtp import (
    BOX_COMMAND,
    BOX_MORE,
    CLIENT,
    COMMAND,
    DEALER,
    FRONT,
    LONG,
    MORE,
    SERVER,
    STRANGER,
    HandClient,
    HandServer,
    bodies,
    converse,
    framed,
    greeted_by_hand,
    greeting,
    initiated_by_hand,
    open_pair,
    opened_by_hand,
    welcomed_by_hand,
)

SIZES = (0, 1, 2, 221, 222, 223, 224, 255, 256, 257, 4096, 65_536, 1_000_000)
"""Lengths of frames, about those where headers and boxes get longer."""


def cut(line, data, reason, error=Violation):
    """Whether a line is cut for some bytes, and nothing is said to the peer any more."""
    with pytest.raises(error, match=reason):
        line.give(data)
    assert line.take() == b""
    return True


def cut_in_handshake(line, data, reason, error=Violation):
    """Whether a line is cut for some bytes, and hears nothing any more, whatever comes."""
    assert cut(line, data, reason, error)
    assert not line.engine.open
    for again in (data, greeting(), framed(HandClient().hello(), COMMAND)):
        line.unread = b""
        with pytest.raises(Violation, match="goes on after its end"):
            line.give(again)
    assert not line.engine.open
    assert line.take() == b""
    return True


def test_limits_are_those_of_rfc_37_and_of_the_documents():
    assert PING_CONTEXT_BYTES_MAX == 16
    assert HANDSHAKE_BYTES_MAX == 1024
    assert NUMBER_MAX == 2**62
    assert (HEAD_BYTES, OVERHEAD_BYTES, SHORT_BYTES_MAX) == (42, 33, 255)


# -- the handshake


@pytest.mark.parametrize("side", [zmtp.server, zmtp.client])
def test_nobody_is_known_before_the_handshake_is_complete(side):
    assert side().engine.principal == ""
    assert not side().engine.open


def test_sides_come_to_a_session():
    here, there = open_pair()
    assert here.engine.principal == CLIENT.public.hex()[:8]
    assert there.engine.principal == ""
    assert here.take() == there.take() == b""
    assert here.unread == there.unread == b""


def test_greeting_goes_out_at_once_in_full():
    assert zmtp.server().take() == greeting(role=1)
    assert zmtp.client().take() == greeting(role=0, padding=b"BRD1\r\n\r\n")


def test_server_says_nothing_before_hello_and_client_says_it_after_the_greeting():
    here, there = zmtp.server(), zmtp.client()
    for line in (here, there):
        line.take()
        line.give(greeting()[:63])
        assert line.take() == b""
        line.give(greeting()[63:])
    assert here.take() == b""
    [hello] = bodies(there.take())
    assert hello.startswith(b"\x05HELLO")


def test_two_of_one_side_come_to_nothing():
    one, other = zmtp.server(), zmtp.server()
    converse(one, other)
    assert not one.engine.open
    with pytest.raises(Violation, match="not a WELCOME"):
        converse(zmtp.client(), zmtp.client(name="another"))


@pytest.mark.parametrize("size", [1, 7, 64, 5000])
def test_handshake_and_frames_in_pieces(size):
    here, there = zmtp.server(), zmtp.client()
    while not (here.engine.open and there.engine.open):
        for line, other in ((here, there), (there, here)):
            data = line.take()
            for at in range(0, len(data), size):
                other.give(data[at : at + size])
    data = there.seal(b"one") + there.seal(b"t" * 300) + there.seal(b"")
    for at in range(0, len(data), size):
        here.give(data[at : at + size])
    assert here.frames == [b"one", b"t" * 300, b""]


def test_handshake_and_frames_in_one_piece():
    """A client may send behind INITIATE what it will: it is read when the handshake is complete."""
    line, hand = zmtp.server(), HandClient()
    welcomed_by_hand(line, hand)
    found = line.give(framed(hand.initiate(), COMMAND) + framed(hand.message(b"early", 3)))
    assert found == [b"early"]


def test_peers_of_zmtp_3_0_are_spoken_with():
    line, hand = zmtp.server(), HandClient()
    line.give(greeting(version=b"\x03\x00"))
    line.take()
    line.give(framed(hand.hello(), COMMAND))
    [welcome] = bodies(line.take())
    hand.on_welcome(welcome)
    line.give(framed(hand.initiate(), COMMAND))
    assert line.give(framed(hand.message(b"old", 3))) == [b"old"]


@pytest.mark.parametrize(
    "foreign",
    [
        b"\x01\x00",
        b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        greeting(version=b"\x01\x00"),
        greeting(version=b"\x02\x00"),
        greeting(mechanism=b"NULL"),
        greeting(mechanism=b"PLAIN"),
        bytes(64),
        b"\xff" * 64,
    ],
)
@pytest.mark.parametrize("side", [zmtp.server, zmtp.client])
def test_who_speaks_something_else_is_cut(side, foreign):
    line = side()
    line.take()
    assert cut_in_handshake(line, foreign, "ZMTP", ForeignProtocol)


@pytest.mark.parametrize("flags", [0, MORE, LONG, COMMAND | MORE, COMMAND | 8, COMMAND | LONG | MORE, 0xFF])
def test_handshake_is_made_of_commands(flags):
    line = zmtp.server()
    greeted_by_hand(line)
    assert cut_in_handshake(line, bytes((flags,)) + bytes(8), "no command where the handshake wants one")


@pytest.mark.parametrize("size", [HANDSHAKE_BYTES_MAX + 1, 2**32, 2**63, 2**64 - 1])
def test_command_of_the_handshake_that_is_too_long_is_cut_by_its_header(size):
    line = zmtp.server()
    greeted_by_hand(line)
    header = bytes((COMMAND | LONG,)) + size.to_bytes(8, "big")
    line.give(header[:8])
    assert cut_in_handshake(line, header[8:], "command that is too long")


def test_command_of_the_handshake_may_have_1024_bytes():
    line, hand = zmtp.server(), HandClient()
    welcomed_by_hand(line, hand)
    rest = HANDSHAKE_BYTES_MAX - 257 - len(DEALER) - len(b"\x01x\0\0\0\0")
    initiate = hand.initiate(metadata=DEALER + zmtp.properties((b"x", bytes(rest))))
    assert len(initiate) == HANDSHAKE_BYTES_MAX
    line.give(framed(initiate, COMMAND))
    assert line.engine.open


def test_command_may_be_a_long_frame_though_it_is_short():
    line, hand = zmtp.server(), HandClient()
    greeted_by_hand(line)
    hello = hand.hello()
    line.give(bytes((COMMAND | LONG,)) + len(hello).to_bytes(8, "big") + hello)
    assert len(line.take()) == 170


@pytest.mark.parametrize("size", [1, 255, 256, 257])
def test_command_is_a_long_frame_if_it_must(size):
    line = zmtp.server()
    line.take()
    line.engine._command(bytes(size))
    assert line.take() == framed(bytes(size), COMMAND)


def test_empty_command_is_cut():
    line = zmtp.server()
    greeted_by_hand(line)
    assert cut_in_handshake(line, b"\x04\x00", "not a HELLO")


def test_message_before_the_handshake_is_complete_is_cut():
    line, hand = zmtp.server(), HandClient()
    welcomed_by_hand(line, hand)
    assert cut_in_handshake(line, framed(hand.message(b"early", 2)), "no command where")
    line, hand = zmtp.server(), HandClient()
    welcomed_by_hand(line, hand)
    assert cut_in_handshake(line, framed(hand.message(b"early", 2), COMMAND), "not an INITIATE")


def test_wrong_server_key_is_found_by_the_server():
    here, there = zmtp.server(), zmtp.client(to=STRANGER.public)
    with pytest.raises(WrongKey):
        converse(here, there)


@pytest.mark.parametrize("wrong", [HandClient.hello, HandClient.initiate])
def test_server_that_is_done_with_a_client_hears_it_no_more(wrong):
    line, hand = zmtp.server(), HandClient()
    greeted_by_hand(line)
    if wrong is HandClient.hello:
        assert cut_in_handshake(line, framed(hand.hello(version=b"\x09\x09"), COMMAND), "another version")
        return
    line.give(framed(hand.hello(), COMMAND))
    [welcome] = bodies(line.take())
    hand.on_welcome(welcome)
    assert cut_in_handshake(line, framed(hand.initiate(nonce=1), COMMAND), "nonce is used")


@pytest.mark.parametrize("status", ["300", "400", "500"])
def test_refusal_is_told_to_the_client(status):
    def authorise(_key):
        raise Refusal(status)

    here, there = zmtp.server(authorise), zmtp.client()
    with pytest.raises(Refusal) as refused:
        converse(here, there)
    assert refused.value.status == status
    assert not here.engine.open
    told = here.take()
    assert told == b"\x04\x0a\x05ERROR\x03" + status.encode()
    with pytest.raises(Refusal) as heard:
        there.give(told)
    assert heard.value.status == status
    assert not there.engine.open
    assert there.take() == b""
    for line in (here, there):
        with pytest.raises(Violation, match="after its end"):
            line.give(told)


def test_what_authorise_raises_besides_is_the_callers():
    def authorise(_key):
        raise LookupError("registry")

    here, there = zmtp.server(authorise), zmtp.client()
    with pytest.raises(LookupError):
        converse(here, there)
    assert here.take() == b""


def test_nothing_is_sealed_before_the_handshake_is_complete():
    line = zmtp.server()
    with pytest.raises(AssertionError, match="before the handshake"):
        line.seal(b"early")


# -- frames


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


@pytest.mark.parametrize("name", [b"\x07MESSAGe", b"\x05READY\0\0", b"\x08INITIAT", b"\x05HELLO\0\0"])
def test_other_commands_after_the_handshake_are_cut(name):
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert cut(line, framed(name + hand.message(b"m", 3)[8:], COMMAND), "neither a MESSAGE nor in its place")


def test_error_after_the_handshake_is_cut():
    """In the clear anybody could send it."""
    here, there = open_pair()
    assert cut(there, b"\x04\x0a\x05ERROR\x03400", "too short for a box")
    assert here.engine.open


@pytest.mark.parametrize("command", [HandClient.hello, HandClient.initiate])
def test_commands_of_the_handshake_after_it_are_cut(command):
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert cut(line, framed(command(hand), COMMAND), "neither a MESSAGE nor in its place")


# -- nonces


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


def test_ping_has_no_answer_when_nonces_have_run_out():
    line = zmtp.server()
    hand = opened_by_hand(line)
    line.engine._sent = NUMBER_MAX
    assert cut(line, framed(hand.message(b"\x04PING\0\0", 3, BOX_COMMAND)), "used up its nonces")


# -- commands in boxes


@pytest.mark.parametrize("ttl", [0, 1, 600, 65_535])
@pytest.mark.parametrize("context", [b"", b"c", bytes(range(PING_CONTEXT_BYTES_MAX))])
@pytest.mark.parametrize("flags", [0, COMMAND])
def test_ping_is_answered_with_its_context(ttl, context, flags):
    line = zmtp.server()
    hand = opened_by_hand(line)
    ping = framed(hand.message(b"\x04PING" + ttl.to_bytes(2, "big") + context, 3, BOX_COMMAND), flags)
    assert line.give(ping + framed(hand.message(b"frame", 4))) == [b"frame"]
    answer = line.take()
    [pong] = bodies(answer)
    assert hand.open_message(pong) == (BOX_COMMAND, b"\x04PONG" + context)
    assert answer[0] == 0
    assert len(answer) < len(ping)
    assert line.seal(b"next")[10:18] == zmtp.number(3)  # READY had 1, the PONG 2


def test_ping_is_answered_by_a_client_too():
    line, hand = zmtp.client(), HandServer()
    initiated_by_hand(line, hand)
    line.give(framed(hand.ready(), COMMAND))
    line.give(framed(hand.message(b"\x04PING\0\0ctx", 2, BOX_COMMAND)))
    [pong] = bodies(line.take())
    nonce = b"CurveZMQMESSAGEC" + pong[8:16]
    assert zmtp.crypto_box_open(pong[16:], nonce, hand.client_short, hand.short.secret) == b"\x02\x04PONGctx"


@pytest.mark.parametrize("context", [b"", b"c" * PING_CONTEXT_BYTES_MAX])
def test_pong_is_taken_in_silence(context):
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert line.give(framed(hand.message(b"\x04PONG" + context, 3, BOX_COMMAND))) == []
    assert line.take() == b""


@pytest.mark.parametrize("command", [b"\x04PING\0\0", b"\x04PONG"])
def test_ping_and_pong_whose_context_is_too_long_are_cut(command):
    line = zmtp.server()
    hand = opened_by_hand(line)
    data = framed(hand.message(command + bytes(PING_CONTEXT_BYTES_MAX + 1), 3, BOX_COMMAND))
    assert cut(line, data, "PING or PONG that is too long")


@pytest.mark.parametrize(
    "command",
    [
        b"",
        b"\x04PING",
        b"\x04PING\0",
        b"\x04PIN",
        b"\x04PON",
        b"PING\0\0",
        b"\x04ping\0\0",
        b"\x09SUBSCRIBE",
        b"\x06CANCELx",
        b"\x04JOINx",
        b"\x05LEAVEx",
        b"\x05READY",
        b"\x05ERROR\x03400",
        b"\x05PING\0\0\0",
    ],
)
def test_unknown_commands_are_cut(command):
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert cut(line, framed(hand.message(command, 3, BOX_COMMAND)), "unknown command")


def test_ping_that_is_no_command_is_a_frame():
    line = zmtp.server()
    hand = opened_by_hand(line)
    assert line.give(framed(hand.message(b"\x04PING\0\0", 3))) == [b"\x04PING\0\0"]
    assert line.take() == b""


def test_answers_to_a_flood_of_pings_are_shorter_than_the_flood():
    line = zmtp.server()
    hand = opened_by_hand(line)
    flood = b"".join(framed(hand.message(b"\x04PING\0\0" + bytes(16), 3 + n, BOX_COMMAND)) for n in range(100))
    line.give(flood)
    assert len(line.take()) < len(flood)


# -- how much is to come


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


def test_no_violation_tells_what_the_peer_has_sent():
    line = zmtp.server()
    with pytest.raises(ForeignProtocol) as violation:
        line.give(b"secret of the peer's")
    assert "secret" not in str(violation.value)


def test_server_is_told_by_its_authorise_who_is_there():
    asked = []
    here = zmtp.server(lambda key: asked.append(key) or "shop")
    opened_by_hand(here)
    assert asked == [CLIENT.public]
    assert here.engine.principal == "shop"
    assert SERVER.public not in asked


def refused_by(authorise, *, client_net=b"", server_net=b"", to=SERVER.public):
    """Return what a client of ours is told by a server of ours."""
    here = zmtp.Line(Engine(ServerHandshake(SERVER, authorise, zmtp.draws("s"), net=server_net), zmtp.FRAME_BYTES_MAX))
    there = zmtp.Line(Engine(ClientHandshake(CLIENT, to, zmtp.draws("c"), net=client_net), zmtp.FRAME_BYTES_MAX))
    with pytest.raises((Refusal, WrongServer)):
        zmtp.converse(here, there)
    with pytest.raises(Refusal) as heard:
        there.give(here.take())
    return heard.value.status, heard.value.why


def test_our_own_clients_are_told_why_they_are_refused():
    def authorise(_key):
        raise Refusal("400", why="revoked")

    assert refused_by(authorise) == ("400", "revoked")


@pytest.mark.parametrize(
    ("client_net", "server_net", "why"),
    [
        (b"one", b"one", OTHER_KEY),
        (b"one", b"other", OTHER_NET),
        (b"", b"other", OTHER_KEY),
        (b"one", b"", OTHER_KEY),
    ],
)
def test_our_own_clients_are_told_that_the_server_is_another_one(client_net, server_net, why):
    told = refused_by(zmtp.welcome_all, client_net=client_net, server_net=server_net, to=STRANGER.public)
    assert told == ("400", why)


def test_no_other_client_is_told_that_the_server_is_another_one():
    line = zmtp.server()
    line.take()
    with pytest.raises(WrongServer):
        line.give(greeting() + framed(HandClient(to=STRANGER.public).hello(), COMMAND))
    assert line.take() == b""
