"""The net of a story: production cores and turns over a carrier in memory, in virtual time.

A message takes no time. Whoever has something to read, or something due, has a turn, in the order in which that came
about; so a story always goes the same way.
"""

import random
from collections.abc import Callable
from typing import Any

from braidmq.core.broker.broker import BrokerCore
from braidmq.core.events.event import INFO
from braidmq.core.ids import SECRET_BYTES
from braidmq.core.membership.peering import PeeringCore
from braidmq.core.node.node import NodeCore
from braidmq.errors import BraidError, ServiceError
from braidmq.lab.memory import MemoryDialer, MemoryHost, MemoryListener
from braidmq.lab.simulation.registry import address_of, principal_of, verify
from braidmq.members import Member, Role
from braidmq.settings import Settings
from braidmq.turn.broker import BrokerTurn
from braidmq.turn.node import NodeTurn
from tests.stories.words import Words

START_S = 1_000.0
"""What the clock of every process shows as a story begins."""

LATE_S = 1e-6
"""How late a timer fires, so that no rounding makes it fire early."""

TURNS_MAX = 1_000
"""Turns that may follow from one another at one moment; more never end."""

SOFTWARE = "story"


class ToldDialer(MemoryDialer):
    """A dialer whose messages the story tells."""

    def __init__(self, process):
        super().__init__(process.stage.listeners, principal_of(process.name), process.wake)
        self._process = process

    def send(self, name, messages):
        if name in self._connections:
            self._process.stage.tell_messages(self._process.name, name, messages)
        return super().send(name, messages)


class ToldListener(MemoryListener):
    """A listener whose messages the story tells."""

    def __init__(self, process):
        super().__init__(process.wake)
        self._process = process

    def send(self, sends):
        for route, messages in sends.items():
            to = self._process.stage.name_of(self.principal(route))
            if to:
                self._process.stage.tell_messages(self._process.name, to, messages)
        return super().send(sends)


class Process(MemoryHost):
    """What brokers and nodes have in common.

    Attributes:
        stopped: whether it was stopped, as by SIGSTOP: it has no turns.
        draining_since: since when it drains, as by SIGTERM; None while it does not.
    """

    core: Any
    turn: Any

    def __init__(self, stage: "Stage", name: str):
        super().__init__()
        self.stage = stage
        self.name = name
        self.stopped = False
        self.draining_since: float | None = None
        self.dialer = ToldDialer(self)

    @property
    def due(self):
        return self.turn.due

    def wake(self):
        self.stage.ready[self] = None

    def tell(self, event):
        if event.level >= INFO:
            self.stage.say(self.name, f"log: {event}")

    def drain(self):
        self.draining_since = self.stage.now
        self.core.drain(self.stage.now)
        self.wake()

    def run(self, now):
        """Have a turn."""
        raise NotImplementedError

    def take_turn(self, now):
        self.run(now)
        self.core.validate_state()
        drained_s = 0.0 if self.draining_since is None else now - self.draining_since
        if self.draining_since is not None and (self.core.idle or drained_s >= self.stage.settings.drain_s):
            self.end(now)
            self.stage.say(self.name, "has ended")

    def end(self, now):
        """End: what was said is heard."""
        self.close()

    def close(self):
        """End at once, as by SIGKILL."""
        self.dialer.close_all()
        self.stage.forget(self)


class Broker(Process):
    """A broker."""

    def __init__(self, stage, name, others):
        super().__init__(stage, name)
        now, settings, rng = stage.now, stage.settings, random.Random(name)
        peering = PeeringCore(address_of(name), settings, rng, verify, software=SOFTWARE, now=now)
        self.core = BrokerCore(settings, stage.registry, peering, software=SOFTWARE, now=now)
        self.listener = stage.listeners[address_of(name).endpoints[0]] = ToldListener(self)
        self.turn = BrokerTurn(self.core, self.listener, self.dialer, self)
        for other in others:
            self.core.learn(address_of(other), now)

    def run(self, now):
        self.turn.run(now)

    def end(self, now):
        self.core.end(now)
        self.turn.settle(now)
        self.close()

    def close(self):
        del self.stage.listeners[address_of(self.name).endpoints[0]]
        self.listener.close()
        super().close()


