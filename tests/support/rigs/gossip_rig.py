"""A net of membership cores in virtual time: delays, loss, partitions, pauses, crashes, restarts; all from one seed.

`python -m tests.support.rigs.gossip_rig` prints how fast nets of several sizes agree, and what that costs.
"""

import gc
import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from braidmq.core.membership.membership import MembershipCore
from braidmq.settings import Settings
from braidmq.wire.gossip import Gossiped, Rumor, Sync

Delay = Callable[[random.Random], float]
"""Draws how long one message travels."""

VALIDATED_EACH_STEP_MAX = 16
"""Nets of at most this many brokers validate a broker after each of its inputs; larger ones only at the end."""


def lan_delay(rng: random.Random) -> float:
    return 0.001 + 0.004 * rng.random()


def wan_delay(rng: random.Random) -> float:
    """200 ± 50 ms: messages overtake one another."""
    return 0.15 + 0.1 * rng.random()


def certificate_of(name: str) -> bytes:
    return b"certificate of " + name.encode()


class Broker:
    """One broker of the net.

    Attributes:
        core: of its present life.
        up: whether its process exists.
        paused: its process exists, but does not run; what arrives waits in `kept`.
        wake_at: the time of the timer event that is valid for it.
    """

    __slots__ = ("core", "kept", "life", "name", "paused", "sent", "up", "wake_at")

    def __init__(self, name: str, core: MembershipCore) -> None:
        self.name = name
        self.core = core
        self.life = 0
        self.up = True
        self.paused = False
        self.kept: list[Callable[[], None]] = []
        self.sent: Counter[str] = Counter()
        self.wake_at = float("inf")


