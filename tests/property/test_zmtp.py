"""What holds of ZMTP for any bytes, in any pieces: frames arrive whole or the connection ends; nothing else happens."""

import functools
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from braidmq.zmtp.engine import OVERHEAD_BYTES
from braidmq.zmtp.greeting import GREETING_BYTES, check_greeting
from braidmq.zmtp.metadata import decode_metadata, encode_metadata
from braidmq.zmtp.sodium import Room
from braidmq.zmtp.violation import Refusal, Violation
from tests.support import zmtp
from tests.support.zmtp import BOX_COMMAND, COMMAND, HandClient, Line, bodies, framed, open_pair, opened_by_hand

FRAME_BYTES_MAX = 2000

frames = st.lists(st.binary(max_size=80) | st.integers(200, 2000).map(bytes), max_size=6)
flags = st.integers(0, 255)

SERVER_SAYS = 64 + 170
"""Bytes of a server's greeting and WELCOME; READY follows, of 30 bytes and 21 of metadata, with a header."""

CLIENT_SAYS = 64 + 202
"""Bytes of a client's greeting and HELLO; INITIATE follows."""

HELLO_AT = 64 + 2

UNAUTHENTICATED = {
    "padding of the signature": range(1, 9),
    "major version, which may be higher": range(10, 11),
    "minor version": range(11, 12),
    "role and filler": range(32, 64),
    "padding of HELLO": range(HELLO_AT + 8, HELLO_AT + 80),
}
"""Bytes of a handshake that may be changed on the way, as neither RFC 37 nor CURVE protects them."""


@functools.cache
def recorded():
    """Return all bytes of a client, with two frames behind its handshake; and those of its server."""
    here, there = zmtp.server(size=FRAME_BYTES_MAX), zmtp.client(size=FRAME_BYTES_MAX)
    from_client = from_server = b""
    while not (here.engine.open and there.engine.open):
        said = there.take()
        from_client += said
        here.give(said)
        said = here.take()
        from_server += said
        there.give(said)
    from_client += there.seal(b"first") + there.seal(b"s" * 300)
    from_server += here.seal(b"first") + here.seal(b"s" * 300)
    return from_client, from_server


def again(is_server):
    """Return a side that draws what it drew when it was recorded, and what it hears."""
    line = zmtp.server(size=FRAME_BYTES_MAX) if is_server else zmtp.client(size=FRAME_BYTES_MAX)
    return line, recorded()[0 if is_server else 1]


def ends(line, data):
    """Whether a line ends for these bytes, by an error of those that may be."""
    try:
        line.give(data)
    except (Violation, Refusal):
        return True
    return False


@given(st.booleans(), st.data())
def test_any_split_of_the_bytes_says_the_same(is_server, data):
    line, said = again(is_server)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(said)), max_size=40)))
    for a, b in itertools.pairwise([0, *cuts, len(said)]):
        line.give(said[a:b])
    assert line.frames == [b"first", b"s" * 300]
    assert line.unread == b""


@given(frames, st.data())
def test_any_frames_come_as_they_went_however_they_are_split(sent, data):
    here, there = open_pair(FRAME_BYTES_MAX)
    said = b"".join(map(there.seal, sent))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(said)), max_size=10)))
    for a, b in itertools.pairwise([0, *cuts, len(said)]):
        here.give(said[a:b])
    assert here.frames == sent


@given(st.permutations(range(6)))
def test_frames_in_another_order_end_the_session_where_it_goes_back(order):
    """None that comes is ever before one that came, and none comes twice."""
    here, there = open_pair()
    sealed = [there.seal(bytes((n,))) for n in range(6)]
    ended = any(ends(here, sealed[n]) for n in order)
    got = [frame[0] for frame in here.frames]
    assert got == list(itertools.takewhile(lambda n: n is not None, rising(order)))
    assert ended == (list(order) != sorted(order))


def rising(order):
    """Return the numbers up to the first one that is lower than one before it."""
    return [n for at, n in enumerate(order) if all(a < b for a, b in itertools.pairwise(order[: at + 1]))]


@given(st.lists(st.integers(0, 5), max_size=12))
def test_frames_that_are_repeated_or_left_out_never_come_twice(order):
    here, there = open_pair()
    sealed = [there.seal(bytes((n,))) for n in range(6)]
    any(ends(here, sealed[n]) for n in order)
    got = [frame[0] for frame in here.frames]
    assert got == sorted(set(got))


def is_unauthenticated(is_server, at):
    return any(at in span for span in UNAUTHENTICATED.values() if is_server or span.start < GREETING_BYTES)


@pytest.mark.parametrize("is_server", [True, False])
def test_every_changed_byte_is_refused_but_those_that_nobody_protects(is_server):
    """Byte by byte: what is accepted beyond the list is a fault, and so is what the list has more."""
    said = again(is_server)[1]
    accepted = set()
    for at in range(len(said)):
        line, _ = again(is_server)
        changed = bytearray(said)
        changed[at] ^= 0x01 if at != 10 else 0x04  # a major version of 7; 2 is refused
        if not ends(line, bytes(changed)) and line.unread == b"":
            accepted.add(at)
            assert line.frames == [b"first", b"s" * 300]
        else:
            assert line.frames in ([], [b"first"])
    assert accepted == {at for at in range(len(said)) if is_unauthenticated(is_server, at)}


@given(st.booleans(), st.data(), st.integers(1, 255))
def test_any_change_of_a_byte_is_refused_but_of_those_that_nobody_protects(is_server, data, change):
    line, said = again(is_server)
    at = data.draw(st.integers(0, len(said) - 1))
    changed = bytearray(said)
    changed[at] ^= change
    ended = ends(line, bytes(changed))
    assert line.frames in ([], [b"first"], [b"first", b"s" * 300])
    if not is_unauthenticated(is_server, at):
        assert ended or line.unread  # a length that got longer waits for what does not come
        assert len(line.frames) < 2


