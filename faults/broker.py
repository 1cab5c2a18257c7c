"""What writes down every exchange message of a broker, and whom it takes for dead.

It observes `braidmq broker --observer faults.broker:observer`, with `environment` in its environment. What comes in is
written down before it is handled, and what goes out before it is sent.
"""

import os
from collections.abc import Iterable
from time import monotonic
from typing import Final, Literal

import msgspec

from braidmq.lab.simulation.record import Passage, Verdict
from braidmq.lab.simulation.tap import passages
from braidmq.observer import BrokerObserver
from braidmq.wire.bundle import split
from faults.journal import Journal

UNRECORDED: Final = frozenset(("talker", "listener"))
"""Members whose calls no journal has: rows that are about them ask themselves what has become of them."""

_VARIABLE: Final = "FAULTS_BROKER"


class Plan(msgspec.Struct):
    """Where a broker's journals are.

    Attributes:
        journal: their directory.
        broker: its name.
        life: counts the processes of this broker.
    """

    journal: str
    broker: str
    life: int = 0


def environment(plan: Plan) -> dict[str, str]:
    """Return what a broker must find in its environment."""
    return {_VARIABLE: msgspec.json.encode(plan).decode()}


class Recorder(BrokerObserver):
    """Writes down what passes through a broker. A broker that cannot be recorded ends."""

    def __init__(self, plan: Plan) -> None:
        self._broker = plan.broker
        self._passages = Journal(plan.journal, Passage, plan.broker, plan.life)
        self._verdicts = Journal(plan.journal, Verdict, plan.broker, plan.life)

    def on_received(self, connection: bytes, member: str, frame: bytes) -> None:
        """See BrokerObserver."""
        self._note("in", member, split(frame)[0])

    def on_sent(self, connection: bytes, member: str, messages: list[bytes]) -> None:
        """See BrokerObserver."""
        self._note("out", member, messages)

    def on_peer(self, broker: str, before: str, state: str, now: float) -> None:
        """See BrokerObserver."""
        if state == "dead" and before != "leaving":
            self._verdicts.add(Verdict(monotonic(), self._broker, broker))
            self._flush(self._verdicts)

    def _note(self, way: Literal["in", "out"], peer: str, messages: Iterable[bytes]) -> None:
        if peer in UNRECORDED:
            return
        for passage in passages(messages, monotonic(), self._broker, way, peer):
            self._passages.add(passage)
        self._flush(self._passages)

    @staticmethod
    def _flush(journal: Journal[Passage] | Journal[Verdict]) -> None:
        try:
            journal.flush()
        except OSError as error:
            raise SystemExit(f"what this broker does cannot be written down: {error}") from error


if _VARIABLE in os.environ:
    observer = Recorder(msgspec.json.decode(os.environ[_VARIABLE], type=Plan))
