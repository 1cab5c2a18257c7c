"""Which requests a broker takes, and which refusals of a worker it believes."""

from typing import Final

from braidmq.core.broker.catalogue import Catalogue
from braidmq.core.broker.key_usage import KEY_IN_FLIGHT_FACTOR
from braidmq.core.broker.transit import Session, Transit
from braidmq.settings import Settings
from braidmq.wire.envelope import Reason

EARLY_S: Final = 0.05
"""A worker that refuses a request as expired with more time left than this refuses what others would run."""

OF_BROKERS: Final = (Reason.DENIED, Reason.TOO_LARGE)
"""Reasons that end a call, and which a broker has found not to be there: from a worker they count as BUSY."""


class Admission:
    """Says why a request is not taken.

    Args:
        settings: see Settings.
        catalogue: of the services.
        counters: the broker's own.
    """

    __slots__ = ("_catalogue", "_counters", "_in_flight_max", "_payload_bytes_max")

    def __init__(self, settings: Settings, catalogue: Catalogue, counters: dict[str, int]) -> None:
        self._catalogue = catalogue
        self._counters = counters
        self._in_flight_max = settings.in_flight_max * KEY_IN_FLIGHT_FACTOR
        self._payload_bytes_max = settings.payload_bytes_max

    def why_not(
        self, session: Session, name: bytes, payload_bytes: int, remaining_s: float, *, known: bool, draining: bool
    ) -> Reason | None:
        """Return why a request is not taken; None if it is.

        Args:
            session: whose it is.
            name: of the service.
            payload_bytes: how long its payload is.
            remaining_s: how much time it has left, in seconds.
            known: whether there is such a service.
            draining: whether this broker is about to stop.
        """
        allowed = session.call_rights.get(name)
        if not (session.may_call(name) if allowed is None else allowed):
            self._counters["denied"] += 1
            return Reason.DENIED
        if draining:
            return Reason.DRAINING
        if remaining_s <= 0.0:
            self._counters["expired"] += 1
            return Reason.EXPIRED
        if not known and not self._catalogue.may_come(name):
            return Reason.NO_WORKER
        if session.usage.in_flight >= self._in_flight_max:
            return Reason.BUSY
        if payload_bytes > self._payload_bytes_max:
            return Reason.TOO_LARGE
        return None


def is_over(transit: Transit, reason: int, now: float) -> bool:
    """Whether a worker is right to refuse a request as expired: its client gave it the time, or called it back."""
    withdrawn = transit.client is None or transit.superseded
    return reason == Reason.EXPIRED and (withdrawn or transit.deadline - now <= EARLY_S)
