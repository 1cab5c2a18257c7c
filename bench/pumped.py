"""A net without sockets: the production cores and turns over a carrier in memory, in one thread."""

import random
from collections import deque
from itertools import cycle
from time import perf_counter
from typing import Final

from braidmq.core.broker.broker import BrokerCore
from braidmq.core.events.event import Event
from braidmq.core.ids import SECRET_BYTES
from braidmq.core.membership.peering import PeeringCore
from braidmq.core.node.node import NodeCore
from braidmq.core.worker.job import Job
from braidmq.core.worker.local_services import CONCURRENCY_MAX
from braidmq.errors import BraidError
from braidmq.lab.memory import MemoryDialer, MemoryHost, MemoryListener
from braidmq.lab.simulation.registry import address_of, verify
from braidmq.members import Member, Role, Standing
from braidmq.messages import Reply
from braidmq.settings import Settings
from braidmq.turn.broker import BrokerTurn
from braidmq.turn.node import NodeTurn

SETTINGS: Final = Settings(in_flight_max=20_000, queue_messages_max=20_000, dedup_entries_max=1_000)
"""The defaults, but with room for the largest load; and what a worker remembers soon has its final size."""

_TURN_S: Final = 1e-6
"""Virtual time between two exchanges: so short that what is measured are exchanges, and hardly any timers."""

_SOFTWARE: Final = "bench"


class Cost:
    """CPU time in seconds that the turns of each kind of process have taken."""

    def __init__(self) -> None:
        self.client_s = 0.0
        self.broker_s = 0.0
        self.worker_s = 0.0


class _Process(MemoryHost):
    """Who has turns; `ready` holds those that need one."""

    def __init__(self, name: str, ready: "dict[_Process, None]") -> None:
        super().__init__()
        self.name = name
        self._ready = ready

    def wake(self) -> None:
        """Ask for a turn."""
        self._ready[self] = None

    def take_turn(self, now: float, cost: Cost) -> None:
        """Read what has come, do what follows, and count what that costs."""
        raise NotImplementedError

    def tell(self, event: Event) -> None:
        """Write no log."""


class _Node(_Process):
    """A node that calls, or one that serves: its jobs wait in `jobs` until they are ended by `finish`."""

    def __init__(
        self,
        name: str,
        ready: dict[_Process, None],
        listeners: dict[str, MemoryListener],
        jobs: "deque[tuple[_Node, Job]]",
        now: float,
    ) -> None:
        super().__init__(name, ready)
        self.answered = 0
        self._jobs = jobs
        self._new: list[Job] = []
        self.core = NodeCore(
            Member(name, Role.NODE, calls=("*",)),
            SETTINGS,
            random.Random(name),
            verify,
            secret=name.encode().ljust(SECRET_BYTES),
            software=_SOFTWARE,
            now=now,
        )
        self.turn = NodeTurn(self.core, MemoryDialer(listeners, name, self.wake), self)

    def call(self, service: str, payload: bytes, now: float, cost: Cost) -> None:
        """Begin a call."""
        began = perf_counter()
        self.core.request(service, payload, now)
        cost.client_s += perf_counter() - began
        self.wake()

    def finish(self, job: Job, now: float, cost: Cost) -> None:
        """End a job: its result is its payload."""
        began = perf_counter()
        self.core.finish(job, job.request.payload, now)
        cost.worker_s += perf_counter() - began
        self.wake()

    def take_turn(self, now: float, cost: Cost) -> None:
        """See _Process; jobs that have come begin after the turn."""
        began = perf_counter()
        self.turn.read(now)
        self.turn.run(now)
        for job in self._new:
            if self.turn.begin(job, now):
                self._jobs.append((self, job))
        self._new.clear()
        if self.core.worker.offers:
            cost.worker_s += perf_counter() - began
        else:
            cost.client_s += perf_counter() - began

    # -- for the turn (see NodeHost)

    def run_job(self, job: Job) -> None:
        """Let a job begin after the turn."""
        self._new.append(job)

    def stop_job(self, job: Job) -> None:
        """Do nothing: here nobody gives up a call."""

    def complete(self, id_: bytes, outcome: Reply | BraidError) -> None:
        """Count the replies."""
        del id_
        self.answered += isinstance(outcome, Reply)


