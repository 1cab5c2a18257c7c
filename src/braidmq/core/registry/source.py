"""Somebody who may have a newer registry: another broker, or a member that publishes."""

from collections.abc import Generator
from typing import Final

from braidmq.core.registry.ledger import Candidate
from braidmq.core.registry.transfer import Transfer
from braidmq.wire.registry import RegistryVersion

PAUSE_S_MIN: Final = 1.0
"""How long a source that has failed is left alone at first."""

PAUSE_S_MAX: Final = 60.0
"""How long it is left alone at most, however often it fails. After as long without a failure it counts as new."""

Key = str | bytes
"""What a source is known by: a broker by its name, one who publishes by the route of the session."""


class Rest:
    """Until when a member is left alone, over all its sessions: coming anew makes nobody better.

    Attributes:
        free_at: until when.
        pause_s: for how long when it fails next.
    """

    __slots__ = ("free_at", "pause_s")

    def __init__(self, now: float) -> None:
        self.free_at = now
        self.pause_s = PAUSE_S_MIN

    def on_failure(self, now: float) -> None:
        """Leave it alone, for twice as long as the last time."""
        if now - self.free_at > PAUSE_S_MAX:
            self.pause_s = PAUSE_S_MIN
        self.free_at = now + self.pause_s
        self.pause_s = min(PAUSE_S_MAX, 2 * self.pause_s)

    def on_success(self) -> None:
        """Note that its registry was one."""
        self.pause_s = PAUSE_S_MIN


class Source:
    """One of them.

    Attributes:
        key: what it is known by.
        name: the member, as a log calls it.
        rest: until when that is left alone.
        version: of its registry, in its own words.
        digest: of that.
        unix_ms: what time it was for it when it said so; 0 if it has not told.
        whole: whether it is asked for all of it next, as a difference from it could not be used.
        told: the version of which it was told that it is none, or another one of the same number.
        transfer: what comes from it; None if nothing does.
        checking: the check of what has come; None before that.
    """

    __slots__ = ("checking", "digest", "key", "name", "rest", "told", "transfer", "unix_ms", "version", "whole")

    def __init__(self, key: Key, name: str, rest: Rest) -> None:
        self.key = key
        self.name = name
        self.rest = rest
        self.version = 0
        self.digest = b""
        self.unix_ms = 0
        self.whole = False
        self.told = -1
        self.transfer: Transfer | None = None
        self.checking: Generator[None, None, Candidate] | None = None

    def hear(self, told: RegistryVersion) -> bool:
        """Note which registry it has; return False, and note nothing, if it has said something newer before.

        There may be two connections with a broker, over which what it says may arrive in another order. As long as it
        runs, its version only grows; when it comes back with an older one, its clock has gone on.
        """
        if told.version < self.version and 0 < told.unix_ms <= self.unix_ms:
            return False
        self.version, self.digest, self.unix_ms = told.version, told.digest, told.unix_ms
        return True

    def on_failure(self, now: float) -> None:
        """Leave it alone for a while."""
        self.rest.on_failure(now)
        self.whole = False

    def on_success(self) -> None:
        """Note that its registry was one."""
        self.rest.on_success()
        self.whole = False
