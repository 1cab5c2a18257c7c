"""What the log is told of those who are not let in. They can come as often as they like, so lines are few."""

import math
from typing import Final

from braidmq.carrier.gate import Early, Throng, Unjudged
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
_UNJUDGED: Final = (
    "%d connections were refused since this was told last, the newest one from %s: %s could not be judged"
)
_THRONG: Final = (
    "%d connections were refused for a while since this was told last, the newest one from %s: %s has as many as one "
    "key may have"
)
_LOUT: Final = "%d connections of members were ended since this was told last, the newest one from %s: %s %s"
_ODD: Final = "%d connections were no members' since this was told last, the newest one from %s: %s"
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

    __slots__ = ("count", "due", "error", "newest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.count = 0
        self.newest: tuple[object, ...] = ()
        self.error: Exception | None = None
        self.due = -math.inf


class Strangers:
    """Counts them and tells of them. `tell` is due at `next_deadline`.

    Attributes:
        refused: how many had a key that was not let in.
        turned_away: how many there was no room for.
        due: when `tell` is due; infinity if there is nothing to tell.
    """

    def __init__(self) -> None:
        self.refused = 0
        self.turned_away = 0
        self.due = math.inf
        self._refused = _Kind(_REFUSED)
        self._barred = _Kind(_BARRED)
        self._unjudged = _Kind(_UNJUDGED)
        self._throng = _Kind(_THRONG)
        self._lout = _Kind(_LOUT)
        self._odd = _Kind(_ODD)
        self._siege = _Kind(_SIEGE)
        self._crowd = _Kind(_CROWD)
        self._kinds = (
            self._refused, self._barred, self._unjudged, self._throng, self._lout, self._odd, self._siege, self._crowd,
        )  # fmt: skip

    def on_refused(self, address: str, refusal: Refusal) -> None:
        """Note that a key was refused."""
        if isinstance(refusal, Early):
            return  # it comes again
        self.refused += 1
        if isinstance(refusal, Unjudged):
            self._unjudged.error = refusal.error
            self._note(self._unjudged, address, refusal.who)
        elif isinstance(refusal, Throng):
            self._note(self._throng, address, refusal.who)
        else:
            self._note(self._barred if refusal.status == "300" else self._refused, address, refusal.who)

    def on_lout(self, address: str, who: str, why: str) -> None:
        """Note that a connection of a member was ended for what it does, which may not be the member's doing."""
        self._note(self._lout, address, who, printable(why))

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
                _LOG.warning(kind.text, kind.count, *kind.newest, exc_info=kind.error)
                kind.count, kind.due, kind.error = 0, now + TOLD_S, None
        self.due = min((kind.due for kind in self._kinds if kind.count), default=math.inf)

    def _note(self, kind: _Kind, *newest: object) -> None:
        kind.count += 1
        kind.newest = newest
        self.due = min(self.due, kind.due)
