"""A broker that writes down every exchange message: `python -m faults.broker JOURNAL LIFE broker --join FILE ...`.

It is `braidmq broker` with a core that is listened to. What comes in is written down before it is handled, and what
goes out before it is sent.
"""

import re
import sys
from collections.abc import Iterable
from time import monotonic
from typing import Any, Final, Literal

from braidmq import cli
from braidmq.core.broker import BrokerCore
from braidmq.core.events.event import Event
from braidmq.core.peering import PeeringCore
from braidmq.simulation.record import Passage, Verdict
from braidmq.simulation.tap import passages
from braidmq.wire.bundle import split
from braidmq.zeromq import broker_loop
from faults.journal import Journal

_DEAD: Final = re.compile(r"(\S+) is dead(:|$)")

journal_directory, life = ".", 0


class HeardCore(BrokerCore):
    """A broker's core whose messages are written down."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._journal = Journal(journal_directory, Passage, self.name, life)
        self._peers: dict[bytes, str] = {}

    def on_frame(self, route: bytes, principal: str, frame: bytes, now: float) -> None:
        """Write down what is in a frame, and handle it."""
        member = self._directory.member(principal)
        peer = self._peers[route] = "" if member is None else member.name
        self._note("in", peer, split(frame)[0])
        self._journal.flush()
        super().on_frame(route, principal, frame, now)

    def on_disconnect(self, route: bytes, now: float) -> None:
        """Forget a route."""
        self._peers.pop(route, None)
        super().on_disconnect(route, now)

    def take_sends(self) -> dict[bytes, list[bytes]]:
        """Write down what is about to be sent."""
        sends = super().take_sends()
        for route, messages in sends.items():
            self._note("out", self._peers.get(route, ""), messages)
        self._journal.flush()
        return sends

    def _note(self, way: Literal["in", "out"], peer: str, messages: Iterable[bytes]) -> None:
        for passage in passages(messages, monotonic(), self.name, way, peer):
            self._journal.add(passage)


class HeardPeering(PeeringCore):
    """A broker's part among the brokers, whose verdicts are written down."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._journal = Journal(journal_directory, Verdict, self.own.name, life)

    def take_events(self) -> list[Event]:
        """Write down who is taken for dead."""
        events = super().take_events()
        for event in events:
            if found := _DEAD.match(str(event)):
                self._journal.add(Verdict(monotonic(), self.own.name, found[1]))
        self._journal.flush()
        return events


if __name__ == "__main__":
    journal_directory, life = sys.argv[1], int(sys.argv[2])
    broker_loop.BrokerCore = HeardCore  # type: ignore[attr-defined]  # where the loop finds it
    broker_loop.PeeringCore = HeardPeering  # type: ignore[attr-defined]  # where the loop finds it
    sys.exit(cli.run(sys.argv[3:]))
