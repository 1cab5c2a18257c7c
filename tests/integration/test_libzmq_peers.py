"""The engine of ZMTP and real libzmq, in both roles: frames, heartbeats, and what a user of libzmq sees of refusals."""

import json
import os

import pytest
import zmq
from nacl.bindings import crypto_box_open_easy_afternm

from braidmq.zmtp.engine import Engine
from braidmq.zmtp.handshake import ClientHandshake, ServerHandshake
from braidmq.zmtp.violation import ForeignProtocol, Refusal, Violation, WrongKey
from tests.support import zmtp_pump, zmtp_transcripts
from tests.support.zmtp import BOX_COMMAND, CLIENT, SERVER, STRANGER, bodies, welcome_all

SIZES = (0, 1, 62, 63, 64, 184, 221, 222, 223, 224, 255, 256, 4096, 8192, 65_536, 300_000, 1_000_000)

FRAME_BYTES_MAX = 1_000_000


@pytest.fixture
def peers():
    with zmtp_pump.peers() as made:
        yield made


def serving(authorise=welcome_all):
    return Engine(ServerHandshake(SERVER, authorise, os.urandom), FRAME_BYTES_MAX)


def calling(server=SERVER.public, keys=CLIENT):
    return Engine(ClientHandshake(keys, server, os.urandom), FRAME_BYTES_MAX)


def refusing(status):
    def authorise(_key):
        raise Refusal(status)

    return authorise


def ended(peers, pump, kind, reason=""):
    """Whether the engine ends a connection for a reason."""
    peers.until(lambda: pump.end is not None)
    assert isinstance(pump.end, kind), pump.end
    assert reason in str(pump.end)
    return True


def found_foreign(peers, pump):
    """Whether a connection without CURVE ends: whichever side hears the other's mechanism first ends it."""
    peers.until(lambda: pump.end is not None)
    assert pump.end == "" or isinstance(pump.end, ForeignProtocol)
    return not pump.engine.open


# -- libzmq's client


def test_frames_of_a_dealer_come_and_go(peers):
    dealer = peers.dealer(CLIENT, SERVER.public)
    pump = peers.accepted(serving())
    for size in SIZES:
        frame = os.urandom(size)
        dealer.send(frame)
        peers.until(lambda: pump.frames)
        assert pump.frames.pop() == frame
        pump.send(frame[::-1])
        peers.until(lambda: dealer.poll(0))
        assert dealer.recv() == frame[::-1]
    assert pump.engine.principal == CLIENT.public.hex()[:8]
    names = [name for name, _ in peers.heard(dealer)]
    assert names[-1] == "HANDSHAKE_SUCCEEDED"
    assert "DISCONNECTED" not in names


def test_frames_of_a_dealer_stay_in_order(peers):
    dealer = peers.dealer(CLIENT, SERVER.public)
    pump = peers.accepted(serving())
    frames = [bytes((n,)) * (n * n) for n in range(200)]
    for frame in frames:
        dealer.send(frame)
    peers.until(lambda: len(pump.frames) == len(frames))
    assert pump.frames == frames
    for frame in frames:
        pump.send(frame)
    got = []
    while len(got) < len(frames):
        peers.until(lambda: dealer.poll(0))
        got.append(dealer.recv())
    assert got == frames


def test_dealer_with_an_identity_is_let_in(peers):
    dealer = peers.dealer(CLIENT, SERVER.public, identity=b"\x01" * 255)
    pump = peers.accepted(serving())
    dealer.send(b"here")
    peers.until(lambda: pump.frames)


def test_pings_of_a_dealer_are_answered(peers):
    """Without PONGs it would give the connection up twice in the time that this takes."""
    dealer = peers.dealer(CLIENT, SERVER.public, heartbeat_ivl=20, heartbeat_timeout=400, heartbeat_ttl=60_000)
    pump = peers.accepted(serving())
    peers.until(lambda: pump.engine.open and pump.engine._sent > 45)
    assert not peers.has_heard(dealer, "DISCONNECTED")
    assert pump.frames == []
    assert not dealer.poll(0)
    dealer.send(b"still here")
    peers.until(lambda: pump.frames)