class GossipNet:
    """See the module.

    Args:
        names: the brokers at the start, or how many. They are strangers to one another: see `meet`, `join`.
        loss: the share of messages that vanish.
    """

    def __init__(
        self,
        names: int | Iterable[str],
        settings: Settings | None = None,
        *,
        seed: int = 1,
        delay: Delay = lan_delay,
        loss: float = 0.0,
    ) -> None:
        self.settings = settings or Settings()
        self.rng = random.Random(seed)
        self.now = 1_000.0
        self.delay = delay
        self.loss = loss
        self.valid: dict[str, bytes] = {}
        self.brokers: dict[str, Broker] = {}
        self.events: list[tuple[float, str]] = []
        self._cut: set[tuple[str, str]] = set()
        self._heap: list[tuple[float, int, Broker, str, int, Gossiped | None]] = []
        self._sequence = 0
        for name in [f"b{number}" for number in range(names)] if isinstance(names, int) else names:
            self.add(name)

    def __getitem__(self, name: str) -> MembershipCore:
        return self.brokers[name].core

    @property
    def up(self) -> list[Broker]:
        return [broker for broker in self.brokers.values() if broker.up]

    @property
    def sent(self) -> int:
        """How many messages all brokers have sent."""
        return sum(broker.sent.total() for broker in self.brokers.values())

    @property
    def deaths(self) -> int:
        """How many verdicts of death were taken or taken over."""
        return sum(broker.core.counters["deaths"] for broker in self.brokers.values())

    # -- what happens to brokers

    def add(self, name: str) -> MembershipCore:
        """Start a broker that knows nobody."""
        self.valid[name] = certificate_of(name)
        broker = self.brokers[name] = Broker(name, self._core(name))
        self._flush(broker)
        return broker.core

    def meet(self) -> None:
        """Let every broker know all of them, as if they had been together for long: no news is on its way."""
        rows = [Rumor(broker.name, broker.core.incarnation, "alive") for broker in self.up]
        collects = gc.isenabled()
        gc.disable()  # a million new records, none of them garbage
        for broker in self.up:
            core = broker.core
            core.on_message(broker.name, Sync([row for row in rows if row.name != broker.name]), self.now)
            for row in rows:
                core._telling.rumors.drop(row.name)
            core.take_events()
            self._flush(broker)
        if collects:
            gc.enable()

    def join(self, name: str, via: str) -> None:
        """Start a broker that connects to one other."""
        self.add(name)
        self.connect(name, via)

    def connect(self, *names: str) -> None:
        """Tell brokers that they are connected to one another."""
        for name in names:
            for other in names:
                if name != other:
                    self.do(name, lambda core, other=other: core.on_up(other, self.now))

    def disconnect(self, name: str, other: str) -> None:
        """Tell a broker that its connection to another one is lost."""
        self.do(name, lambda core: core.on_down(other, self.now))

    def crash(self, name: str, *, noticed: bool) -> None:
        """End a broker; if that is `noticed`, the others lose their connections to it at once, else it is silent."""
        broker = self.brokers[name]
        broker.up = broker.paused = False
        broker.kept = []
        broker.life += 1
        if noticed:
            for other in self.up:
                if name in other.core.members:
                    self.disconnect(other.name, name)

    def restart(self, name: str, *via: str) -> None:
        """Start a broker anew with incarnation 0, connected to `via`."""
        broker = self.brokers[name]
        broker.up = True
        broker.life += 1
        broker.wake_at = float("inf")
        broker.core = self._core(name)
        self._flush(broker)
        for other in via:
            self.connect(name, other)

    def pause(self, name: str) -> None:
        """Stop a process, as SIGSTOP does."""
        self.brokers[name].paused = True

    def resume(self, name: str) -> None:
        """Let it run again: first what has arrived, then one late timer."""
        broker = self.brokers[name]
        broker.paused = False
        kept, broker.kept = broker.kept, []
        for take_in in kept:
            take_in()
        if broker.core.next_deadline() <= self.now:
            broker.core.on_timer(self.now)
        self._flush(broker)

    def cut(self, sources: Iterable[str], targets: Iterable[str], *, both: bool = True) -> None:
        """Drop what travels from `sources` to `targets`, and back if `both`."""
        targets = list(targets)
        for source in sources:
            for target in targets:
                if source == target:
                    continue
                self._cut.add((source, target))
                if both:
                    self._cut.add((target, source))

    def heal(self) -> None:
        """Let everything through again; who was cut off finds new connections."""
        cut, self._cut = self._cut, set()
        for source, target in sorted(cut):
            if self.brokers[source].up and self.brokers[target].up:
                self.do(source, lambda core, target=target: core.on_up(target, self.now))

    def do(self, name: str, action: Callable[[MembershipCore], None]) -> None:
        """Apply an input or a command to a broker now."""
        broker = self.brokers[name]
        if not broker.up:
            return
        if broker.paused:
            broker.kept.append(lambda: action(broker.core))
        else:
            action(broker.core)
            self._flush(broker)

    # -- time

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            self._step()
        self.now = end

    def run_until(self, holds: Callable[[MembershipCore], bool], seconds: float) -> float:
        """Let time pass until something holds of every broker that is up at once; return how long that took.

        Raises:
            AssertionError: it does not happen within `seconds`.
        """
        start, end = self.now, self.now + seconds
        missing = {broker.name for broker in self.up if not holds(broker.core)}
        while missing:
            assert self._heap, "nothing happens any more"
            assert self._heap[0][0] <= end, f"not within {seconds} s at {', '.join(sorted(missing)[:5])}"
            broker = self._step()
            if broker is not None and broker.up:
                if holds(broker.core):
                    missing.discard(broker.name)
                else:
                    missing.add(broker.name)
        return self.now - start

    def certificate(self, name: str) -> bytes | None:
        return self.valid.get(name)

    def admit(self, name: str, certificate: bytes, now: float) -> bool:
        return name in self.valid

    def validate(self) -> None:
        """Assert what must hold of each broker."""
        for broker in self.up:
            broker.core.validate_state()

    # -- inner

    def _core(self, name: str) -> MembershipCore:
        rng = random.Random(self.rng.getrandbits(64))
        return MembershipCore(name, self.valid[name], self.settings, rng, self, now=self.now)

    def _step(self) -> Broker | None:
        """Let the next event happen; return the broker that took it in, if one did."""
        self.now, _, broker, sender, life, message = heapq.heappop(self._heap)
        now = self.now
        if life != broker.life:
            return None
        if message is not None:
            if broker.paused:
                broker.kept.append(lambda: broker.core.on_message(sender, message, now=self.now))
                return None
            broker.core.on_message(sender, message, now)
        elif now != broker.wake_at:
            return None
        else:
            broker.wake_at = float("inf")
            if broker.paused:
                return None
            if broker.core.next_deadline() <= now:
                broker.core.on_timer(now)
        self._flush(broker)
        return broker

    def _flush(self, broker: Broker) -> None:
        """Send what a broker has to send, and see to it that its timer runs."""
        core, now, rng = broker.core, self.now, self.rng
        for name, messages in core.take_sends().items():
            target = self.brokers.get(name)
            for message in messages:
                broker.sent[type(message).__name__] += 1
                if target is None or not target.up or (self.loss and rng.random() < self.loss):
                    continue
                if self._cut and (broker.name, name) in self._cut:
                    continue
                self._push(now + self.delay(rng), target, broker.name, message)
        deadline = max(now, core.next_deadline())
        if deadline < broker.wake_at:
            broker.wake_at = deadline
            self._push(deadline, broker, "", None)
        if len(self.brokers) <= VALIDATED_EACH_STEP_MAX:
            core.validate_state()

    def _push(self, when: float, broker: Broker, sender: str, message: Gossiped | None) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, broker, sender, broker.life, message))


