"""What every net under test has, ours and a rival's: clients under an open load, outages, and a record of it all."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import Any, Final, Self

import msgspec

from braidmq.lab.processes.child import BRAIDMQ, Child
from braidmq.lab.simulation.record import End, Outage, Record
from braidmq.settings import Settings
from faults import clients
from faults.journal import Reader

ROOT: Final = Path(__file__).parent.parent

MODULE: Final = BRAIDMQ[:2]
"""What runs a module: `python -m`."""


@dataclass(frozen=True)
class Shape:
    """How large a net is, and how its workers work.

    Attributes:
        client_processes: how many processes hold the clients.
        work_s: how long each request takes at a worker.
        concurrency: how many a worker runs at once.
        block_s: how long a worker's event loop is blocked when it is.
        timeout_s: of each call.
        crowd: nodes that are connected and do nothing.
    """

    brokers: int = 3
    workers: int = 10
    clients: int = 20
    client_processes: int = 2
    payload_bytes: int = 4096
    work_s: float = 0.02
    concurrency: int = 32
    block_s: float = 10.0
    timeout_s: float = 5.0
    crowd: int = 0
    crowd_processes: int = 4


class Driven:
    """The processes of a net, and clients that are told when to call. A context manager: it ends each by its pid.

    Attributes:
        shape: see Shape.
        brokers: the names of the brokers, or of the servers of a rival.
        workers: the names of the workers.
        clients: the names of the clients.
        children: the processes by name.
        outages: what was wrong with whom, and when.
        directory: where it all lies.
        env: what the environment of all processes is changed by.
    """

    callers: str
    """See clients.Plan."""

    def __init__(self, directory: Path, shape: Shape, env: Mapping[str, str]) -> None:
        self.shape = shape
        self.directory = directory
        self.env = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), **env}
        self.brokers = [f"b{number}" for number in range(1, shape.brokers + 1)]
        self.workers = [f"w{number}" for number in range(1, shape.workers + 1)]
        self.clients = [f"c{number}" for number in range(1, shape.clients + 1)]
        self.children: dict[str, Child] = {}
        self.outages: list[Outage] = []
        self.journal = directory / "journal"
        self.journal.mkdir()
        self._reader = Reader(self.journal)
        self._lives: dict[str, int] = {}
        self._started: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._started:
            with suppress(ProcessLookupError):
                child.close()

    def launch(self, name: str, command: Iterable[object], **options: Any) -> Child:
        """Start a process that stays."""
        env = {**self.env, **options.pop("env", {})}
        child = self.children[name] = Child(list(command), env=env, cwd=ROOT, **options)
        self._started.append(child)
        return child

    def new_life(self, name: str) -> int:
        """Return the number of the process that is about to be started for a member."""
        self._lives[name] = self._lives.get(name, 0) + 1
        return self._lives[name]

    def life(self, name: str) -> int:
        """Return the number of the process that was started last for a member."""
        return self._lives[name]

    # -- load

    def start_clients(self, arguments: Mapping[str, str]) -> None:
        """Start the processes of the clients, whose callers get these arguments, and wait until they are ready."""
        count = self.shape.client_processes
        for number in range(count):
            mine = {name: arguments[name] for name in self.clients[number::count]}
            process = f"clients{number + 1}"
            plan = clients.Plan(process, str(self.journal), self.callers, mine, self.shape.payload_bytes)
            self.launch(process, [*MODULE, "faults.clients", msgspec.json.encode(plan).decode()], talks=True)
        for child in self._client_processes:
            child.hear()

    def call(self, rate: float) -> None:
        """Let the clients call at `rate` in all from now on."""
        each = rate / len(self._client_processes)
        self._order(clients.Order("begin", rate=each, timeout_s=self.shape.timeout_s))

    def end_calls(self) -> None:
        """Let the clients begin no more calls, and wait until all have ended."""
        self._order(clients.Order("stop"))

    def peak(self, duration_s: float = 3.0, in_flight: int = 200) -> float:
        """Let the clients call as fast as it goes, after warming up; return the replies per second."""
        each = in_flight // len(self._client_processes)
        for_s = [min(1.0, duration_s), duration_s]
        answers = [self._order(clients.Order("peak", duration_s=each_s, in_flight=each)) for each_s in for_s]
        return sum(answer.rate for answer in answers[-1])

    # -- what is to be seen

    def read(self) -> Record:
        """Return the record of what is new since the last time; call it while there is no load."""
        record = self._reader.read()
        record.outages.extend(self.outages)
        record.false_death_s = 0.9 * Settings().suspicion_s
        record.deaths = [
            End(monotonic(), name, child.log.strip().rpartition("\n")[2])
            for name, child in self.children.items()
            if not child.running and not child.ordered
        ]
        return record

    @property
    def _client_processes(self) -> list[Child]:
        return [child for name, child in self.children.items() if name.startswith("clients")]

    def _order(self, order: clients.Order) -> list[clients.Answer]:
        line = msgspec.json.encode(order).decode()
        for child in self._client_processes:
            child.tell(line)
        return [msgspec.json.decode(child.hear(60.0), type=clients.Answer) for child in self._client_processes]


class Loaded(Driven, ABC):
    """A net, or a rival of it, to which faults happen under load."""

    def __init__(self, directory: Path, shape: Shape, env: Mapping[str, str]) -> None:
        super().__init__(directory, shape, env)
        self._broker_turns, self._worker_turns = cycle(self.brokers), cycle(self.workers)

    @abstractmethod
    def start(self) -> None:
        """Start everything, and wait until it is ready."""

    @abstractmethod
    def kill(self, name: str) -> float:
        """End a process with SIGKILL; return when."""

    @abstractmethod
    def start_broker(self, name: str, *, wait: bool = True) -> None:
        """Start a broker that is down; wait until it listens."""

    @abstractmethod
    def wait_until_sound(self) -> None:
        """Wait until everybody is connected to everybody that it needs."""

    @abstractmethod
    def judge(self, record: Record) -> list[str]:
        """Return what must not be in a record, a line each."""

    def next_broker(self) -> str:
        """Return the broker whose turn it is."""
        return next(self._broker_turns)

    def next_worker(self) -> str:
        """Return the worker whose turn it is."""
        return next(self._worker_turns)

    def hurt(self, name: str, kind: str) -> float:
        """Note that something is wrong with a process from now on; return now."""
        now = monotonic()
        self.outages.append(Outage(name, kind, now))
        return now

    def heal(self, name: str) -> None:
        """Note that nothing is wrong with a process any more."""
        for outage in self.outages:
            if outage.process == name and outage.end == float("inf"):
                outage.end = monotonic()