@given(st.booleans(), st.data(), st.binary(max_size=30))
def test_whatever_is_put_in_or_taken_out_ends_the_session_or_waits(is_server, data, put):
    line, said = again(is_server)
    at = data.draw(st.integers(0, len(said)))
    gone = data.draw(st.integers(0, 40))
    changed = said[:at] + put + said[at + gone :]
    ends(line, changed)
    assert line.frames in ([], [b"first"], [b"first", b"s" * 300])
    if changed[: len(said)] != said and at >= GREETING_BYTES + 300:
        assert len(line.frames) < 2


@given(st.booleans(), st.binary(max_size=300))
@example(True, b"\xff" * 300)
def test_any_bytes_end_the_connection_or_wait(is_server, data):
    """No other exception comes of them, and nothing is taken for a frame."""
    line = again(is_server)[0]
    for at in range(len(data)):
        if ends(line, data[at : at + 1]):
            break
    assert not line.engine.open
    assert line.frames == []


@given(st.booleans(), st.integers(0, 3), st.binary(max_size=400))
def test_any_bytes_behind_a_good_beginning_end_the_connection_or_wait(is_server, commands, data):
    line, said = again(is_server)
    at = GREETING_BYTES
    for _ in range(commands):
        head = 9 if said[at] & 2 else 2
        at += head + (int.from_bytes(said[at + 1 : at + 9], "big") if head == 9 else said[at + 1])
    line.give(said[:at])
    before = list(line.frames)
    if not ends(line, data):
        assert len(line.unread) <= FRAME_BYTES_MAX + OVERHEAD_BYTES + 9
    assert line.frames == before


@given(flags, st.binary(max_size=1100), st.binary(max_size=300))
def test_any_command_in_the_handshake_is_refused_or_answered(flag, hello, initiate):
    line = zmtp.server()
    line.give(zmtp.greeting())
    ends(line, framed(hello, flag) + framed(initiate, COMMAND))
    assert not line.engine.open


@given(metadata=st.binary(max_size=300), nonce=st.integers(0, 2**64 - 1))
def test_any_metadata_and_nonce_of_a_client_that_holds_its_key(metadata, nonce):
    line, hand = zmtp.server(), HandClient()
    zmtp.welcomed_by_hand(line, hand)
    ended = ends(line, framed(hand.initiate(metadata=metadata, nonce=nonce), COMMAND))
    assert ended != line.engine.open


@given(flags, st.binary(max_size=60), st.integers(0, 2**64 - 1))
@example(BOX_COMMAND, b"\x04PING\0\0", 3)
@example(0, b"", 3)
def test_anything_in_a_box_that_is_sealed_well(inner, content, nonce):
    """Whoever holds a key may say anything: it is a frame, a PING, a PONG, or the end."""
    line = zmtp.server()
    hand = opened_by_hand(line)
    ended = ends(line, framed(hand.message(content, nonce, inner)))
    said = line.take()
    if ended:
        assert line.frames == []
        assert said == b""
        return
    assert nonce > 2
    if inner == 0:
        assert line.frames == [content]
        assert said == b""
    else:
        assert inner == BOX_COMMAND
        assert line.frames == []
        assert content.startswith((b"\x04PING", b"\x04PONG"))
        if content.startswith(b"\x04PING"):
            [pong] = bodies(said)
            assert hand.open_message(pong) == (BOX_COMMAND, b"\x04PONG" + content[7:])


@given(st.lists(st.tuples(st.sampled_from([0, BOX_COMMAND]), st.binary(max_size=16)), max_size=30))
def test_a_peer_gets_less_than_it_sends_and_nothing_is_kept(said):
    line = zmtp.server()
    hand = opened_by_hand(line)
    data = b"".join(
        framed(hand.message(b"\x04PING\0\0" + each if kind else each, 3 + n, kind))
        for n, (kind, each) in enumerate(said)
    )
    line.give(data)
    assert line.unread == b""
    assert len(line.take()) <= len(data)
    assert kept(line) < 600


def kept(line: Line) -> int:
    """Return how many bytes an engine holds: its key and what it wants to send."""
    engine = line.engine
    return len(engine.output) + len(engine._key) + len(engine.principal)


@given(st.integers(0, 255), st.integers(0, 2**64 - 1), st.integers(0, 30))
def test_what_a_header_announces_is_checked_before_room_is_made_for_it(flag, size, more):
    line = zmtp.server(size=FRAME_BYTES_MAX)
    opened_by_hand(line)
    room = Room(9 + more)
    room.view[:9] = bytes((flag,)) + size.to_bytes(8, "big")
    try:
        needed = line.engine.needs(room, 0, 9 + more)
    except Violation:
        return
    assert needed <= FRAME_BYTES_MAX + OVERHEAD_BYTES + 9


names = st.from_regex(r"\A[A-Za-z0-9._+\-]{1,20}\Z").map(str.encode)


@given(st.dictionaries(names, st.binary(max_size=50), max_size=5))
def test_metadata_comes_as_it_went(properties):
    lower = {name.lower(): value for name, value in properties.items()}
    assert decode_metadata(encode_metadata(lower)) == lower


@given(st.binary(max_size=200))
def test_any_bytes_are_metadata_or_refused(raw):
    try:
        found = decode_metadata(raw)
    except Violation:
        return
    assert encode_metadata(found).lower() == raw.lower()


@given(st.binary(max_size=64))
def test_any_bytes_are_the_beginning_of_a_greeting_or_refused(begin):
    try:
        check_greeting(begin)
    except Violation:
        with pytest.raises(Violation):
            check_greeting((begin + bytes(64))[:64])