def pong_in(pump):
    """Return what the last MESSAGE that came said, as it stood in its box."""
    message = list(bodies(pump.raw[64:]))[-1]
    return crypto_box_open_easy_afternm(message[16:], pump.engine._opens + message[8:16], pump.engine._key)


@pytest.mark.parametrize("context", [b"", b"c", b"sixteen octets.."])
def test_dealer_answers_pings(peers, context):
    dealer = peers.dealer(CLIENT, SERVER.public)
    pump = peers.accepted(serving())
    peers.until(lambda: pump.engine.open)
    before = pump.engine._got
    pump.send(b"\x04PING\x00\x64" + context, flags=BOX_COMMAND)
    peers.until(lambda: pump.engine._got > before)
    assert pong_in(pump) == b"\x02\x04PONG" + context
    assert pump.frames == []
    assert pump.end is None
    pump.send(b"frame")
    peers.until(lambda: dealer.poll(0))
    assert dealer.recv() == b"frame"


@pytest.mark.parametrize("status", [300, 400, 500])
def test_dealer_that_is_refused_hears_the_status(peers, status):
    """400 for a key that is not registered, 300 for one that is barred for a while."""
    dealer = peers.dealer(CLIENT, SERVER.public)
    pump = peers.accepted(serving(refusing(str(status))))
    peers.until(lambda: peers.has_heard(dealer, "HANDSHAKE_FAILED_AUTH"))
    assert ("HANDSHAKE_FAILED_AUTH", status) in peers.heard(dealer)
    assert ended(peers, pump, Refusal, str(status))
    assert not peers.has_heard(dealer, "HANDSHAKE_SUCCEEDED")


def test_dealer_with_another_servers_key_fails(peers):
    dealer = peers.dealer(CLIENT, STRANGER.public)
    pump = peers.accepted(serving())
    assert ended(peers, pump, WrongKey, "does not open")
    peers.until(lambda: peers.has_heard(dealer, "DISCONNECTED"))
    assert peers.has_heard(dealer, "HANDSHAKE_FAILED_NO_DETAIL")


def test_libzmqs_server_tells_a_dealer_the_same(peers):
    """Events of a client with the wrong server key, and with a key that is refused, at the engine and at libzmq."""
    router, _ = peers.router(SERVER, "400")
    address = router.last_endpoint.decode()
    for keys, server in ((CLIENT, STRANGER.public), (CLIENT, SERVER.public)):
        heard = []
        for host in ("", address):
            dealer = peers.dealer(keys, server, host=host)
            if not host:
                peers.accepted(serving(refusing("400")))
            peers.until(lambda dealer=dealer: peers.has_heard(dealer, "DISCONNECTED"))
            heard.append([(name, value if "FAILED" in name else 0) for name, value in peers.heard(dealer)])
        assert heard[0] == heard[1]


@pytest.mark.parametrize("options", [{}, {"plain_username": b"me", "plain_password": b"secret"}])
def test_peer_without_curve_fails(peers, options):
    dealer = peers.dealer(None, **options)
    pump = peers.accepted(serving())
    peers.until(lambda: peers.has_heard(dealer, "DISCONNECTED"))
    assert ("HANDSHAKE_FAILED_PROTOCOL", zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) in peers.heard(dealer)
    assert found_foreign(peers, pump)


def test_message_of_several_frames_ends_the_connection(peers):
    dealer = peers.dealer(CLIENT, SERVER.public)
    pump = peers.accepted(serving())
    dealer.send_multipart([b"one", b"two"])
    assert ended(peers, pump, Violation, "several frames")
    assert pump.frames == []
    peers.until(lambda: peers.has_heard(dealer, "DISCONNECTED"))


