"""Sessions that come and go, so that there is something to tell; and a log that nobody reads."""

from time import monotonic, sleep

from attacks.arms import Arms
from attacks.scenario import Scenario
from braidmq.wire import control


def reconnect(arms: Arms) -> None:
    """Open sessions, offer something so that they are told of, and close them."""
    while arms.goes_on():
        peers = arms.peers()
        until = monotonic() + 0.1
        for peer in peers:
            peer.say(control.Ready("own", 1))
        while monotonic() < until and not all(peer.open or not peer.live for peer in peers):
            for peer in peers:
                peer.hear()
            sleep(0.002)
        for peer in peers:
            peer.close()
            arms.sent["connections"] += 1


SCENARIOS = tuple(
    Scenario(name, attack, reconnect, connections=16, serves=("own",), unread=unread)
    for name, attack, unread in (
        ("logs-reconnects", "16 sessions come and go as fast as they can", False),
        ("logs-unread", "16 sessions come and go, while nobody reads the broker's log", True),
    )
)
