"""Messages of many frames, of which the protocol has no use, and PINGs of the transport."""

from typing import Final

from attacks.arms import Arms
from attacks.curve import INNER_MORE
from attacks.pour import pour
from attacks.scenario import Scenario

PARTS: Final = 1_000_000
"""Empty frames of one message."""

PART_BYTES: Final = {"empty": 0, "large": 60_000}
"""Frames of a message that never ends."""


def many_parts(arms: Arms) -> None:
    """Send messages of a million empty frames."""
    [*peers] = arms.peers()
    while arms.goes_on():
        for peer in peers:
            peer.hear()
            if not peer.renew():
                continue
            for number in range(PARTS):
                if not number % 1_000 and not arms.goes_on():
                    return
                peer.send_part(b"")
            peer.send(b"")
            arms.sent["messages"] += 1


def endless(arms: Arms) -> None:
    """Send frames of messages that never end."""
    part = bytes(PART_BYTES[arms.plan.variant])
    pour(arms, lambda client: b"".join(client.message(part, INNER_MORE) for _ in range(100)))


def ping(arms: Arms) -> None:
    """Send PING of the transport as fast as it goes, each with an answer that is not read."""
    pour(arms, lambda client: b"".join(client.ping() for _ in range(500)))


SCENARIOS = (
    Scenario("multipart-million", f"messages of {PARTS:,} empty frames", many_parts),
    *(
        Scenario(
            f"multipart-endless-{variant}",
            f"messages whose {variant} frames never end, on 4 connections",
            endless,
            variant,
            connections=4,
        )
        for variant in PART_BYTES
    ),
    Scenario("pings", "PING of the transport on 8 connections, whose answers are never read", ping, connections=8),
)