class Node(Process):
    """A node: a client or a worker. Its handlers run until the story says how they end."""

    def __init__(self, stage, name, brokers, serves=()):
        super().__init__(stage, name)
        member = Member(name, Role.NODE, calls=("*",), serves=tuple(service for service, _ in serves))
        secret = name.encode().ljust(SECRET_BYTES)
        rng = random.Random(name)
        self.core = NodeCore(member, stage.settings, rng, verify, secret=secret, software=SOFTWARE, now=stage.now)
        self.turn = NodeTurn(self.core, self.dialer, self)
        self.jobs = {}
        self._new = []
        for service, places in serves:
            self.core.offer(service, places)
        for broker in brokers:
            self.core.learn(address_of(broker), stage.now)

    def run(self, now):
        self.turn.read(now)
        self.turn.run(now)
        new, self._new = self._new, []
        for job in new:
            self.wake()
            if self.turn.begin(job, now):
                number = self.stage.words.number(job.request.id)
                self.jobs[number] = job
                self.stage.say(self.name, f"begins {number}")

    def call(self, service, payload, **options):
        now = self.stage.now
        try:
            id_ = self.core.request(service, payload, now, **options)
        except BraidError as error:
            self.stage.say(self.name, f"may not call: {self.stage.words.end(error)}")
            return
        self.stage.words.number(id_)
        self.wake()

    def finish(self, number, outcome: bytes | ServiceError | None):
        self.core.finish(self.jobs.pop(number), outcome, self.stage.now)
        self.wake()

    # -- for the turn (see NodeHost)

    def run_job(self, job):
        self._new.append(job)

    def stop_job(self, job):
        number = self.stage.words.number(job.request.id)
        self.stage.say(self.name, f"stops {number}")
        if number in self.jobs:
            self.finish(number, None)
        else:
            self._new.remove(job)
            self.core.finish(job, None, self.stage.now)

    def complete(self, id_, outcome):
        self.stage.say(self.name, f"{self.stage.words.number(id_)} ends: {self.stage.words.end(outcome)}")


class Registered:
    """Who is registered, by key (see Directory)."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}

    def member(self, principal: str) -> Member | None:
        return self._members.get(principal)

    def add(self, member: Member) -> None:
        self._members[principal_of(member.name)] = member


class Stage:
    """See the module.

    Attributes:
        now: the time.
        processes: those that exist, by name.
        ready: those that need a turn.
        lines: what has happened since they were taken last.
    """

    def __init__(self):
        self.now = START_S
        self.settings = Settings()
        self.words = Words()
        self.registry = Registered()
        self.listeners: dict[str, MemoryListener] = {}
        self.processes: dict[str, Process] = {}
        self.ready: dict[Process, None] = {}
        self.lines: list[str] = []
        self._names: dict[str, str] = {}

    def start(self, name: str, role: Role, make: Callable[[], Process], **rights):
        """Register a member, and start its process."""
        assert name not in self.processes, f"{name} exists"
        self.registry.add(Member(name, role, **rights))
        self._names[principal_of(name)] = name
        self.processes[name] = process = make()
        process.wake()

    def forget(self, process):
        """Note that a process has ended."""
        del self.processes[process.name]
        self.ready.pop(process, None)

    def advance(self, seconds):
        """Let time pass."""
        end = self.now + seconds
        while True:
            self.settle()
            due = min((each.due for each in self.processes.values() if not each.stopped), default=end)
            if due + LATE_S > end:
                break
            self.now = max(self.now, due + LATE_S)
            for process in self.processes.values():
                if process.due <= self.now:
                    process.wake()
        self.now = end

    def settle(self):
        """Give turns until nobody needs one now."""
        for _ in range(TURNS_MAX):
            process = next((each for each in self.ready if not each.stopped), None)
            if process is None:
                return
            del self.ready[process]
            process.take_turn(self.now)
        raise AssertionError(f"more than {TURNS_MAX} turns at one moment: {', '.join(self.lines[-5:])}")

    def name_of(self, principal):
        """Return whose key this is."""
        return self._names.get(principal, "")

    def say(self, who, what):
        """Note what has happened."""
        self.lines.append(f"{self.now - START_S:.3f}  {who:<13}  {what}")

    def tell_messages(self, sender, receiver, messages):
        """Note messages that are worth it."""
        for message in messages:
            if line := self.words.message(sender, receiver, message):
                self.say(f"{sender} -> {receiver}", line)

    def take_lines(self):
        """Return what has happened, and forget it."""
        lines, self.lines = self.lines, []
        return lines
