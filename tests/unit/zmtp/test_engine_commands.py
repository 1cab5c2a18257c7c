"""Commands of an open connection: PING and PONG, and all others, for which it is cut."""

import pytest

from braidmq.zmtp.engine import NUMBER_MAX
from braidmq.zmtp.framing import PING_CONTEXT_BYTES_MAX
from tests.support import zmtp
from tests.support.zmtp import (
    BOX_COMMAND,
    COMMAND,
    HandClient,
    HandServer,
    bodies,
    framed,
    initiated_by_hand,
    open_pair,
    opened_by_hand,
)
from tests.support.zmtp_cuts import cut


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


def test_ping_has_no_answer_when_nonces_have_run_out():
    line = zmtp.server()
    hand = opened_by_hand(line)
    line.engine._sent = NUMBER_MAX
    assert cut(line, framed(hand.message(b"\x04PING\0\0", 3, BOX_COMMAND)), "used up its nonces")


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
