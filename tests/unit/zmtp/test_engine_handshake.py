"""A connection until it is open: greeting, commands of the handshake, who is let in, and what is cut for what."""

import pytest

from braidmq.zmtp.engine import HEAD_BYTES, NUMBER_MAX, OVERHEAD_BYTES, Engine
from braidmq.zmtp.framing import HANDSHAKE_BYTES_MAX, PING_CONTEXT_BYTES_MAX, SHORT_BYTES_MAX
from braidmq.zmtp.handshake import ClientHandshake, ServerHandshake
from braidmq.zmtp.violation import OTHER_KEY, OTHER_NET, ForeignProtocol, Refusal, Violation, WrongKey, WrongServer
from tests.support import zmtp
from tests.support.zmtp import (
    CLIENT,
    COMMAND,
    DEALER,
    LONG,
    MORE,
    SERVER,
    STRANGER,
    HandClient,
    bodies,
    converse,
    framed,
    greeted_by_hand,
    greeting,
    open_pair,
    opened_by_hand,
    welcomed_by_hand,
)
from tests.support.zmtp_cuts import cut_in_handshake


def test_limits_are_those_of_rfc_37_and_of_the_documents():
    assert PING_CONTEXT_BYTES_MAX == 16
    assert HANDSHAKE_BYTES_MAX == 1024
    assert NUMBER_MAX == 2**62
    assert (HEAD_BYTES, OVERHEAD_BYTES, SHORT_BYTES_MAX) == (42, 33, 255)


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