def test_frame_that_is_too_long_ends_the_connection(peers):
    dealer = peers.dealer(CLIENT, SERVER.public)
    pump = peers.accepted(serving())
    dealer.send(bytes(FRAME_BYTES_MAX + 1))
    assert ended(peers, pump, Violation, "too long")
    peers.until(lambda: peers.has_heard(dealer, "DISCONNECTED"))


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.SUB, zmq.PUSH, zmq.ROUTER, zmq.PAIR])
def test_sockets_of_other_kinds_are_refused(peers, kind):
    peer = peers.dealer(CLIENT, SERVER.public, kind=kind)
    pump = peers.accepted(serving())
    assert ended(peers, pump, Violation, "no DEALER")
    peers.until(lambda: peers.has_heard(peer, "DISCONNECTED"))


# -- libzmq's server


def test_frames_go_to_a_router_and_back(peers):
    router, zap = peers.router(SERVER)
    pump = peers.connected(router, calling())
    peers.until(lambda: pump.engine.open)
    for size in SIZES:
        frame = os.urandom(size)
        pump.send(frame)
        peers.until(lambda: router.poll(0))
        route, got = router.recv_multipart()
        assert got == frame
        router.send_multipart([route, frame[::-1]])
        peers.until(lambda: pump.frames)
        assert pump.frames.pop() == frame[::-1]
    assert zap.asked == [CLIENT.public]
    assert not peers.has_heard(router, "DISCONNECTED")


def test_pings_of_a_router_are_answered(peers):
    router, _ = peers.router(SERVER, heartbeat_ivl=20, heartbeat_timeout=400)
    pump = peers.connected(router, calling())
    peers.until(lambda: pump.engine.open and pump.engine._sent > 45)
    assert not peers.has_heard(router, "DISCONNECTED")
    assert pump.end is None


def test_router_answers_pings(peers):
    router, _ = peers.router(SERVER)
    pump = peers.connected(router, calling())
    peers.until(lambda: pump.engine.open)
    pump.send(b"\x04PING\x00\x64context", flags=BOX_COMMAND)
    peers.until(lambda: len(list(bodies(pump.raw[64:]))) > 2)  # WELCOME, READY
    assert pong_in(pump) == b"\x02\x04PONGcontext"


@pytest.mark.parametrize("status", ["400", "500"])
def test_refusal_of_a_router_is_understood(peers, status):
    router, zap = peers.router(SERVER, status)
    pump = peers.connected(router, calling())
    assert ended(peers, pump, Refusal)
    assert pump.end.status == status
    assert zap.asked == [CLIENT.public]
    peers.until(lambda: ("HANDSHAKE_FAILED_AUTH", int(status)) in peers.heard(router))


def test_router_that_refuses_for_a_while_ends_the_connection_in_silence(peers):
    """RFC 26 has it so; the engine says 300, which libzmq understands as well."""
    router, _ = peers.router(SERVER, "300")
    pump = peers.connected(router, calling())
    peers.until(lambda: ("HANDSHAKE_FAILED_AUTH", 300) in peers.heard(router))
    assert not pump.engine.open
    assert pump.end in (None, "")


def test_router_with_another_key_ends_the_connection(peers):
    router, zap = peers.router(SERVER)
    pump = peers.connected(router, calling(server=STRANGER.public))
    peers.until(lambda: pump.end is not None)
    assert pump.end == ""
    assert zap.asked == []
    peers.until(lambda: peers.has_heard(router, "HANDSHAKE_FAILED_PROTOCOL"))


def test_router_without_curve_is_none(peers):
    router, _ = peers.router(None)
    assert found_foreign(peers, peers.connected(router, calling()))


# -- both


@pytest.mark.parametrize("conversation", [*zmtp_transcripts.SERVERS, *zmtp_transcripts.CLIENTS])
def test_what_is_said_today_can_be_replayed(conversation):
    """What tests/vectors/zmtp.json has is still what libzmq says, but for its transient keys."""
    now = zmtp_transcripts.record(conversation)
    zmtp_transcripts.replayed(now)
    [then] = [each for each in json.loads(zmtp_transcripts.FILE.read_text()) if each["name"] == now["name"]]
    varying = ("peer", "steps")
    assert {key: now[key] for key in now if key not in varying} == {
        key: then[key] for key in then if key not in varying
    }
