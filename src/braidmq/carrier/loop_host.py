"""What the loops of nodes and of brokers do alike for their turns (turn/ports.py: Host)."""

import logging
from collections.abc import Callable

from braidmq.carrier.event_lines import log_event
from braidmq.core.events.event import Event
from braidmq.host.lookups import Lookups


class LoopHost:
    """Looks up addresses, and writes events to the log.

    Args:
        on_lookup: is called from another thread when addresses are known.
        log: where events are written.
    """

    def __init__(self, on_lookup: Callable[[], None], log: logging.Logger) -> None:
        self._lookups = Lookups(on_lookup)
        self._log = log

    def look_up(self, name: str, endpoints: tuple[str, ...]) -> None:
        """Begin to look up the addresses behind a broker's endpoints."""
        self._lookups.begin(name, endpoints)

    def looked_up(self) -> list[tuple[str, list[str]]]:
        """Return the brokers whose addresses are known now, each with those."""
        return self._lookups.take()

    def tell(self, event: Event) -> None:
        """Write an event to the log."""
        log_event(self._log, event)

    def end_lookups(self) -> None:
        """Let the threads end that look up addresses."""
        self._lookups.close()
