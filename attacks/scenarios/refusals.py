"""A registered worker that takes requests, and does not do them."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from attacks.arms import Arms, Peer, written
from attacks.frames import full
from attacks.scenario import HARMLESS, Scenario
from braidmq.wire import control
from braidmq.wire.envelope import LOST, REJECT, REPLY, REQUEST, UINT32, WORKING, Envelope, Outcome, Reason
from faults.worker import SERVICE

CREDIT: Final = 1_000

BEAT_S: Final = 0.2

ANSWERS: Final[dict[str, tuple[int, int]]] = {
    "busy": (REJECT, Reason.BUSY),
    "denied": (REJECT, Reason.DENIED),
    "no-worker": (REJECT, Reason.NO_WORKER),
    "draining": (REJECT, Reason.DRAINING),
    "expired": (REJECT, Reason.EXPIRED),
    "too-large": (REJECT, Reason.TOO_LARGE),
    "lost": (LOST, 0),
}
"""Command and code of what such a worker answers at once."""


def requests(arms: Arms, credit: int = CREDIT) -> Iterator[tuple[Peer, Envelope]]:
    """Offer the service that is under load, over all connections; yield the requests that come, and say HEARTBEAT."""
    peers, beat_at = arms.peers(), 0.0
    for now in arms.each_moment(0.0005):
        beat = now >= beat_at
        for peer in peers:
            if not peer.live:
                if peer.renew():
                    peer.say(control.Ready(SERVICE, credit))
                continue
            if beat:
                beat_at = now + BEAT_S
                peer.say(control.Ready(SERVICE, credit))
            for heard in peer.exchanges():
                if heard.command == REQUEST:
                    arms.sent["requests"] += 1
                    yield peer, heard


def refuse(arms: Arms) -> None:
    """Answer each request in one way, at once."""
    command, code = ANSWERS[arms.plan.variant]
    for peer, request in requests(arms):
        peer.exchange(Envelope(command, request.id, tag=request.tag, code=code))
        peer.say(control.Ready(SERVICE, CREDIT))


def mix(arms: Arms) -> None:
    """Reply to some requests, and answer one of them in another way: the variant tells how, and to how many."""
    name, good = arms.plan.variant.split()
    command, code = ANSWERS[name]
    for count, (peer, request) in enumerate(requests(arms), 1):
        if count % (int(good) + 1):
            peer.exchange(Envelope(REPLY, request.id, tag=request.tag, payload=b"re:" + request.payload))
        else:
            peer.exchange(Envelope(command, request.id, tag=request.tag, code=code))
            peer.say(control.Ready(SERVICE, CREDIT))


def fail(arms: Arms) -> None:
    """Answer each request with an error that no worker can read."""
    for peer, request in requests(arms):
        peer.exchange(Envelope(REPLY, request.id, tag=request.tag, code=Outcome.ERROR, payload=b"\xc1"))


def keep(arms: Arms) -> None:
    """Say nothing of requests, with all the credit that there is."""
    for _request in requests(arms, UINT32):
        pass


def work(arms: Arms) -> None:
    """Say WORKING of each request, in full bundles, and never end it."""
    bundles: list[tuple[Peer, bytes]] = []
    for peer, request in requests(arms, 4):
        bundles.append((peer, full(written(Envelope(WORKING, request.id, tag=request.tag)))))
        for _ in range(20):
            for owner, bundle in bundles[-4:]:
                owner.send(bundle)


def answer_twice(arms: Arms) -> None:
    """Answer each request twice, the second time with another payload, and others that were never asked."""
    for peer, request in requests(arms, 4):
        right = Envelope(REPLY, request.id, tag=request.tag, payload=b"re:" + request.payload)
        other = Envelope(REPLY, request.id, tag=request.tag, payload=b"re:other")
        never = Envelope(REPLY, arms.rng.randbytes(16), tag=arms.rng.getrandbits(32), payload=b"re:never")
        for each in (right, other, never):
            peer.exchange(each)


_worker = partial(Scenario, serves=(SERVICE,))

SCENARIOS = (
    *(
        _worker(f"refusals-{name}", f"a worker answers at once with {name.upper().replace('-', '_')}", refuse, name)
        for name in ANSWERS
    ),
    _worker(
        "refusals-busy-16", "a worker with 16 connections answers at once with BUSY", refuse, "busy", connections=16
    ),
    _worker(
        "refusals-lost-16", "a worker with 16 connections answers at once with LOST", refuse, "lost", connections=16
    ),
    *(
        _worker(
            f"refusals-mixed-{name}-{good}",
            f"a worker with 16 connections answers one request in {good + 1} with {name.upper()}, the others well",
            mix,
            f"{name} {good}",
            connections=16,
            most={**HARMLESS, "errors": 0.02},
        )
        for name, good in (("lost", 1), ("lost", 3), ("lost", 5), ("busy", 1))
    ),
    _worker(
        "refusals-nonsense",
        "a worker with 16 connections answers at once with errors that nobody can read",
        fail,
        connections=16,
        most={**HARMLESS, "goodput_lost": 0.4, "errors": 0.4},
    ),
    _worker(
        "refusals-working",
        "a worker floods its broker with WORKING for 4 calls",
        work,
        most={**HARMLESS, "errors": 0.02, "p99_ms": 1_000.0},
    ),
    _worker(
        "refusals-silent",
        "a worker takes all requests that it gets, and says nothing",
        keep,
        most={**HARMLESS, "p99_ms": 2_500.0},
    ),
    _worker("refusals-twice", "a worker answers twice, and what it was not asked", answer_twice),
)
