"""A net without sockets: the production cores, and messages carried from one to the next in memory."""

import random
from collections import deque
from collections.abc import Mapping
from itertools import cycle
from time import perf_counter
from typing import Final

from braidmq.core.broker.broker import BrokerCore
from braidmq.core.ids import SECRET_BYTES
from braidmq.core.links.link import BrokerAddress
from braidmq.core.membership.peering import PeeringCore
from braidmq.core.node.node import NodeCore
from braidmq.core.worker.job import Job
from braidmq.core.worker.worker import CONCURRENCY_MAX
from braidmq.members import Member, Role
from braidmq.settings import Settings
from braidmq.wire.bundle import join
from braidmq.wire.limits import ROUTE_BYTES

SETTINGS: Final = Settings(in_flight_max=20_000, queue_messages_max=20_000, dedup_entries_max=1_000)
"""The defaults, but with room for the largest load; and what a worker remembers soon has its final size."""

_TURN_S: Final = 0.0005
"""Virtual time between two turns."""

_SOFTWARE: Final = "bench"


class Cost:
    """CPU time in seconds that the cores of each kind have spent."""

    def __init__(self) -> None:
        self.client_s = 0.0
        self.broker_s = 0.0
        self.worker_s = 0.0


class Pumped:
    """Nodes that call, nodes that serve, and brokers. Everybody is connected to every broker.

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
        self._answered = 0
        self._now = 1_000.0
        self._payload = bytes(payload_bytes)
        self._services = [f"s{number}" for number in range(services)]
        self._addresses = {name: _address(name) for name in (f"b{number}" for number in range(brokers))}
        self._clients = {f"c{number}": self._node(f"c{number}") for number in range(clients)}
        self._workers = {f"w{number}": self._node(f"w{number}") for number in range(workers)}
        self._members = {
            **{name: Member(name, Role.NODE, calls=("*",)) for name in self._clients},
            **{name: Member(name, Role.NODE, serves=tuple(self._services)) for name in self._workers},
        }
        self._brokers = {name: self._broker(address) for name, address in self._addresses.items()}
        self._jobs: deque[tuple[NodeCore, Job]] = deque()
        self._callers = cycle(self._clients.items())
        self._called = cycle(self._services)
        self._connect()

    def exchange(self, count: int, *, batch: int = 1, under_way: int = 0) -> None:
        """Make `count` calls, in turns of `batch`, each by the next client and of the next service.

        Args:
            count: how many; a multiple of `batch`.
            batch: how many begin in each turn.
            under_way: how many calls are begun before, and stay without an answer: each turn answers the oldest.
        """
        while len(self._jobs) < under_way:
            self._turn(min(batch, under_way - len(self._jobs)), under_way)
        before = self._answered
        for _ in range(count // batch):
            self._turn(batch, under_way)
        assert self._answered - before == count, f"{self._answered - before} of {count} calls were answered"

    def _turn(self, batch: int, under_way: int) -> None:
        self._now += _TURN_S
        callers = [next(self._callers) for _ in range(batch)]
        services = [next(self._called) for _ in range(batch)]
        began = perf_counter()
        for (_, caller), service in zip(callers, services, strict=True):
            caller.client.request(service, self._payload, now=self._now)
        self.cost.client_s += perf_counter() - began
        self._pump(dict(callers), under_way)

    def _pump(self, callers: Mapping[str, NodeCore], under_way: int) -> None:
        """Carry messages until there are none, and end the jobs beyond the first `under_way`."""
        busy = True
        while busy:
            busy = False
            for name, caller in callers.items():
                began = perf_counter()
                frames = _frames(caller)
                self.cost.client_s += perf_counter() - began
                busy |= self._to_brokers(name, frames)
            for name, worker in self._workers.items():
                began = perf_counter()
                frames = _frames(worker)
                self.cost.worker_s += perf_counter() - began
                busy |= self._to_brokers(name, frames)
            busy |= self._to_nodes()
            busy |= self._work(under_way)
        for caller in callers.values():
            began = perf_counter()
            results = caller.client.take_results()
            self.cost.client_s += perf_counter() - began
            self._answered += len(results)

    def _to_brokers(self, name: str, frames: dict[str, list[bytes]]) -> bool:
        for broker, each in frames.items():
            began = perf_counter()
            for frame in each:
                self._brokers[broker].on_frame(name.ljust(ROUTE_BYTES).encode(), name, frame, self._now)
            self.cost.broker_s += perf_counter() - began
        return bool(frames)

    def _to_nodes(self) -> bool:
        found = False
        for name, broker in self._brokers.items():
            began = perf_counter()
            frames = [(route, each) for route, sends in broker.take_sends().items() for each, _ in join(sends)]
            self.cost.broker_s += perf_counter() - began
            for route, frame in frames:
                found = True
                name_of = route.decode().rstrip()
                node = self._clients.get(name_of)
                began = perf_counter()
                if node is not None:
                    node.on_frame(name, frame, self._now)
                    self.cost.client_s += perf_counter() - began
                else:
                    self._workers[name_of].on_frame(name, frame, self._now)
                    self.cost.worker_s += perf_counter() - began
        return found

    def _work(self, under_way: int) -> bool:
        found = False
        for node in self._workers.values():
            began = perf_counter()
            for job in node.worker.take_jobs():
                node.worker.begin(job, self._now)
                self._jobs.append((node, job))
            self.cost.worker_s += perf_counter() - began
        while len(self._jobs) > under_way:
            node, job = self._jobs.popleft()
            began = perf_counter()
            node.worker.on_done(job, job.request.payload, self._now)
            self.cost.worker_s += perf_counter() - began
            found = True
        return found

    def _connect(self) -> None:
        for node in (*self._workers.values(), *self._clients.values()):
            for address in self._addresses.values():
                node.learn(address, self._now)
            node.on_timer(self._now)
            node.take_actions()
            for name, address in self._addresses.items():
                node.on_resolved(name, list(address.endpoints), self._now)
            node.take_actions()
            for name in self._addresses:
                node.on_connected(name, self._now)
        for _ in range(3):  # it takes a beat until everybody knows of all services
            self._pump(self._clients, 0)
            self._now += SETTINGS.heartbeat_s / 10
            for broker in self._brokers.values():
                broker.on_timer(self._now)
        self._pump(self._clients, 0)

    def _node(self, name: str) -> NodeCore:
        core = NodeCore(
            Member(name, Role.NODE, calls=("*",)),
            SETTINGS,
            random.Random(name),
            self._verify,
            secret=name.encode().ljust(SECRET_BYTES),
            software=_SOFTWARE,
            now=self._now,
        )
        if name.startswith("w"):
            for service in self._services:
                core.worker.offer(service, CONCURRENCY_MAX // len(self._services))
        return core

    def _broker(self, address: BrokerAddress) -> BrokerCore:
        rng = random.Random(address.name)
        peering = PeeringCore(address, SETTINGS, rng, self._verify, software=_SOFTWARE, now=self._now)
        return BrokerCore(SETTINGS, self, peering, software=_SOFTWARE, now=self._now)

    def _verify(self, certificate: bytes) -> BrokerAddress:
        return self._addresses[certificate.decode()]

    def member(self, principal: str) -> Member | None:
        """Return the member with this key, for the brokers: here keys are names."""
        return self._members.get(principal)


def _frames(node: NodeCore) -> dict[str, list[bytes]]:
    return {broker: [frame for frame, _ in join(sends)] for broker, sends in node.take_sends().items()}


def _address(name: str) -> BrokerAddress:
    return BrokerAddress(name, (f"tcp://{name}:1",), name.encode().ljust(32), name.encode(), 1)