class _Broker(_Process):
    """A broker that every node is connected to."""

    def __init__(
        self,
        name: str,
        ready: dict[_Process, None],
        listeners: dict[str, MemoryListener],
        members: dict[str, Member],
        now: float,
    ) -> None:
        super().__init__(name, ready)
        self._members = members
        address = address_of(name)
        peering = PeeringCore(address, SETTINGS, random.Random(name), verify, software=_SOFTWARE, now=now)
        core = BrokerCore(SETTINGS, self, peering, software=_SOFTWARE, now=now)
        listener = listeners[address.endpoints[0]] = MemoryListener(self.wake)
        self._turn = BrokerTurn(core, listener, MemoryDialer({}, name, self.wake), self)

    def take_turn(self, now: float, cost: Cost) -> None:
        """See _Process."""
        began = perf_counter()
        self._turn.run(now)
        cost.broker_s += perf_counter() - began

    def member(self, principal: str) -> Member | None:
        """Return the member with this key (see Directory): here keys are names."""
        return self._members.get(principal)

    def standing(self, principal: str) -> Standing:
        """Return whether a key is a member's."""
        return Standing.MEMBER if self.member(principal) is not None else Standing.UNKNOWN


class Pumped:
    """Nodes that call, nodes that serve, and brokers. Every node is connected to every broker.

    Args:
        clients: nodes that call.
        workers: nodes that serve, all of them all services.
        services: how many there are.
        brokers: how many there are.
        payload_bytes: the size of each request and reply.
    """

    def __init__(
        self, *, clients: int = 1, workers: int = 1, services: int = 1, brokers: int = 1, payload_bytes: int = 4096
    ) -> None:
        self.cost = Cost()
        self._now = 1_000.0
        self._payload = bytes(payload_bytes)
        self._ready: dict[_Process, None] = {}
        self._jobs: deque[tuple[_Node, Job]] = deque()
        names = [f"s{number}" for number in range(services)]
        members: dict[str, Member] = {}
        listeners: dict[str, MemoryListener] = {}
        self._brokers = [_Broker(f"b{number}", self._ready, listeners, members, self._now) for number in range(brokers)]
        self._workers = [self._node(f"w{number}", listeners) for number in range(workers)]
        self._clients = [self._node(f"c{number}", listeners) for number in range(clients)]
        members.update({each.name: Member(each.name, Role.NODE, calls=("*",)) for each in self._clients})
        members.update({each.name: Member(each.name, Role.NODE, serves=tuple(names)) for each in self._workers})
        for worker in self._workers:
            for name in names:
                worker.core.offer(name, CONCURRENCY_MAX // services)
        self._callers = cycle(self._clients)
        self._called = cycle(names)
        self._connect()

    def exchange(self, count: int, *, batch: int = 1, under_way: int = 0) -> None:
        """Make `count` calls, `batch` at a time, each by the next client and of the next service.

        Args:
            count: how many; a multiple of `batch`.
            batch: how many begin at a time.
            under_way: how many calls are begun before, and stay without an answer: each time the oldest are answered.
        """
        while len(self._jobs) < under_way:
            self._call(min(batch, under_way - len(self._jobs)), under_way)
        before = self._answered
        for _ in range(count // batch):
            self._call(batch, under_way)
        answered = self._answered - before
        assert answered == count, f"{answered} of {count} calls were answered"

    @property
    def _answered(self) -> int:
        return sum(each.answered for each in self._clients)

    def _call(self, batch: int, under_way: int) -> None:
        self._now += _TURN_S
        for _ in range(batch):
            next(self._callers).call(next(self._called), self._payload, self._now, self.cost)
        self._settle()
        while len(self._jobs) > under_way:
            for _ in range(len(self._jobs) - under_way):
                worker, job = self._jobs.popleft()
                worker.finish(job, self._now, self.cost)
            self._settle()

    def _settle(self) -> None:
        """Give turns to those that need one, until nobody does."""
        ready = self._ready
        while ready:
            process = next(iter(ready))
            del ready[process]
            process.take_turn(self._now, self.cost)

    def _connect(self) -> None:
        for node in (*self._workers, *self._clients):
            for broker in self._brokers:
                node.core.learn(address_of(broker.name), self._now)
            node.wake()
        for _ in range(3):  # it takes a beat until everybody knows of all services
            self._settle()
            self._now += SETTINGS.heartbeat_s / 10
            for broker in self._brokers:
                broker.wake()
        self._settle()

    def _node(self, name: str, listeners: dict[str, MemoryListener]) -> _Node:
        return _Node(name, self._ready, listeners, self._jobs, self._now)
