"""What a broker refuses: counted by kind, told in one line a minute for each kind, and kept for its report."""

import math
from enum import StrEnum
from typing import Final

from braidmq.core.events.broker import RefusalsSeen
from braidmq.core.events.log import EventLog
from braidmq.observer import BrokerObserver
from braidmq.printable import printable
from braidmq.wire.control import RefusalStatus

TOLD_S: Final = 60.0
"""How often each kind is told of, the first time at once: whoever is refused can come again as often as he likes."""

DETAIL_CHARS_MAX: Final = 120
"""Characters of who, where and what that are kept of the newest one of a kind: the names of members and services, and
words of our own, are shorter."""


class Refused(StrEnum):
    """The kinds. Each has a counter, `refused_` and its value, and a sentence in `SENTENCES`."""

    UNKNOWN = "unknown"
    REMOVED = "removed"
    REVOKED = "revoked"
    EXPIRED = "expired"
    BARRED = "barred"
    UNJUDGED = "unjudged"
    THRONG = "throng"
    OTHER_KEY = "other_key"
    HTTP = "http"
    NO_CURVE = "no_curve"
    FOREIGN = "foreign"
    HANDSHAKE = "handshake"
    ENDED = "ended"
    SIEGE = "siege"
    CROWD = "crowd"
    ROOM = "room"
    ROLE = "role"
    VERSION = "version"
    CALL = "call"
    SERVE = "serve"
    OBSERVE = "observe"
    OPERATE = "operate"


_REFUSED: Final = "connections were refused since this was told last, the newest one from {where}: {who}"
_AWHILE: Final = "connections were refused for a while since this was told last, the newest one from {where}: {who}"
_NOBODY: Final = "connections were no members' since this was told last, the newest one from {where}"
_TURNED: Final = "connections were turned away since this was told last"
_SESSIONS: Final = "sessions were refused since this was told last, the newest one to {who}"

SENTENCES: Final[dict[Refused, str]] = {
    Refused.UNKNOWN: f"{_REFUSED} is not registered here",
    Refused.REMOVED: f"{_REFUSED} was removed from the registry",
    Refused.REVOKED: f"{_REFUSED} was revoked: whoever uses it has what is not his any more",
    Refused.EXPIRED: f"{_REFUSED} has expired: renew its member (`braidmq renew`)",
    Refused.BARRED: f"{_AWHILE} is barred",
    Refused.UNJUDGED: f"{_REFUSED} could not be judged: {{what}}",
    Refused.THRONG: f"{_AWHILE} has as many as one key may have",
    Refused.OTHER_KEY: (
        f"{_NOBODY}: expects another broker's key: its join file is of another net, or older than this broker's"
    ),
    Refused.HTTP: f"{_NOBODY}: speaks HTTP, and this port is none for browsers or probes",
    Refused.NO_CURVE: f"{_NOBODY}: {{what}}",
    Refused.FOREIGN: f"{_NOBODY}: {{what}}",
    Refused.HANDSHAKE: f"{_NOBODY}: {{what}}",
    Refused.ENDED: (
        "connections of members were ended since this was told last, the newest one from {where}: {who} {what}"
    ),
    Refused.SIEGE: (
        f"{_TURNED}, the newest one from {{where}}: too many are open from there, or in all, that have not completed "
        "their handshake; members will try again"
    ),
    Refused.CROWD: (
        f"{_TURNED}: this broker may open {{what}} files, and all but its reserve are in use; raise the limit "
        "(`ulimit -n`, LimitNOFILE=), or add brokers"
    ),
    Refused.ROOM: f"{_SESSIONS}: {{what}}",
    Refused.ROLE: (
        "messages of nodes were refused since this was told last, the newest one of {who}: only brokers may say that; "
        "is a node's key used as a broker's?"
    ),
    Refused.VERSION: f"{_SESSIONS}: it speaks {{what}}",
    Refused.CALL: "calls were refused since this was told last, the newest one of {who}: it may not call {what}",
    Refused.SERVE: "offers were refused since this was told last, the newest one of {who}: it may not serve {what}",
    Refused.OBSERVE: "reports were refused since this was told last, the newest one to {who}: it may not observe",
    Refused.OPERATE: (
        "operations were refused since this was told last, the newest one to {who}, who wanted to {what}: it may not "
        "operate"
    ),
}
"""What a line says behind the number. Who, where and what are those of the newest one."""


class _Record:
    """One kind: how many, how many of them are untold, what the newest one was, and when it may be told again."""

    __slots__ = ("at", "count", "due", "untold", "what", "where", "who")

    def __init__(self) -> None:
        self.count = 0
        self.untold = 0
        self.due = -math.inf
        self.at = 0.0
        self.who = self.where = self.what = ""


class Refusals:
    """What one broker has refused.

    Args:
        counters: the broker's own: gets one for each kind.
        events: where lines go.
        observer: is told of each.
    """

    __slots__ = ("_counters", "_events", "_observer", "_records")

    def __init__(self, counters: dict[str, int], events: EventLog, observer: BrokerObserver | None = None) -> None:
        self._counters = counters
        self._events = events
        self._observer = observer
        self._records: dict[Refused, _Record] = {}
        counters.update({f"refused_{kind.value}": 0 for kind in Refused})

    def note(
        self, kind: Refused, who: str, now: float, *, where: str = "", what: str = "", quiet: bool = False
    ) -> None:
        """Note that somebody was refused.

        Args:
            kind: why.
            who: a member's name, or what else is known of it; may be empty.
            now: the time.
            where: the address that it came from, if that is known.
            what: what it wanted or did.
            quiet: it has a line of its own.
        """
        record = self._records.get(kind)
        if record is None:
            record = self._records[kind] = _Record()
        record.count += 1
        record.at = now
        record.who, record.where, record.what = _cut(who), _cut(where), _cut(what)
        self._counters[f"refused_{kind.value}"] += 1
        if self._observer is not None:
            self._observer.on_refused(kind.value, record.who, record.where, record.what, now)
        if not quiet:
            record.untold += 1
            if now >= record.due:
                self._tell(kind, record, now)

    def on_tick(self, now: float) -> None:
        """Tell what is due."""
        for kind, record in self._records.items():
            if record.untold and now >= record.due:
                self._tell(kind, record, now)

    def rows(self, now: float) -> list[RefusalStatus]:
        """Return what there was of each kind, for a report."""
        return [
            RefusalStatus(
                kind.value, record.count, record.who, record.where, record.what, max(0, int((now - record.at) * 1000))
            )
            for kind, record in self._records.items()
        ]

    def validate_state(self) -> None:
        """Assert what always holds. For tests and the simulator."""
        assert len(self._records) <= len(Refused)
        for kind, record in self._records.items():
            assert 0 <= record.untold <= record.count == self._counters[f"refused_{kind.value}"]

    def _tell(self, kind: Refused, record: _Record, now: float) -> None:
        count, record.untold, record.due = record.untold, 0, now + TOLD_S
        sentence = SENTENCES[kind].format(who=record.who, where=record.where, what=record.what)
        self._events.add(RefusalsSeen(kind.value, count, record.who, record.where, record.what, sentence))


def _cut(detail: str) -> str:
    return printable(detail[:DETAIL_CHARS_MAX])
