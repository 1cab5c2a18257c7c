"""A net of real processes whose workers and callers write down what they see, with proxies where they are needed."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import msgspec

from braidmq.lab.processes.child import Child
from braidmq.lab.processes.ports import free_ports
from braidmq.lab.processes.waiting import wait_until
from braidmq.lab.simulation.record import Call
from faults.journal import Reader
from faults.live_net import LiveNet
from faults.loaded import MODULE, ROOT
from faults.promises import worker
from faults.promises.jobs import WORK, Begun, Over
from faults.promises.judge import merged, tally
from faults.promises.orders import Answer, Ask, Begin, Block, Cancel, Drive, Order, Pace, Plan, Wait, When
from faults.promises.promise import Evidence
from faults.promises.proxy import Proxy

MODULE_WORKER: Final = "faults.promises.worker:node"

END_S: Final = 2.0
"""How long after its deadline a call may end before it counts as lost."""

ORDER_S_MAX: Final = 30.0
"""How long an order may take beyond the time that it names."""

ENV: Final = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


class CallerProcess:
    """The process of a caller, and what it is told."""

    def __init__(self, name: str, child: Child) -> None:
        self.name = name
        self.child = child
        self._owed = 0
        self._answer = msgspec.json.decode(child.hear(), type=Answer)

    def begin(self, prefix: str, ask: Ask, count: int = 1, *, stall_s: float = 0.0, when: When = "made") -> None:
        """See orders.Begin. It waits for the end of the stall, unless that begins with an answer."""
        self._obey(Begin(prefix, ask, count, stall_s, when), stall_s)

    def drive(self, prefix: str, ask: Ask, *, in_flight: int, for_s: float, count: int = 1_000_000_000) -> None:
        """See orders.Drive."""
        self._obey(Drive(prefix, ask, in_flight, for_s, count))

    def pace(self, prefix: str, ask: Ask, *, rate: float, for_s: float) -> None:
        """See orders.Pace."""
        self._obey(Pace(prefix, ask, rate, for_s))

    def block(self, for_s: float) -> None:
        """Block its event loop, and do not wait until that is over."""
        self._tell(Block(for_s))

    def cancel(self, prefix: str) -> None:
        """Cancel the tasks of the calls whose keys begin with `prefix`."""
        self._obey(Cancel(prefix))

    def wait(self, for_s: float) -> int:
        """Wait until all its calls have ended, at most `for_s`; return how many have not."""
        return self._obey(Wait(for_s), for_s).pending

    def _tell(self, order: Order) -> None:
        self._owed += 1
        self.child.tell(msgspec.json.encode(order).decode())

    def _obey(self, order: Order, for_s: float = 0.0) -> Answer:
        self._tell(order)
        while self._owed:
            self._answer = msgspec.json.decode(self.child.hear(for_s + ORDER_S_MAX), type=Answer)
            self._owed -= 1
        return self._answer


class PromiseNet:
    """The processes of one run. Use it as a context manager; leaving it ends every process by its pid.

    Attributes:
        live: the members and their files.
        children: the processes of brokers and workers by name.
        callers: those that run.
        proxies: by broker; empty without them.
    """

    def __init__(self, directory: Path) -> None:
        self.live = LiveNet(directory / "net")
        self.directory = directory / "journal"
        self.directory.mkdir()
        self.children: dict[str, Child] = {}
        self.callers: dict[str, CallerProcess] = {}
        self.proxies: dict[str, Proxy] = {}
        self.brokers: list[str] = []
        self._ports: dict[str, int] = {}
        self._pids: dict[int, str] = {}
        self._reader = Reader(self.directory)
        self._begun: list[Begun] = []
        self._over: list[Over] = []
        self._calls: list[Call] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.live.close()
        finally:
            for proxy in self.proxies.values():
                proxy.close()

    # -- processes

    def open(self, brokers: int, members: Iterable[str], *, proxied: bool = False) -> None:
        """Register so many brokers and these members, and start the brokers, behind proxies if they are needed."""
        self.brokers = [f"b{number}" for number in range(1, brokers + 1)]
        for name in self.brokers:
            self.live.add_broker(name)
        for name in members:
            self.live.add_node(name, calls=["*"], serves=["*"])
        self.live.add_node("observer", observe=True)
        if proxied:
            fronts = [int(endpoint.rpartition(":")[2]) for endpoint in self.live.endpoints.values()]
            behind = [port for port in free_ports(2 * brokers) if port not in fronts]
            for name, front, port in zip(self.brokers, fronts, behind, strict=False):
                self._ports[name] = port
                self.proxies[name] = Proxy(front, port, lambda: dict(self._pids))
        for name in self.brokers:
            self.start_broker(name)

    def start_broker(self, name: str) -> None:
        """Start a broker that is down, and wait until it listens."""
        bind = ["--bind", f"tcp://127.0.0.1:{self._ports[name]}"] if self._ports else []
        self._adopt(name, self.live.broker(name, *bind, cwd=ROOT, env=ENV))

    def start_worker(
        self, name: str, concurrency: int = 1, *, service: str = WORK, slowness: float = 1.0, join: str = ""
    ) -> None:
        """Start a worker; `join` is the member whose file it has, if it is not called like its process."""
        plan = worker.Plan(name, str(self.directory), {service: concurrency}, slowness)
        env = {**ENV, **worker.environment(plan)}
        self._adopt(name, self.live.serve(MODULE_WORKER, name=join or name, cwd=ROOT, env=env))

    def start_caller(self, name: str) -> CallerProcess:
        """Start a caller, and wait until it has tried every broker."""
        plan = Plan(name, str(self.live.join(name)), str(self.directory))
        command = [*MODULE, "faults.promises.caller", msgspec.json.encode(plan).decode()]
        child = self.live.launch(command, talks=True, cwd=ROOT, env=ENV)
        self._adopt(name, child)
        caller = self.callers[name] = CallerProcess(name, child)
        return caller

    def kill(self, name: str) -> None:
        """End a process with SIGKILL."""
        self.children[name].end(signal.SIGKILL)

    def terminate(self, name: str) -> None:
        """Let a process end with SIGTERM; do not wait for it."""
        self.children[name].send_signal(signal.SIGTERM)

    def stop(self, name: str) -> None:
        """Stop a process with SIGSTOP."""
        self.children[name].send_signal(signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """Let a stopped process go on."""
        self.children[name].send_signal(signal.SIGCONT)

    def open_gate(self, name: str) -> None:
        """Let the gated jobs of a worker end."""
        worker.gate_of(self.directory, name).touch()

    # -- what is to be seen

    def ready(self, workers: int, *brokers: str, service: str = WORK) -> None:
        """Wait until each of these brokers (all, if none is named) has so many workers of a service.

        How much each may send them is not asked for: a worker of one place may share that out as it likes.
        """

        def known() -> bool:
            return all(self.live.service(name, service).workers == workers for name in brokers or self.brokers)

        wait_until(known, f"{workers} workers for {service} at {', '.join(brokers or self.brokers)}")

    def held(self, service: str = WORK) -> dict[str, tuple[int, int]]:
        """Return for each broker how many requests are with its workers, and how many wait at it."""
        found = {name: self.live.service(name, service) for name in self.brokers}
        return {name: (each.outstanding, each.queued) for name, each in found.items()}

    @property
    def begun(self) -> list[Begun]:
        """The handlers that have begun so far."""
        self._begun += self._reader.entries(Begun)
        return self._begun

    @property
    def over(self) -> list[Over]:
        """The handlers that have ended so far."""
        self._over += self._reader.entries(Over)
        return self._over

    @property
    def calls(self) -> list[Call]:
        """The calls that have ended so far."""
        self._calls += self._reader.entries(Call)
        return self._calls

    def runs(self, prefix: str) -> list[Begun]:
        """Return the handlers that have begun calls whose keys begin with `prefix`."""
        return [each for each in self.begun if each.key.startswith(prefix)]

    def wait_for_runs(self, prefix: str, count: int = 1, timeout: float = ORDER_S_MAX) -> list[Begun]:
        """Wait until so many handlers have begun."""
        wait_until(lambda: len(self.runs(prefix)) >= count, f"{count} handlers of {prefix} have begun", timeout)
        return self.runs(prefix)

    def has_run(self, prefix: str, count: int, within_s: float) -> bool:
        """Wait until so many handlers have begun, at most `within_s`; return whether they have."""
        with suppress(AssertionError):
            self.wait_for_runs(prefix, count, within_s)
        return len(self.runs(prefix)) >= count

    def has_ended(self, prefix: str, count: int, within_s: float) -> bool:
        """Wait until so many calls have ended, at most `within_s`; return whether they have."""

        def ended() -> bool:
            return sum(call.key.startswith(prefix) for call in self.calls) >= count

        with suppress(AssertionError):
            wait_until(ended, f"{count} calls of {prefix} have ended", within_s)
        return ended()

    def judge(self, evidence: Evidence, prefix: str = "") -> None:
        """Count what has become of the calls whose keys begin with `prefix`, as far as they have ended."""
        calls = merged(each for each in self.calls if each.key.startswith(prefix))
        evidence.count(tally(calls, self.runs(prefix)))

    def end(self, evidence: Evidence, for_s: float) -> None:
        """Wait until all calls have ended, at most `for_s` and a moment; what has not is lost."""
        for caller in self.callers.values():
            if caller.child.running:
                pending = caller.wait(for_s + END_S)
                evidence.count({"lost": pending, "calls": pending})

    def _adopt(self, name: str, child: Child) -> None:
        self.children[name] = child
        self._pids[child.pid] = name
