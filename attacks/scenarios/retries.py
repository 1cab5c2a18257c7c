"""A client that makes up further attempts, which may choose their worker, and bring what a broker has to read."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from attacks.arms import Arms, Peer, written
from attacks.scenario import Scenario
from attacks.scenarios.queues import BUSY
from braidmq.lab.simulation.payload import payload_of
from braidmq.wire.envelope import CANCEL, LOST, REJECT, REPLY, REQUEST, UINT32, Envelope
from braidmq.wire.extension import pack_field
from braidmq.wire.limits import EXTENSION_BYTES_MAX
from faults.worker import SERVICE

PAIRS: Final = 50
"""Requests and their CANCELs in one frame."""

WORKERS: Final = (b"w1", b"w2")

FIELDS: Final = pack_field(255, b"") * (EXTENSION_BYTES_MAX // len(pack_field(255, b"")))
"""An extension block that says nothing, as often as it can."""


def _places(arms: Arms, kept: int) -> Iterator[tuple[Peer, int]]:
    """Yield a connection with room for one more unanswered attempt, and a number for that, again and again."""
    peers, number = arms.peers(), 0
    for _now in arms.each_moment(0.001):
        for peer in peers:
            if not peer.renew():
                continue
            peer.waiting -= sum(heard.command in (REPLY, REJECT, LOST) for heard in peer.exchanges())
            while peer.open and peer.live and peer.waiting < kept // len(peers):
                number += 1
                peer.waiting += 1
                arms.sent["requests"] += 1
                yield peer, number & UINT32


def _asked(number: int, time_ms: int = 60_000, **fields: object) -> Envelope:
    return Envelope(
        REQUEST, number.to_bytes(16), tag=number, time_ms=time_ms, service=SERVICE.encode(),
        payload=payload_of("mallory"), **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def name(arms: Arms) -> None:
    """Send what has no first attempt to workers by their names, and give it up at once."""
    number = 0

    def next_frame() -> bytes:
        nonlocal number
        pairs = []
        for _ in range(PAIRS):
            number = (number + 1) & UINT32
            pairs.append(written(_asked(number, retry_count=1, receiver=WORKERS[number % len(WORKERS)])))
            pairs.append(written(Envelope(CANCEL, number.to_bytes(16), tag=number)))
        return b"".join(pairs)

    arms.flood(next_frame)


def fill(arms: Arms) -> None:
    """Send attempts with as many fields as they have room for."""
    for peer, number in _places(arms, 16):
        peer.exchange(_asked(number, retry_count=1, receiver=WORKERS[number % len(WORKERS)], extension=FIELDS))


_client = partial(Scenario, calls=(SERVICE,))

SCENARIOS = (
    _client("retries-named", "retries that name their workers, each given up at once", name, shape=BUSY),
    _client("retries-fields", "requests with 21,845 empty fields each", fill),
)
