"""All that a monitor knows: the newest look, since when its findings stand, its history and its journal. Pure."""

from collections.abc import Collection
from typing import Any, Final

from braidmq.monitor.happenings import Happenings
from braidmq.monitor.history import History, Past, Span
from braidmq.monitor.journal import Journal
from braidmq.monitor.looking import Look
from braidmq.monitor.snapshot import Sums, encode, level, snapshot
from braidmq.monitor.standing import Standing

IDS_PER_S: Final = 1_000_000
"""Numbers of entries that each second since 1970 has: far more than entries of a second. A number is still exact in
JavaScript."""


class Board:
    """What a monitor knows. Give it every look by `take`.

    Args:
        node: the name of the monitor.
        unix_s: the time, in seconds since 1970 (UTC).
    """

    def __init__(self, node: str, unix_s: float) -> None:
        self.node = node
        self.journal = Journal(int(unix_s) * IDS_PER_S)
        self.sums: Sums | None = None
        self.looks = 0
        self._history = History()
        self._standing = Standing()
        self._happenings = Happenings()
        self._unix_s = unix_s
        self._net: bytes | None = None
        self._callable: Collection[str] = ()

    def take(self, look: Look, unix_s: float, callable_: Collection[str] = ()) -> None:
        """Take a look.

        Args:
            look: the net.
            unix_s: when that was, in seconds since 1970 (UTC).
            callable_: services that the monitor can call now.
        """
        before = () if self.sums is None else self.sums.look.views
        self.sums = Sums(look, before, self.sums)
        self.looks += 1
        self._unix_s = unix_s
        self._callable = callable_
        self._net = None
        self._history.note(self.sums.values(), look.at_s)
        changes = self._standing.look(look.findings, look.at_s)
        for happening in self._happenings.look(look.views, changes, look.at_s):
            self.journal.add(happening, round(unix_s, 3))

    @property
    def level(self) -> str:
        """How the net is in a word; `unreachable` before the first look."""
        return "unreachable" if self.sums is None else level(self.sums.look)

    def net(self) -> bytes:
        """Return the newest look as JSON; it is made when it is first asked for. Only after `take`."""
        assert self.sums is not None
        if self._net is None:
            self._net = encode(snapshot(self.node, self.sums, self._standing, self._unix_s, self._callable))
        return self._net

    def past(self, subject: str, span: Span) -> dict[str, Any] | None:
        """Return the history of `net`, `broker:NAME` or `service:NAME` as a JSON object; None if there is none."""
        if self.sums is None:
            return None
        now_s = self.sums.look.at_s
        found: Past | None = self._history.past(subject, span, now_s)
        if found is None:
            return None
        first_at = self._unix_s - (now_s - found.first_s)
        return {"step_s": found.step_s, "first_at": round(first_at, 3), "series": found.series}
