"""A registered worker in an attacker's hands: it provides what others provide, too, and does anything but the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from braidmq.errors import ServiceError
from braidmq.lab.simulation import hostile_words as words
from braidmq.lab.simulation.dealers import Dealers
from braidmq.lab.simulation.hostile_node import Habit, HostileNode
from braidmq.lab.simulation.payload import answer_to, key_of
from braidmq.lab.simulation.record import Execution
from braidmq.wire import control
from braidmq.wire.envelope import (
    LOST,
    REJECT,
    REPLY,
    REQUEST,
    UINT32,
    WORKING,
    Envelope,
    Flag,
    Outcome,
    Progress,
    command_of,
    decode,
    encode,
)

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net

CHURN: Final = 50
"""Services that it offers in one frame."""

DAWDLES_S: Final = 3.0
"""How long it says of one request that it is at it."""

TWICE_S: Final = 0.3
"""How long after an answer it sends it again, at most."""

MANNERS: Final = ("refuse", "refuse", "refuse-all-alike", "lose", "fail", "dawdle", "hush", "repeat")
"""What it does with requests for services that others provide as well; one of these in each seed."""


class HostileWorker(HostileNode):
    """Treats the requests that it gets in one manner, and makes its habits of what a worker may say besides.

    See HostileNode for when they are called.

    Attributes:
        manner: what it does with the requests that it gets.
    """

    NAME: Final = "xw"

    def __init__(self, net: Net) -> None:
        super().__init__(net, self.NAME, connections=net.plan.hostile_connections)
        self.manner = self.rng.choice(MANNERS)
        self._code = self.rng.choice(words.CODES)
        self._tags: dict[tuple[Dealers, str], list[Envelope]] = {}
        self._ran: set[tuple[bytes, bytes, bytes]] = set()
        self._offered = 0

    def __str__(self) -> str:
        return f"{super().__str__()}; {self.manner} {self._code}"

    def habits(self) -> Sequence[Habit]:
        """Return all that it may do besides.

        What it refuses must not wait behind a flood of its own: then it would be silent, which is another manner.
        """
        floods = () if self.manner.startswith("refuse") else (self.babble,)
        return (*floods, self.idle, self.blurt, self.reconnect, self.churn, self.forge, self.mutter, self.withdraw)

    def greet(self, hand: Dealers, broker: str) -> None:
        """Offer everything, with all the credit that there is."""
        self._tags.pop((hand, broker), None)
        self._offer(hand, broker, UINT32)

    def read(self, hand: Dealers, broker: str, message: bytes) -> None:
        """Handle a request."""
        if command_of(message) != REQUEST:
            return
        request = decode(message)
        self._tags.setdefault((hand, broker), []).append(request)
        came_at = self.world.now
        if self.manner == "refuse":
            self._answer(hand, broker, request, REJECT, code=self.rng.choice(words.CODES))
        elif self.manner == "refuse-all-alike":
            self._answer(hand, broker, request, REJECT, code=self._code)
        elif self.manner == "lose":
            self._answer(hand, broker, request, LOST)
        elif self.manner == "fail":
            self._note(request, came_at)
            failure = control.encode_failure(ServiceError("REFUSED", "\x1b[31mno\n"), 1_000)
            self._answer(hand, broker, request, REPLY, code=int(Outcome.ERROR), payload=failure)
        elif self.manner == "dawdle":
            self._dawdle(hand, broker, request, came_at + DAWDLES_S)
        elif self.manner == "repeat":
            self._note(request, came_at)
            answer = answer_to(request.payload)
            self._answer(hand, broker, request, REPLY, payload=answer)
            self._answer(hand, broker, request, REPLY, payload=answer)
            again_s = self.rng.uniform(0.0, TWICE_S)
            self.later(again_s, lambda: self._answer(hand, broker, request, REPLY, payload=b"re:nothing"))

    def _dawdle(self, hand: Dealers, broker: str, request: Envelope, until: float) -> None:
        """Say that it is at it, for longer than anybody waits."""
        if self.world.now < until:
            self._answer(hand, broker, request, WORKING, code=int(Progress.RUNNING))
            self.later(0.1, lambda: self._dawdle(hand, broker, request, until))

    def _answer(
        self, hand: Dealers, broker: str, request: Envelope, command: int, *, code: int = 0, payload: bytes = b""
    ) -> None:
        answer = Envelope(
            command, request.id, request.flags, request.retry_count, tag=request.tag, code=code, payload=payload
        )
        hand.send(broker, [encode(answer)])

    def _note(self, request: Envelope, came_at: float) -> None:
        """Let the record have what it may count as run: it answers, and nobody can know more."""
        asked = (request.sender, request.id, request.payload)  # ids are no secret to an intruder
        if asked not in self._ran:
            self._ran.add(asked)
            self.world.record.executions.append(
                Execution(
                    key_of(request.payload),
                    self.name,
                    request.id,
                    came_at,
                    bool(request.flags & Flag.POSSIBLE_DUPLICATE),
                    request.retry_count,
                    self.life,
                    request.sender.decode("ascii", "replace"),
                    ended=came_at,
                )
            )

    def _offer(self, hand: Dealers, broker: str, credit: int) -> None:
        hand.send(broker, [words.said(*(control.Ready(service, credit) for service in self.net.plan.services))])

    # -- habits

    def idle(self, hand: Dealers, broker: str) -> None:
        """Do nothing but what it does with requests."""

    def churn(self, hand: Dealers, broker: str) -> None:
        """Offer services that nobody asks for, and take them back."""
        self._offered += CHURN
        names = [f"own/{self._offered + number}" for number in range(CHURN)]
        readies = [control.Ready(name, self.rng.choice((0, 1, UINT32))) for name in names]
        hand.send(broker, [words.said(*readies, *(control.Ready(name, 0) for name in names))])

    def forge(self, hand: Dealers, broker: str) -> None:
        """Answer requests that it never got: with any tag, and with ids of others."""
        seen = [each for requests in self._tags.values() for each in requests[-20:]]
        answers = []
        for _ in range(20):
            id_, tag = self.rng.randbytes(16), self.rng.randrange(200)
            if seen and self.rng.random() < 0.5:
                id_, tag = self.rng.choice(seen).id, UINT32 - tag  # it is its own to answer under its own tag alone
            answers.append(encode(Envelope(self.rng.choice((REPLY, LOST, REJECT)), id_, tag=tag, payload=b"forged")))
        hand.send(broker, answers)

    def mutter(self, hand: Dealers, broker: str) -> None:
        """Say of the last request again and again that it is at it."""
        requests = self._tags.get((hand, broker))
        if requests and self.manner == "hush":
            hand.send(broker, [encode(Envelope(WORKING, requests[-1].id, tag=requests[-1].tag)) * words.TINY])

    def withdraw(self, hand: Dealers, broker: str) -> None:
        """Take its credit back, and grant it anew."""
        self._offer(hand, broker, self.rng.choice((0, 0, 1, UINT32)))
