"""Records what real libzmq and the engine say to each other: `python -m tests.support.zmtp_transcripts`.

Whatever the engine draws is recorded as well, so that the conversation can be repeated word for word without libzmq,
whose own transient keys are random. It writes tests/vectors/zmtp.json anew.
"""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq
from nacl.bindings import crypto_scalarmult_base

from braidmq.zmtp.engine import Engine
from braidmq.zmtp.handshake import ClientHandshake, KeyPair, ServerHandshake
from braidmq.zmtp.violation import Refusal, Violation
from tests.support import zmtp_pump
from tests.support.zmtp import CLIENT, SERVER, STRANGER, Line, welcome_all
from tests.support.zmtp_pump import Peers, Pump

FILE = Path(__file__).parents[1] / "vectors" / "zmtp.json"
FRAME_BYTES_MAX = 1000
FRAMES = (b"", b"short", bytes(range(256)) + b"long")


class Draws:
    """What is drawn, in order."""

    def __init__(self, name: str) -> None:
        self.drawn: list[str] = []
        self._random = random.Random(name)

    def __call__(self, size: int) -> bytes:
        drawn = self._random.randbytes(size)
        self.drawn.append(drawn.hex())
        return drawn


def refuse(_key: bytes) -> str:
    raise Refusal("400")


def accepted(peers: Peers, name: str, status: str = "200") -> tuple[Pump, Draws]:
    draws = Draws(name)
    authorise = welcome_all if status == "200" else refuse
    return peers.accepted(Engine(ServerHandshake(SERVER, authorise, draws), FRAME_BYTES_MAX)), draws


def connected(peers: Peers, router: zmq.Socket[bytes], name: str) -> tuple[Pump, Draws]:
    draws = Draws(name)
    return peers.connected(router, Engine(ClientHandshake(CLIENT, SERVER.public, draws), FRAME_BYTES_MAX)), draws


def frames_of_a_dealer(peers: Peers, name: str) -> tuple[Pump, Draws]:
    dealer = peers.dealer(CLIENT, SERVER.public)
    pump, draws = accepted(peers, name)
    for n, frame in enumerate(FRAMES):
        dealer.send(frame)
        peers.until(lambda n=n: len(pump.frames) == n + 1)
        pump.send(frame)
        peers.until(lambda: dealer.poll(0))
        assert dealer.recv() == frame
    return pump, draws


def ping_of_a_dealer(peers: Peers, name: str) -> tuple[Pump, Draws]:
    peers.dealer(CLIENT, SERVER.public, heartbeat_ivl=50, heartbeat_ttl=1000)
    pump, draws = accepted(peers, name)
    peers.until(lambda: pump.engine.open and pump.engine._sent > 1)
    return pump, draws


def refused_dealer(peers: Peers, name: str) -> tuple[Pump, Draws]:
    peers.dealer(CLIENT, SERVER.public)
    pump, draws = accepted(peers, name, "400")
    peers.until(lambda: pump.end is not None)
    return pump, draws


def dealer_with_another_servers_key(peers: Peers, name: str) -> tuple[Pump, Draws]:
    peers.dealer(CLIENT, STRANGER.public)
    pump, draws = accepted(peers, name)
    peers.until(lambda: pump.end is not None)
    return pump, draws


def several_frames_of_a_dealer(peers: Peers, name: str) -> tuple[Pump, Draws]:
    dealer = peers.dealer(CLIENT, SERVER.public)
    pump, draws = accepted(peers, name)
    dealer.send(b"one")
    dealer.send_multipart([b"two", b"three"])
    peers.until(lambda: pump.end is not None)
    return pump, draws


def frames_of_a_router(peers: Peers, name: str) -> tuple[Pump, Draws]:
    router, _ = peers.router(SERVER)
    pump, draws = connected(peers, router, name)
    peers.until(lambda: pump.engine.open)
    for n, frame in enumerate(FRAMES):
        pump.send(frame)
        peers.until(lambda: router.poll(0))
        router.send_multipart(router.recv_multipart())
        peers.until(lambda n=n: len(pump.frames) == n + 1)
    return pump, draws


