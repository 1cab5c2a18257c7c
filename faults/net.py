"""The net under test: brokers, workers and clients of BraidMQ, each broker and worker a process."""

import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final, Self

from braidmq.lab.processes.child import BRAIDMQ
from braidmq.lab.processes.waiting import wait_until
from braidmq.lab.simulation.checkers import violations
from braidmq.lab.simulation.record import Execution, Record
from braidmq.trust.change import OPERATOR
from faults import broker, worker
from faults.journal import path_of
from faults.live_net import LiveNet
from faults.loaded import MODULE, Loaded, Shape
from faults.talker import SERVICE
from faults.wire import Wire

TALKER, LISTENER = sorted(broker.UNRECORDED, reverse=True)
"""A member that may call the other one, in rows that are about one member."""

SOUND_S_MAX: Final = 60.0

FORGOTTEN_S: Final = 1.0
"""How long after its deadline a broker may still hold something of a call."""

SHARERS: Final = 8
"""Nodes of the crowd that share a key: registering a thousand takes minutes, and a key may have 16 connections."""


class FaultNet(Loaded):
    """See Loaded.

    Attributes:
        live: the members and their files.
        wire: the network between the namespaces, if the row needs one.
    """

    callers = "faults.caller:nodes"

    def __init__(
        self, directory: Path, shape: Shape, *, wire: Wire | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(directory, shape, env or {})
        self.wire = wire
        self.live = LiveNet(directory / "net")
        for name in self.brokers:
            self.live.add_broker(name, host="127.0.0.1" if wire is None else wire.address(name))
        self.live.add_ends(worker.SERVICE, self.workers, self.clients)
        crowd = [self.live.add_node(f"n{number}") for number in range(shape.crowd // SHARERS)]
        self._crowd = [join for join in crowd for _ in range(SHARERS)]
        self.live.add_node("observer", observe=True)
        self.live.add_node(TALKER, calls=[SERVICE])
        self.live.add_node(LISTENER, serves=[SERVICE])
        self.live.authority.add_node(OPERATOR, observe=True, publish=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.live.close()
        super().__exit__()

    def start(self) -> None:
        """See Loaded."""
        for name in self.brokers:
            self.start_broker(name, wait=False)
        for name in self.brokers:
            self.children[name].wait_for_line(f"{name} listens at ")
        for name in self.workers:
            self.start_worker(name)
        self.start_clients({name: str(self.live.join(name)) for name in self.clients})
        for number in range(self.shape.crowd_processes if self._crowd else 0):
            joins = self._crowd[number :: self.shape.crowd_processes]
            self.launch(f"crowd{number + 1}", [*MODULE, "faults.crowd", *joins], talks=True)
        self.wait_until_sound()
        wait_until(lambda: self.crowd_connected() == len(self._crowd), "the crowd is connected", 120.0, 0.5)

    def start_broker(self, name: str, *, wait: bool = True) -> None:
        """See Loaded."""
        prefix = [] if self.wire is None else self.wire.inside(name)
        plan = broker.Plan(str(self.journal), name, self.new_life(name))
        options = ["--no-local", "--observer", "faults.broker:observer", "--join", self.live.join(name)]
        self.launch(name, [*prefix, *BRAIDMQ, "broker", *options], env=broker.environment(plan))
        if wait:
            self.children[name].wait_for_line(f"{name} listens at ")
            self.heal(name)

    def start_worker(self, name: str) -> None:
        """Start a worker that is down."""
        shape = self.shape
        plan = worker.Plan(str(self.journal), shape.work_s, shape.concurrency, shape.block_s, self.new_life(name))
        command = [*BRAIDMQ, "serve", "faults.worker:node", "--join", self.live.join(name)]
        self.launch(name, command, env=worker.environment(plan))
        self.heal(name)

    def kill(self, name: str) -> float:
        """See Loaded."""
        at = self.hurt(name, "kill")
        self.children[name].end(signal.SIGKILL)
        return at

    def stop(self, name: str) -> float:
        """Stop a process with SIGSTOP; return when."""
        at = self.hurt(name, "pause")
        self.children[name].send_signal(signal.SIGSTOP)
        return at

    def go_on(self, name: str) -> None:
        """Let a stopped process go on."""
        self.children[name].send_signal(signal.SIGCONT)
        self.heal(name)

    def drain(self, name: str) -> float:
        """End a process with SIGTERM; return how long it took, in seconds."""
        at = self.hurt(name, "drain")
        code = self.children[name].end()
        assert code == 0, f"{name} ended with exit code {code}:\n{self.children[name].log}"
        return monotonic() - at

    def wait_until_it_works(self, name: str) -> None:
        """Wait until a worker begins a new request."""
        path = path_of(self.journal, Execution, name, self.life(name))
        seen = path.stat().st_size if path.exists() else 0
        wait_until(lambda: path.exists() and path.stat().st_size > seen, f"{name} runs something", poll_s=0.001)

    def crowd_connected(self) -> int:
        """Return how many nodes of the crowd are connected to every broker."""
        crowds = [child for name, child in self.children.items() if name.startswith("crowd")]
        for child in crowds:
            child.tell("")
        return sum(int(child.hear()) for child in crowds)

    def wait_until_sound(self) -> None:
        """Wait until the brokers agree, every worker is ready at each, and every client is connected to each."""
        members = self.shape.workers + self.shape.clients
        wait_until(
            lambda: self.live.sound(self.brokers, members, self.shape.workers), "the net is sound", SOUND_S_MAX, 0.1
        )

    def views(self) -> dict[tuple[str, str], str]:
        """Return in which state each broker lists each other one."""
        return {
            (by, row.name): row.state
            for by, report in self.live.reports().items()
            for row in report.brokers
            if row.name != by
        }

    def look(self, record: Record) -> None:
        """Add to a record what the brokers tell of themselves, when every call has ended and the net is sound.

        What is left of a call may stay until its deadline: a broker need not know that it was answered elsewhere.
        """
        with suppress(AssertionError):
            wait_until(lambda: not self.leftovers(), "nothing is left", self.shape.timeout_s + FORGOTTEN_S, 0.1)
        record.alive, record.views, record.leftovers = list(self.brokers), self.views(), self.leftovers()

    def leftovers(self) -> list[str]:
        """Return what the brokers still hold of calls."""
        return [
            f"{name} still has {each.queued} requests of {each.name} waiting and {each.outstanding} with workers"
            for name, report in self.live.reports().items()
            for each in report.services
            if each.queued or each.outstanding
        ]

    def judge(self, record: Record) -> list[str]:
        """See Loaded."""
        return [str(each) for each in violations(record)]
