"""What the log is told of those who are not let in. They can come as often as they like, so lines are few."""

import math
from typing import Final

from braidmq.host.loggers import own_logger
from braidmq.printable import printable
from braidmq.zmtp.violation import Refusal

TOLD_S: Final = 60.0
"""How often each kind is told of, the first time at once."""

_LOG = own_logger("braidmq.broker")
_REFUSED: Final = (
    "%d connections were refused since this was told last, the newest one from %s: %s is not registered here"
)
_BARRED: Final = (
    "%d connections were refused for a while since this was told last, the newest one from %s: %s is barred"
)
_ODD: Final = "%d connections were no members' since this was told last, the newest one from %s: it %s"
_SIEGE: Final = (
    "%d connections were turned away since this was told last, the newest one from %s: too many are open from there, "
    "or in all, that have not completed their handshake; members will try again"
)
_CROWD: Final = (
    "%d connections were turned away since this was told last: this broker may open %s files, and all but its reserve "
    "are in use; raise the limit (`ulimit -n`, LimitNOFILE=), or add brokers"
)


class _Kind:
    """One kind of line: how many there were since it was written, and what the newest one was."""

    __slots__ = ("count", "due", "newest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.count = 0
        self.newest: tuple[object, ...] = ()
        self.due = -math.inf


class Strangers:
    """Counts them and tells of them. `tell` is due at `next_deadline`.

    Attributes:
        refused: how many had a key that is not registered, or is barred.
        turned_away: how many there was no room for.
    """

    def __init__(self) -> None:
        self.refused = 0
        self.turned_away = 0
        self._refused = _Kind(_REFUSED)
        self._barred = _Kind(_BARRED)
        self._odd = _Kind(_ODD)
        self._siege = _Kind(_SIEGE)
        self._crowd = _Kind(_CROWD)
        self._kinds = (self._refused, self._barred, self._odd, self._siege, self._crowd)

    def on_refused(self, address: str, refusal: Refusal) -> None:
        """Note that a key was refused."""
        self.refused += 1
        self._note(self._barred if refusal.status == "300" else self._refused, address, refusal.who)

    def on_violation(self, address: str, why: str) -> None:
        """Note that a connection has not kept to the protocol before anything was known of it."""
        self._note(self._odd, address, printable(why))

    def on_siege(self, origin: str) -> None:
        """Note that too many are at the door."""
        self.turned_away += 1
        self._note(self._siege, origin)

    def on_crowd(self, descriptors_max: int) -> None:
        """Note that there is no descriptor for another connection."""
        self.turned_away += 1
        self._note(self._crowd, descriptors_max)

    def tell(self, now: float) -> None:
        """Write what is due."""
        for kind in self._kinds:
            if kind.count and now >= kind.due:
                _LOG.warning(kind.text, kind.count, *kind.newest)
                kind.count, kind.due = 0, now + TOLD_S

    def next_deadline(self) -> float:
        """Return when `tell` is due; infinity if there is nothing to tell."""
        return min((kind.due for kind in self._kinds if kind.count), default=math.inf)

    def _note(self, kind: _Kind, *newest: object) -> None:
        kind.count += 1
        kind.newest = newest
