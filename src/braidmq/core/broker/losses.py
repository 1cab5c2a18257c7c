"""Workers and bridges that a broker has lost: their sessions have ended without a goodbye, and they are not back."""

from collections.abc import Container
from typing import Final

from braidmq.core.broker.transit import Session, SessionState
from braidmq.members import Directory
from braidmq.wire.control import REPORT_SERVES_MAX, LossStatus

LOSSES_MAX: Final = 100
"""Losses that are remembered, the oldest are forgotten first: who reads of so many has read enough."""

REMEMBERED_S: Final = 600.0
"""How long a loss is remembered: whoever is to do something about it has looked by then, and a worker that nobody has
started again is not missed."""


class _Loss:
    """A worker or a bridge and its key, when it was lost, and what with it."""

    __slots__ = ("at", "bridge", "principal", "requests", "route", "serves", "silent")

    def __init__(self, session: Session, at: float, *, silent: bool) -> None:
        self.at = at
        self.principal = session.usage.principal
        self.route = session.route
        self.bridge = session.bridge
        self.silent = silent
        self.requests = sum(transit.client is not None for transit in session.assigned.values())
        self.serves = sorted(name.decode() for name in session.offers)[:REPORT_SERVES_MAX]


class Losses:
    """The workers and bridges that one broker has lost lately.

    `note` comes before a session ends for which nobody has said goodbye; `rows` is for a report.

    Args:
        directory: who is registered; nobody else is missed.
    """

    __slots__ = ("_directory", "_losses")

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._losses: dict[str, _Loss] = {}

    def note(self, session: Session, now: float, *, silent: bool) -> None:
        """Note that a session is about to end; it is no loss if it serves nobody, or if either side has said why."""
        if (session.offers or session.bridge) and session.state is not SessionState.LEAVING and not session.noted:
            name = session.member.name
            known = self._losses.pop(name, None)
            if known is not None and known.route == session.route and not session.offers:
                self._losses[name] = known  # what it has served was taken from it since that was noted
                return
            self._losses[name] = _Loss(session, now, silent=silent)
            if len(self._losses) > LOSSES_MAX:
                del self._losses[next(iter(self._losses))]

    def rows(self, present: Container[str], now: float) -> list[LossStatus]:
        """Return whom this broker has lost and who is not `present`, the latest first."""
        for name, loss in list(self._losses.items()):
            over = name in present or now - loss.at > REMEMBERED_S
            if over or self._directory.member(loss.principal) is None:
                del self._losses[name]
        return [
            LossStatus(name, max(0, int((now - loss.at) * 1000)), loss.silent, loss.requests, loss.serves, loss.bridge)
            for name, loss in reversed(self._losses.items())
        ]

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self._losses) <= LOSSES_MAX
