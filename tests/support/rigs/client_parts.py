"""The parts of a client without the client: they send calls, bring them on and end them, over the links of a node."""

import random

from braidmq.core.client.attempts import Attempts
from braidmq.core.client.call import Call, Stage
from braidmq.core.client.call_book import CallBook
from braidmq.core.client.call_waits import CallWaits
from braidmq.core.client.failover import Failover
from braidmq.core.client.path_choice import PathChoice
from braidmq.core.client.places import RunPlaces
from braidmq.core.client.retry import Reroutes, RetryBudget
from braidmq.core.client.sending import Sending
from braidmq.core.client.verdicts import Verdicts
from braidmq.core.client.worker_wait import WorkerWait
from braidmq.members import Member, Role
from braidmq.settings import Settings
from braidmq.wire.envelope import REQUEST, Envelope, command_of, decode
from tests.support.rigs.node_rig import NODE, NodeRig


class Finder:
    """Finds no broker.

    Attributes:
        waits: whether calls are to wait for one.
        required: the brokers that calls have named.
    """

    def __init__(self) -> None:
        self.waits = False
        self.required: list[str] = []

    def seek(self, service: bytes, now: float) -> bool:
        return self.waits

    def require(self, broker: str, now: float) -> None:
        self.required.append(broker)


class ClientParts:
    """What a ClientCore is made of. The links are those of the rig, whose own client makes no calls."""

    def __init__(self, rig: NodeRig, settings: Settings) -> None:
        self.rig = rig
        self.finder = Finder()
        rng, links = random.Random(1), rig.core.links
        member = Member(NODE, Role.NODE, calls=("*",), serves=())
        self.budget = RetryBudget(settings, rig.now)
        self.waits = CallWaits(settings, rng)
        self.choice = PathChoice(settings, rng, links, rig.now)
        self.wait = WorkerWait(settings, member)
        self.attempts = Attempts(settings, links, self.choice.passage)
        self.sending = Sending(
            settings,
            rng,
            links,
            self.finder,
            attempts=self.attempts,
            choice=self.choice,
            wait=self.wait,
            waits=self.waits,
        )
        self.failover = Failover(
            settings,
            rng,
            attempts=self.attempts,
            budget=self.budget,
            choice=self.choice,
            sending=self.sending,
            verdicts=Verdicts(settings, rng, self.choice, self.wait, budget=self.budget, reroutes=Reroutes()),
            waits=self.waits,
        )
        self.book = CallBook(
            RunPlaces(settings), self.waits, attempts=self.attempts, sending=self.sending, observer=None
        )
        self._count = 0

    @property
    def now(self) -> float:
        return self.rig.now

    def call(
        self,
        *,
        payload: bytes = b"ping",
        timeout_s: float = 10.0,
        attempts_max: int = 4,
        via: str | None = None,
        waits: bool | None = None,
    ) -> Call:
        """Enter a call into the book, with a place if there is one; it is not sent."""
        self._count += 1
        id_ = self._count.to_bytes(16)
        call = Call(id_, b"echo", payload, b"", self.now + timeout_s, attempts_max, via, waits, 0, self.now)
        self.book.calls[id_] = call
        places = self.book.places.own
        if places.enter(call.service, len(payload)):
            call.stage = Stage.PARKED
        else:
            places.wait(call)
            call.timer = self.waits.timers.add(call, call.deadline)
        return call

    def sent(self) -> list[tuple[str, Envelope]]:
        """Return the requests that were sent, each with its broker, and forget them."""
        sends = self.rig.core.take_sends()
        return [
            (name, decode(each)) for name, messages in sends.items() for each in messages if command_of(each) == REQUEST
        ]

    def clear(self) -> None:
        """Let the links forget the calls, of which the rig's own client does not know."""
        for link in self.rig.core.links.links.values():
            link.calls.clear()
            link.in_flight = 0