def ping_of_a_router(peers: Peers, name: str) -> tuple[Pump, Draws]:
    router, _ = peers.router(SERVER, heartbeat_ivl=50)
    pump, draws = connected(peers, router, name)
    peers.until(lambda: pump.engine.open and pump.engine._sent > 2)
    return pump, draws


def refusal_of_a_router(peers: Peers, name: str) -> tuple[Pump, Draws]:
    router, _ = peers.router(SERVER, "400")
    pump, draws = connected(peers, router, name)
    peers.until(lambda: pump.end is not None)
    return pump, draws


Conversation = Callable[[Peers, str], tuple[Pump, Draws]]

SERVERS: tuple[Conversation, ...] = (
    frames_of_a_dealer,
    ping_of_a_dealer,
    refused_dealer,
    dealer_with_another_servers_key,
    several_frames_of_a_dealer,
)
CLIENTS: tuple[Conversation, ...] = (frames_of_a_router, ping_of_a_router, refusal_of_a_router)


def record(conversation: Conversation) -> dict[str, Any]:
    """Hold a conversation, and return what there is to know of it."""
    with zmtp_pump.peers() as peers:
        name = conversation.__name__.replace("_", " ")
        pump, draws = conversation(peers, name)
        return {
            "name": name,
            "peer": f"libzmq {zmq.zmq_version()}",
            "role": "server" if conversation in SERVERS else "client",
            "server_secret": SERVER.secret.hex(),
            "client_secret": CLIENT.secret.hex(),
            "frame_bytes_max": FRAME_BYTES_MAX,
            "status": "400" if conversation is refused_dealer else "",
            "drawn": draws.drawn,
            "steps": [{kind: data.hex()} for kind, data in pump.steps],
            "frames": [frame.hex() for frame in pump.frames],
            "end": str(pump.end or ""),
        }


def keys(secret: str) -> KeyPair:
    return KeyPair(crypto_scalarmult_base(bytes.fromhex(secret)), bytes.fromhex(secret))


def replayed(conversation: dict[str, Any], pieces: int = 1 << 20) -> Line:
    """Return a line that has heard all, after it has been seen to say what it said then."""
    server, client = keys(conversation["server_secret"]), keys(conversation["client_secret"])
    drawn = list(map(bytes.fromhex, conversation["drawn"]))

    def draw(size: int) -> bytes:
        assert len(drawn[0]) == size
        return drawn.pop(0)

    def authorise(key: bytes) -> str:
        assert key == client.public
        if conversation["status"]:
            raise Refusal(conversation["status"])
        return welcome_all(key)

    handshake: ServerHandshake | ClientHandshake = (
        ServerHandshake(server, authorise, draw)
        if conversation["role"] == "server"
        else ClientHandshake(client, server.public, draw)
    )
    line = Line(Engine(handshake, conversation["frame_bytes_max"]))
    said = b""
    end = ""
    for step in conversation["steps"]:
        [(kind, data)] = ((kind, bytes.fromhex(data)) for kind, data in step.items())
        if kind == "hears":
            try:
                for at in range(0, len(data), pieces):
                    line.give(data[at : at + pieces])
            except (Violation, Refusal) as error:
                end = str(error)
            said += line.take()
        elif kind == "seals":
            said += line.take() + line.seal(data)
        else:
            said += line.take()
            assert said.startswith(data)
            said = said[len(data) :]
    assert said == b""
    assert drawn == []
    assert line.frames == list(map(bytes.fromhex, conversation["frames"]))
    assert end == conversation["end"]
    return line


def main() -> int:
    """Write the conversations; return 0."""
    FILE.write_text(json.dumps(list(map(record, (*SERVERS, *CLIENTS))), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
