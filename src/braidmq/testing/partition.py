"""Partitions between members: frames that vanish while the connection stays."""

from collections.abc import Callable, Iterable

from braidmq.members import Member
from braidmq.turn.ports import Listener


class Cuts:
    """Who does not hear whom. Read by the brokers' threads: each change makes a new set."""

    def __init__(self) -> None:
        self._pairs: frozenset[tuple[str, str]] = frozenset()

    def add(self, pair: tuple[str, str]) -> None:
        """Let the second member of `pair` not hear the first one."""
        self._pairs |= {pair}

    def clear(self) -> None:
        """Let everybody hear everybody."""
        self._pairs = frozenset()

    def hide(self, sender: str, receiver: str) -> bool:
        """Whether `receiver` does not hear `sender`."""
        return (sender, receiver) in self._pairs


class LossyListener:
    """A broker's Listener (turn/ports.py) that loses what a partition hides. It sees both directions of everything."""

    def __init__(self, name: str, cuts: Cuts, member: Callable[[str], Member | None], inner: Listener) -> None:
        self._name = name
        self._cuts = cuts
        self._member = member
        self._inner = inner
        self.breaches = inner.breaches
        self.cut = inner.cut
        self.flush = inner.flush
        self.next_deadline = inner.next_deadline
        self._names: dict[bytes, str] = {}
        self._held: list[tuple[bytes, str, bytes]] = []

    def frames(self, now: float) -> list[tuple[bytes, str, bytes]]:
        """Return what may be heard. What a new connection says meanwhile is kept for `readmit`."""
        heard = []
        for route, principal, frame in self._inner.frames(now):
            member = self._member(principal)
            name = member.name if member is not None else ""
            if not self._cuts.hide(name, self._name):
                self._names[route] = name
                heard.append((route, principal, frame))
            elif route not in self._names:  # a new connection
                self._held.append((route, principal, frame))
        return heard

    def readmit(self) -> list[tuple[bytes, str, bytes]]:
        """Return what new connections have said during a partition."""
        held, self._held = self._held, []
        return held

    def send(self, sends: dict[bytes, list[bytes]]) -> Iterable[tuple[bytes, bytes]]:
        """Send what may be heard."""
        hide, names = self._cuts.hide, self._names
        heard = {route: each for route, each in sends.items() if not hide(self._name, names.get(route, ""))}
        return self._inner.send(heard)

    def take_gone(self, now: float) -> list[tuple[bytes, list[bytes]]]:
        """Return the routes that have ended."""
        gone = list(self._inner.take_gone(now))
        for route, _unsent in gone:
            self._names.pop(route, None)
        return gone
