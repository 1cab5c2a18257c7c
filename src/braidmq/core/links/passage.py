"""Which paths pass requests on, and which payloads may be what stops them.

A connection may be dead in one direction only: the broker is heard, but nothing reaches it. Such a path is **deaf**. It
is known by an attempt of which nothing was heard, nor of any that was sent later, while the broker was. Other paths are
preferred to it, and further attempts wait for another one.

Where packets above some size vanish on the way, each large request makes the path deaf that carries it, and its retries
do so to the others, with all small calls on them. So a large payload that was on a path when it became deaf is
**suspected**, with all that are as large: they go over paths that have carried as much, or else never over the last
one that is left.
"""

from collections.abc import Collection
from typing import Final

from braidmq.core.links.link import Link

SAFE_BYTES: Final = 1_024
"""Payloads up to this size are never suspected: with its envelope such a request fits one packet of nearly any
network (the smallest one of IPv6 has 1,280 bytes)."""

SUSPECT_S: Final = 60.0
"""How long payloads of a size are suspected."""

PATIENCE: Final = 2.0
"""For how many times `dead_after_s` an attempt waits for a path that it may take: long enough for a deaf connection to
be given up and made anew. Then it takes any path: what is thought of payloads and paths is only likely."""

PATIENCE_SHARE: Final = 0.75
"""Share of the remaining time that it waits at most."""

UNSURE_HEARTBEATS: Final = 1.25
"""After so many heartbeats since an attempt was sent a broker that is well was heard, and one that was not may hang."""

PAUSE_S: Final = 0.05
"""How often it looks for one, on average: at random, so that those who wait do not go on at one instant."""


class Passage:
    """What one member knows of deaf paths and of payloads that make them so.

    It is told by `on_word` what was heard of an attempt, by `on_silence` that nothing was, and by `on_end` that a
    session is over. `allowed` is asked before a call is sent, if there is an `alert`.

    Args:
        deaf_s: how long a path counts as deaf at most. By then its broker, which hears nothing, has ended the session.

    Attributes:
        alert: whether there is any reason to look at paths and payloads; seldom.
    """

    __slots__ = ("_deaf", "_deaf_s", "_suspected_bytes", "_suspected_until", "_unsure", "alert")

    def __init__(self, deaf_s: float) -> None:
        self.alert = False
        self._deaf_s = deaf_s
        self._deaf: dict[Link, tuple[float, float]] = {}
        self._unsure: dict[Link, tuple[float, int]] = {}
        self._suspected_bytes = 0
        self._suspected_until = 0.0

    def on_word(self, link: Link, payload_bytes: int, sent_at: float) -> None:
        """Note that something was heard of an attempt: it has come to the broker."""
        if sent_at > link.passed_at:
            link.passed_at = sent_at
        if payload_bytes > link.proven_bytes:
            link.proven_bytes = payload_bytes
        if self._deaf and link in self._deaf and sent_at >= self._deaf[link][1]:
            del self._deaf[link]

    def on_silence(self, link: Link, payload_bytes: int, sent_at: float) -> None:
        """Note that nothing was heard of an attempt for too long."""
        self.alert = True
        first_at, largest = self._unsure.get(link, (sent_at, 0))
        self._unsure[link] = (min(first_at, sent_at), max(largest, payload_bytes))

    def on_end(self, link: Link) -> None:
        """Note that a session has ended."""
        self._deaf.pop(link, None)
        self._unsure.pop(link, None)

    def suspects(self, payload_bytes: int, now: float) -> bool:
        """Whether a payload may be what makes paths deaf."""
        self._judge(now)
        return now < self._suspected_until and payload_bytes >= self._suspected_bytes

    def is_unsure(self, payload_bytes: int) -> bool:
        """Whether that is about to be known of a payload, as soon as a broker is heard."""
        return any(_may_deafen(link, size) and payload_bytes >= size for link, (_, size) in self._unsure.items())

    def allowed(self, paths: list[Link], payload_bytes: int, now: float) -> list[Link]:
        """Return the paths that pass requests on, and that a payload does not put at risk."""
        if self.suspects(payload_bytes, now):
            return self.safe(paths, payload_bytes, now)
        return self.hearing(paths, now)

    def hearing(self, paths: list[Link], now: float) -> list[Link]:
        """Return those of the paths that are not deaf."""
        self._judge(now)
        return [link for link in paths if link not in self._deaf]

    def safe(self, paths: list[Link], payload_bytes: int, now: float) -> list[Link]:
        """Return the paths that a suspected payload may take.

        Those that have carried as much; else those that others like it are on already; else all but a last one.
        """
        hearing = self.hearing(paths, now)
        return (
            [link for link in hearing if link.proven_bytes >= payload_bytes]
            or [link for link in hearing if link.risked]
            or (hearing if len(hearing) > 1 else [])
        )

    def _judge(self, now: float) -> None:
        """Look which paths are deaf: those whose brokers were heard since, but have said nothing of the attempt."""
        for link, (sent_at, payload_bytes) in list(self._unsure.items()):
            passed, heard = link.passed_at >= sent_at, link.heard_at > sent_at
            if not passed and not heard and now < sent_at + UNSURE_HEARTBEATS * link.heartbeat_s:
                continue
            del self._unsure[link]
            if heard and not passed:
                self._deaf[link] = (now + self._deaf_s, sent_at)
                if _may_deafen(link, payload_bytes):
                    suspected = now < self._suspected_until
                    self._suspected_bytes = min(self._suspected_bytes, payload_bytes) if suspected else payload_bytes
                    self._suspected_until = now + SUSPECT_S
        self._deaf = {link: deaf for link, deaf in self._deaf.items() if now < deaf[0]}
        self.alert = bool(self._unsure or self._deaf or now < self._suspected_until)

    def validate_state(self, links: Collection[Link]) -> None:
        """Assert what always holds between two inputs. For tests."""
        assert all(link.open for link in (*self._deaf, *self._unsure))
        assert self.alert or not (self._deaf or self._unsure)
        for link in links:
            assert link.risked == sum(call.risky for call in link.calls)


def _may_deafen(link: Link, payload_bytes: int) -> bool:
    """Whether a payload is larger than what has certainly passed over a path."""
    return payload_bytes > max(SAFE_BYTES, link.proven_bytes)
