"""Somebody who may have a newer registry: another broker, or a member that publishes."""

from typing import Final

PAUSE_S_MIN: Final = 1.0
"""How long a source that has failed is left alone at first."""

PAUSE_S_MAX: Final = 60.0
"""How long it is left alone at most, however often it fails."""

Key = str | bytes
"""What a source is known by: a broker by its name, one who publishes by the route of the session."""


class Source:
    """One of them.

    Attributes:
        key: what it is known by.
        name: what a log calls it.
        version: of its registry, in its own words.
        digest: of that.
        whole: whether it is asked for all of it next, as a difference from it could not be used.
        free_at: until when it is left alone.
        told: the version of which it was told that it is none, or another one of the same number.
    """

    __slots__ = ("_pause_s", "digest", "free_at", "key", "name", "told", "version", "whole")

    def __init__(self, key: Key, name: str, now: float) -> None:
        self.key = key
        self.name = name
        self.version = 0
        self.digest = b""
        self.whole = False
        self.free_at = now
        self.told = -1
        self._pause_s = PAUSE_S_MIN

    def on_failure(self, now: float) -> None:
        """Leave it alone, for twice as long as the last time."""
        self.free_at = now + self._pause_s
        self._pause_s = min(PAUSE_S_MAX, 2 * self._pause_s)
        self.whole = False

    def on_success(self) -> None:
        """Note that its registry was one."""
        self._pause_s = PAUSE_S_MIN
        self.whole = False
