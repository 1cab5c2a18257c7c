"""Replies that are refused, as their workers have not proved them: see proofs.py."""

from braidmq.core.client.call import Call
from braidmq.core.events.node import ReplyUnproven
from braidmq.core.links.link import Link
from braidmq.core.links.links import Links
from braidmq.core.proofs import Checker
from braidmq.settings import Settings
from braidmq.wire.envelope import Envelope


class Unproven:
    """Asked of each reply, before it counts, whether it `is_proved`; if not, its attempt is lost.

    The log has one line for each broker, as long as it is known: `on_gone` forgets it.

    Attributes:
        count: how many there were.
    """

    __slots__ = ("_accused", "_checker", "_exchange_s", "_former", "_links", "count")

    def __init__(self, settings: Settings, links: Links, checker: Checker) -> None:
        self.count = 0
        self._checker = checker
        self._former: Checker | None = None
        self._links = links
        self._exchange_s = settings.exchange_timeout_s
        self._accused: set[str] = set()

    def on_gone(self, link: Link) -> None:
        """Note that a broker is known no longer."""
        self._accused.discard(link.name)

    def change(self, checker: Checker) -> None:
        """Check with another key from now on, and with the former one what that has been asked for."""
        self._former, self._checker = self._checker, checker

    def is_proved(self, call: Call, link: Link, answer: Envelope, now: float) -> bool:
        """Whether a reply is its worker's; if not, the attempt is lost, and its path is worth less."""
        flaw = self._checker.flaw_of(call, answer)
        if flaw and self._former is not None and not self._former.flaw_of(call, answer):
            return True  # the call is from before the change
        if not flaw:
            return True
        self.count += 1
        link.ewma.observe(self._exchange_s, now)
        if link.name not in self._accused:
            self._accused.add(link.name)
            worker, service = answer.sender.decode("ascii", "replace"), call.service.decode()
            self._links.events.add(ReplyUnproven(link.name, worker, service, flaw))
        return False

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        self._checker.validate_state()
        assert self._accused <= self._links.links.keys()