def lists(name: str, *states: str) -> Callable[[MembershipCore], bool]:
    """Return whether a broker holds `name` in one of these states; about itself nobody is asked."""

    def holds(core: MembershipCore) -> bool:
        if core.name == name:
            return True
        member = core.members.get(name)
        return member is not None and member.state in states

    return holds


@dataclass
class Figures:
    """What one net needed.

    Attributes:
        idle: messages per broker per second while nothing happens.
        join_s: until everyone lists a broker that joined through one.
        join_rounds: the same, in gossip intervals.
        join_messages: per broker per second, from the join until 2 s after all know.
        kill_s: until everyone lists a broker dead whose connections were lost.
        hang_s: the same for one that is only silent.
        hang_messages: per broker per second, from the hang until then.
    """

    brokers: int
    idle: float
    join_s: float
    join_rounds: float
    join_messages: float
    kill_s: float
    hang_s: float
    hang_messages: float


def measure(brokers: int, settings: Settings | None = None, *, seed: int = 1) -> Figures:
    """Return how a net fares: its last broker joins, one is killed and starts anew, and one hangs, in turn."""
    settings = settings or Settings()
    net = GossipNet(brokers - 1, settings, seed=seed)
    net.meet()

    def sent_while(action: Callable[[], float]) -> tuple[float, float]:
        sent, start = net.sent, net.now
        took = action()
        return took, (net.sent - sent) / len(net.up) / (net.now - start)

    def idle() -> float:
        net.run(5.0)
        return 5.0

    def join() -> float:
        net.join("new", "b0")
        took = net.run_until(lists("new", "alive"), 60.0)
        net.run(2.0)
        return took

    def crash(name: str, *, noticed: bool) -> float:
        net.crash(name, noticed=noticed)
        return net.run_until(lists(name, "dead"), 300.0)

    def restart(name: str) -> None:
        net.restart(name, "b0")
        net.run_until(lists(name, "alive"), 60.0)
        net.run(5.0)

    _, idle_messages = sent_while(idle)
    join_s, join_messages = sent_while(join)
    kill_s, _ = sent_while(lambda: crash("b1", noticed=True))
    restart("b1")
    hang_s, hang_messages = sent_while(lambda: crash("new", noticed=False))
    assert net.deaths == 2 * (brokers - 1), "each of them dies once for each of the others, and nobody else does"
    net.validate()
    rounds = join_s / settings.gossip_s
    return Figures(brokers, idle_messages, join_s, rounds, join_messages, kill_s, hang_s, hang_messages)


def table(figures: Iterable[Figures]) -> str:
    """Return figures as a table."""
    lines = [
        "brokers | join: rounds / s | messages per broker per s: idle / join / hang | dead: killed / hung, s",
        *(
            f"{each.brokers:7} | {each.join_rounds:5.1f} / {each.join_s:6.3f}  |"
            f" {each.idle:23.1f} / {each.join_messages:5.1f} / {each.hang_messages:5.1f}      |"
            f" {each.kill_s:11.1f} / {each.hang_s:5.1f}"
            for each in figures
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(measure(brokers) for brokers in (3, 16, 100, 1_000)))  # noqa: T201 - a script
