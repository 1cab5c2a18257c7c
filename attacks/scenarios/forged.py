"""What no member may say, at a modest rate: in others' names, of others' requests, without the right to it."""

from typing import Final

from attacks.arms import Arms, said
from attacks.scenario import Scenario
from braidmq.wire import control, gossip
from braidmq.wire.envelope import (
    CANCEL,
    LOST,
    REJECT,
    RENEW,
    REPLY,
    REQUEST,
    UINT32,
    WORKING,
    Envelope,
    Reason,
)
from faults.worker import SERVICE

EVERY_S: Final = 0.005

TAGS_MAX: Final = 3_000
"""Tags are counted: those that are guessed are in use, or were."""

FOREIGN: Final = tuple(
    said(each)
    for each in (
        control.Ready(SERVICE, UINT32),
        control.Status(),
        control.Welcome("b1", "mallory", 1, 0),
        control.Services(["nothing"]),
        control.Goodbye("noted"),
        gossip.Ping(1),
        gossip.Gossip([gossip.Rumor("b1", 9, "dead")]),
        gossip.Sync([gossip.Rumor("b1", 9, "dead")], answer=True),
        gossip.About("b1", UINT32),
        gossip.Seek(SERVICE),
    )
)


def forge(arms: Arms) -> None:
    """Say such things over all connections."""
    peers, rng = arms.peers(), arms.rng
    for _now in arms.each_moment(EVERY_S):
        for peer in peers:
            peer.hear()
            if not peer.renew():
                continue
            for command in (REQUEST, REPLY, WORKING, REJECT, CANCEL, LOST, RENEW):
                peer.exchange(
                    Envelope(
                        command,
                        rng.randbytes(16),
                        tag=rng.randrange(TAGS_MAX),
                        time_ms=5_000,
                        service=SERVICE.encode(),
                        sender=rng.choice((b"c1", b"w1", b"b1")),
                        receiver=rng.choice((b"c1", b"w1")),
                        code=int(Reason.BUSY) if command == REJECT else 0,
                        payload=b"re:forged",
                    )
                )
            peer.send(rng.choice(FOREIGN))
            arms.sent["messages"] += 8


SCENARIOS = (
    Scenario("forged-member", "a member speaks in others' names, and of others' requests", forge, connections=4),
)
