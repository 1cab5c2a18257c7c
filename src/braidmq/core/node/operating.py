"""What this node asks brokers to do, as one that operates the net, and what they answer."""

from collections.abc import Iterable
from typing import Final

from braidmq.core.events.node import WorkWithheld
from braidmq.core.links.link import Link
from braidmq.core.links.links import Links
from braidmq.errors import ConfigError
from braidmq.wire.envelope import UINT32
from braidmq.wire.operation import Operate, Operated, Withheld

OPEN_MAX: Final = 64
"""Inquiries at one time, far more than whoever operates a net has."""


class Inquiry:
    """Something that brokers are asked to do.

    Attributes:
        asked: the brokers.
        answers: what they have answered, by name.
    """

    __slots__ = ("answers", "asked", "number")

    def __init__(self, number: int, asked: list[Link]) -> None:
        self.number = number
        self.asked = asked
        self.answers: dict[str, Operated] = {}

    @property
    def is_open(self) -> bool:
        """Whether an answer may still come."""
        return any(link.open and link.name not in self.answers for link in self.asked)


class Operating:
    """The inquiries of one node: `ask` begins one, and whoever has asked calls `end`."""

    __slots__ = ("_links", "_number", "_open")

    def __init__(self, links: Links) -> None:
        self._links = links
        self._number = 0
        self._open: dict[int, Inquiry] = {}

    def ask(self, links: Iterable[Link], action: str, name: str, *, force: bool, now: float) -> Inquiry:
        """Ask those of some brokers that are up. Raises ConfigError if there are OPEN_MAX inquiries already."""
        if len(self._open) >= OPEN_MAX:
            raise ConfigError(f"{OPEN_MAX} operations are under way at this node: wait for one of them")
        self._number = number = (self._number + 1) & UINT32
        inquiry = self._open[number] = Inquiry(number, [link for link in links if link.open])
        for link in inquiry.asked:
            self._links.send_control(link, Operate(number, action, name, force), now)
        return inquiry

    def end(self, inquiry: Inquiry) -> None:
        """Take no more answers."""
        self._open.pop(inquiry.number, None)

    def on_operated(self, link: Link, operated: Operated, _now: float) -> None:
        """Handle an answer; nobody waits for one that was not asked for."""
        inquiry = self._open.get(operated.number)
        if inquiry is not None and link in inquiry.asked:
            inquiry.answers.setdefault(link.name, operated)

    def on_withheld(self, link: Link, withheld: Withheld, _now: float) -> None:
        """Handle that a broker gives this node no new work, or some again: nothing but a line in the log.

        Were it to stop at the word of one broker, that one could make it stop for all.
        """
        self._links.events.add(WorkWithheld(link.name, withheld.by, withheld.out))
