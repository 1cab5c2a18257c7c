"""Partitions between members: frames that vanish while the connection stays."""

from collections.abc import Callable
from typing import Any

from braidmq.members import Member
from braidmq.zeromq.router import Router


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


class LossyRouter(Router):
    """Loses what a partition hides. It sees both directions of every connection to its broker."""

    def __init__(self, name: str, cuts: Cuts, member: Callable[[str], Member | None], *args: Any) -> None:
        super().__init__(*args)
        self._name = name
        self._cuts = cuts
        self._member = member
        self._names: dict[bytes, str] = {}
        self._held: list[tuple[bytes, str, bytes]] = []

    def receive(self, now: float, *, until_empty: bool) -> list[tuple[bytes, str, bytes]]:
        """See Router.receive. What a new connection says meanwhile is kept for `readmit`."""
        heard = []
        for route, principal, frame in super().receive(now, until_empty=until_empty):
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

    def send(self, sends: dict[bytes, list[bytes]]) -> None:
        """See Router.send."""
        hide, names = self._cuts.hide, self._names
        super().send({route: each for route, each in sends.items() if not hide(self._name, names.get(route, ""))})

    def take_gone(self) -> list[tuple[bytes, list[bytes]]]:
        """See Router.take_gone."""
        gone = super().take_gone()
        for route, _unsent in gone:
            self._names.pop(route, None)
        return gone
