"""What a bridge tells of itself: to the brokers, for `braidmq status`, and to Prometheus, for whoever asks there.

Each kind of bridge counts what happens to it under names of its own. Here they are summed up under four that all have.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from braidmq.errors import NodeClosed
from braidmq.node import Node

if TYPE_CHECKING:
    from braidmq.bridges.metrics import Metrics

TELL_S: Final = 2.0
"""How often brokers are told, if something has changed: `braidmq status` is no older, and one message has some tens
of bytes."""

REQUESTS: Final = ("requests", "messages")
"""Counters of what foreign programs have asked for, or said where nobody asks."""

ERRORS: Final = ("errors",)
"""Counters of requests that have failed."""

DENIED: Final = ("denied", "refused", "unauthenticated", "access-denied", "foreign-page")
"""Counters of what was not allowed: a service, or to come in."""

DROPPED: Final = (
    "dropped", "malformed", "unexpected", "streams", "mail_dropped", "mail_expired", "too_many_peers",
    "too_many_silent", "too_far_ahead", "too_many_changes", "too_large", "unread", "evicted", "too-many-connections",
    "too-many-calls", "head-too-large", "request-timeout",
)  # fmt: skip
"""Counters of what was dropped of what foreign programs have sent, or were to be sent."""


class Figures(msgspec.Struct, frozen=True):
    """How a bridge is.

    Attributes:
        peers: foreign connections that have said something.
        services: what foreign programs provide through it.
        counters: what it has counted since its start, by its own names.
    """

    peers: int
    services: int
    counters: Mapping[str, int]

    def sum(self, names: tuple[str, ...]) -> int:
        """Return how many of some counters there are together."""
        return sum(self.counters.get(name, 0) for name in names)


class Teller:
    """Lets a node tell brokers how its bridge is, as long as it runs. All methods belong to one event loop.

    Args:
        node: the bridge's own.
        kind: what the bridge speaks.
        figures: returns how it is, with counters of its own.
        metrics: shows the same to Prometheus; None: nobody asks there.
    """

    def __init__(self, node: Node, kind: str, figures: Callable[[], Figures], metrics: "Metrics | None") -> None:
        self._node = node
        self._kind = kind
        self._figures = figures
        self._metrics = metrics
        self._told: Figures | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Tell, and go on to tell of changes."""
        self._tell()

    def stop(self) -> None:
        """Tell no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TELL_S, self._tell)
        now = self._figures()
        if now == self._told:
            return
        self._told = now
        if self._metrics is not None:
            self._metrics.note(self._node.name, self._kind, now)
        with contextlib.suppress(NodeClosed):  # it drains, and ends before its bridge does
            self._node.tell_of_bridge(
                self._kind,
                peers=now.peers,
                services=now.services,
                requests=now.sum(REQUESTS),
                errors=now.sum(ERRORS),
                denied=now.sum(DENIED),
                dropped=now.sum(DROPPED),
            )
