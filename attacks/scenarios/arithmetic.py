"""Numbers that do not fit the fields into which they are to be written."""

from time import monotonic
from typing import Final

from attacks.arms import Arms, written
from attacks.scenario import Scenario
from braidmq.wire import control
from braidmq.wire.bundle import join
from braidmq.wire.envelope import REPLY, REQUEST, UINT16, UINT32, Envelope

QUEUED: Final = 99_000

APART_S: Final = 46.0
"""Between two answers: so many requests times this are more milliseconds than 32 bits hold."""

FIRST_S: Final = 8.0
"""How long the requests have to arrive before the first answer."""


def slow_service(arms: Arms) -> None:
    """Queue many requests for a service of its own, answer two of them far apart, and ask once more."""
    [peer] = arms.peers(1)
    peer.say(control.Ready("own", 1))
    service = b"own"
    requests = [
        written(Envelope(REQUEST, tag.to_bytes(16), tag=tag, time_ms=UINT32, working_ms=UINT16, service=service))
        for tag in range(1, QUEUED + 1)
    ]
    bundles = [bundle for bundle, _ in join(requests)]
    given: list[Envelope] = []
    answer_at, beat_at = monotonic() + FIRST_S, 0.0
    for now in arms.each_moment(0.002):
        while bundles and peer.send(bundles[-1]):
            bundles.pop()
        given += [heard for heard in peer.exchanges() if heard.command == REQUEST]
        if given and now >= answer_at:
            answer_at = now + APART_S
            request = given.pop(0)
            peer.exchange(Envelope(REPLY, request.id, tag=request.tag, payload=b"done"))
            arms.sent["answers"] += 1
        if now >= beat_at:
            beat_at = now + 0.25
            peer.say(control.Ready("own", 1))
            if arms.sent["answers"] > 1:
                arms.sent["asked"] += 1
                tag = QUEUED + arms.sent["asked"]
                peer.exchange(Envelope(REQUEST, tag.to_bytes(16), tag=tag, time_ms=60_000, service=service))


SCENARIOS = (
    Scenario(
        "arithmetic-slow-service",
        f"{QUEUED:,} requests wait for a service that answers each {APART_S:g} s",
        slow_service,
        calls=("own",),
        serves=("own",),
        settings=("queue_messages_max=100000", "in_flight_max=100000"),
        length_s=60.0,
        quick_s=60.0,
    ),
)
