"""A node between brokers of which one lies: honest ones answer a moment later, the liar does what a test tells it."""

from collections import deque
from collections.abc import Callable

from braidmq.messages import Reply
from braidmq.wire.envelope import Envelope
from tests.support.rigs.node_rig import Broker, NodeRig

STEP_S = 0.005
LIAR = "b2"

Lie = Callable[[Broker, Envelope], None]
"""What the liar does with a request, each `again_s` once more."""


class LiarRig:
    """See the module.

    Attributes:
        rig: the node and its brokers.
        asked: how many requests each broker got.
        began: when each call was made.
        addressed_to: the workers that further attempts of unknown calls were for.
    """

    def __init__(self, rig: NodeRig, lie: Lie, *, answer_s: float = STEP_S, again_s: float = 0.3) -> None:
        self.rig = rig
        self.asked = dict.fromkeys(rig.brokers, 0)
        self.addressed_to: list[bytes] = []
        self.began: dict[bytes, float] = {}
        self._lie = lie
        self._answer_s = answer_s
        self._again_s = again_s
        self._honest: deque[tuple[float, Broker, Envelope]] = deque()
        self._lied: deque[tuple[float, Broker, Envelope]] = deque()

    @property
    def failed(self) -> list[object]:
        """The ends of calls that are no replies, or have none yet."""
        ends = [self.rig.results.get(id_) for id_ in self.began]
        return [end for end in ends if not isinstance(end, Reply) or end.payload != end.original_id]

    def run(self, seconds: float, *, every: int = 2, **options: object) -> None:
        """Call once in so many steps, for a time."""
        for step in range(int(seconds / STEP_S)):
            if step % every == 0:
                self.began[self.rig.call(**options)] = self.rig.now  # type: ignore[arg-type]
            self.step()

    def run_until_ejected(self, level: int = 1) -> None:
        """Call until the liar was so often found to be one."""
        health = self.rig[LIAR].link.health
        for _ in range(100):
            if health.level >= level:
                return
            self.run(0.5)
        raise AssertionError("it was not found")

    def rest(self, seconds: float) -> None:
        """Let the calls end."""
        for _ in range(int(seconds / STEP_S)):
            self.step()

    def step(self) -> None:
        """Let the brokers do what is due."""
        rig = self.rig
        for broker, request in rig.sent():
            if request.retry_count:
                self.addressed_to.append(request.receiver)
            self.asked[broker.name] += 1
            if broker.name != LIAR:
                self._honest.append((rig.now + self._answer_s, broker, request))
            else:
                self._tell(broker, request)
        while self._honest and self._honest[0][0] <= rig.now:
            _, broker, request = self._honest.popleft()
            broker.reply(request, request.id)
        while self._lied and self._lied[0][0] <= rig.now:
            self._tell(*self._lied.popleft()[1:])
        rig.advance(STEP_S)

    def _tell(self, broker: Broker, request: Envelope) -> None:
        self._lie(broker, request)
        if request.id not in self.rig.results:
            self._lied.append((self.rig.now + self._again_s, broker, request))
