"""A node of the simulated net: the production core and turn over the simulated network; its handlers are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from braidmq.core.events.event import Event
from braidmq.core.ids import SECRET_BYTES
from braidmq.core.links.link import Failure, LinkState
from braidmq.core.node.node import NodeCore
from braidmq.core.worker.job import Job
from braidmq.errors import BraidError, RequestError, ServiceError
from braidmq.lab.simulation import record
from braidmq.lab.simulation.dealers import Dealers
from braidmq.lab.simulation.ledger import Papers
from braidmq.lab.simulation.payload import answer_to, key_of, key_of_answer, payload_of
from braidmq.lab.simulation.process import Process
from braidmq.lab.simulation.registry import address_of, keyring_of, principal_of
from braidmq.lab.simulation.sizes import sizes_of_node
from braidmq.members import Member, Role
from braidmq.messages import Reply
from braidmq.turn.node import NodeTurn
from braidmq.wire.envelope import Flag

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net
    from braidmq.lab.simulation.plan import Work


CHECKED_FAST: Final = 10
"""Remembered requests that a check costs no more for than for any one other thing."""

NODES_FASTER: Final = 10
"""How much less a message costs a node than a broker, which handles what all nodes send."""


@dataclass(eq=False)
class Task:
    """The handler of one job.

    Attributes:
        execution: what is recorded of it, once it has begun.
        call: the call of another service that it waits for.
    """

    over: bool = False
    execution: record.Execution | None = None
    call: bytes = b""


class _Dealers(Dealers):
    """A dialer whose node notes which connections are closed."""

    def __init__(self, node: NodeProcess, *arguments: Any, **more: Any) -> None:
        super().__init__(node, *arguments, **more)
        self._node = node

    def close(self, name: str, *, lossless: bool = False) -> list[bytes]:
        """See Dealers.close."""
        if self._node.up and not lossless:
            self._node.note_parting(name)
        return super().close(name, lossless=lossless)


class NodeProcess(Process):
    """One node: a client, a worker, or both.

    Attributes:
        core: of its present or last life.
        serves: the services that it provides, each with its concurrency.
        calls: whether it calls any.
        papers: its own certificate and its list of brokers, in a file that outlives it.
    """

    core: NodeCore
    turn: NodeTurn

    def __init__(self, net: Net, name: str, *, serves: dict[str, int], clock_rate: float) -> None:
        super().__init__(net.world, name, clock_rate=clock_rate)
        self.serves = serves
        self.calls = name in net.plan.clients
        self.papers = Papers(name, self._on_roster)
        self._net = net
        self._settings = net.plan.settings
        self._rng = net.world.chance(f"core of {name}")
        self._work_rng = net.world.chance(f"work of {name}")
        self._disclaimer_rng = net.world.chance(f"disclaimers of {name}")
        self._repeat_rng = net.world.chance(f"repeats of {name}")
        self._offered: dict[str, int] = {}
        self.dealers = _Dealers(
            self, net.network, net.routes_of, principal=principal_of(name),
            outbox_bytes_max=net.plan.settings.outbox_bytes_max, rng=net.world.chance(f"routes of {name}"),
        )  # fmt: skip
        self._calls: dict[bytes, record.Call] = {}
        self._ended: dict[bytes, record.Call] = {}
        self._tasks: dict[Job, Task] = {}
        self._callers: dict[bytes, tuple[Job, Task]] = {}
        self._numbers = 0
        self._looked_up: list[tuple[str, list[str]]] = []

    # -- what happens to it

    def kill(self) -> None:
        """End it as kill -9 does: the system closes its connections; nobody waits for its calls any more."""
        if self.up:
            self.dealers.close_all()
            self._end()

    def call(self, service: str, *, timeout_s: float, attempts: int, size_bytes: int, must_succeed: bool) -> None:
        """Make a call when it runs next."""

        def begin() -> None:
            if self.stopping is None:
                self._call(
                    service, timeout_s=timeout_s, attempts=attempts, size_bytes=size_bytes, must_succeed=must_succeed
                )

        self.later(0.0, begin)

    def provide(self, service: str, places: int) -> None:
        """Offer, resize or withdraw (0 places) one of its services when it runs next, unless it is about to end."""

        def move() -> None:
            before, now = self._offered.get(service, 0), self.clock
            if self.stopping is not None or before == places:
                return
            if not places:
                self.core.withdraw(service, now)
            elif before:
                self.core.resize(service, places, now)
            else:
                self.core.offer(service, places, now)
            self._offered[service] = places
            self.world.trace.note(self.world.now, f"{self.name} has {places} places for {service}, and had {before}")

        self.later(0.0, move)

    @property
    def calling(self) -> bool:
        """Whether a caller waits."""
        return bool(self._calls)

    @property
    def is_complete(self) -> bool:
        """Whether all is there that belongs to it."""
        return True

    def leftovers(self) -> list[str]:
        """Return what is still held of calls and jobs that have ended, besides what its core holds."""
        return []

    def give_up_one(self) -> None:
        """Let one caller wait no longer."""

        def cancel() -> None:
            if mine := [id_ for id_ in self._calls if id_ not in self._callers]:
                id_ = self._rng.choice(mine)
                self._calls.pop(id_).given_up_at = self.world.now
                self.core.give_up(id_, self.clock)

        self.later(0.0, cancel)

    # -- what it does

    def _call(
        self,
        service: str,
        *,
        timeout_s: float,
        attempts: int,
        size_bytes: int,
        must_succeed: bool,
        nested: int = 0,
    ) -> bytes:
        """Make a call now, and return its id; empty if the core refuses it."""
        self._numbers += 1
        key, world = f"{self.name}:{self._numbers}", self.world
        call = record.Call(key, self.name, world.now, world.now + timeout_s, attempts, life=self.life)
        call.must_succeed = must_succeed
        own_id, share = None, self._net.plan.repeats_share
        if share and not nested and not must_succeed and self._repeat_rng.random() < share:
            own_id, call.repeats = self._repeat_rng.randrange(1 << 127).to_bytes(16), 1
        return self._request(
            call, service, size_bytes, timeout_s, wait=self._net.plan.wait, nested=nested, own_id=own_id
        )

    def _request(
        self,
        call: record.Call,
        service: str,
        size_bytes: int,
        timeout_s: float,
        *,
        wait: bool | None,
        nested: int = 0,
        own_id: bytes | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> bytes:
        """Give a call to the core, and return its id; empty if the core refuses it."""
        world, attempts = self.world, call.attempts_max
        world.record.calls.append(call)
        try:
            call.id = self.core.request(
                service,
                payload_of(call.key, size_bytes),
                timeout_s=timeout_s,
                attempts=attempts,
                metadata=metadata,
                wait=wait,
                nested=nested,
                now=self.clock,
                id_=own_id,
                possible_duplicate=call.repeats > 0,
            )
        except BraidError as error:
            call.ends = [(world.now, _as_recorded(error))]
            world.trace.note(world.now, f"{self.name} may not call: {error}")
            return b""
        self._calls[call.id] = call
        text = f"{self.name} calls {service} ({call.id.hex()[-6:]}): {timeout_s:.3f} s, {attempts} attempts"
        world.trace.note(world.now, text, ids=frozenset((call.id,)))
        return call.id

    def _begin(self) -> None:
        net, now = self._net, self.clock
        self._calls = {}
        self._ended = {}
        self._tasks = {}
        self._callers = {}
        member = net.authority.member(self.name) or Member(self.name, Role.NODE, calls=("*",))
        self.papers.member = member
        settings, secret = self._settings, self._rng.randbytes(SECRET_BYTES)
        keyring = keyring_of(self.name, net.plan.nodes)
        self._looked_up = []
        self.core = NodeCore(
            member, settings, self._rng, self.papers.verify, secret=secret, software="simulation", now=now,
            keyring=keyring, papers=self.papers,
        )  # fmt: skip
        self.turn = NodeTurn(self.core, self.dealers, self)
        self._offer_first()
        for address in (*map(address_of, net.first_brokers(self.name)), *self.papers.addresses):
            if not self.papers.lacks(address):
                self.core.learn(address, now)

    def _offer_first(self) -> None:
        """Provide what it has from the start."""
        self._offered = dict(self.serves)
        for service, concurrency in self.serves.items():
            self.core.offer(service, concurrency)

    def _drain(self, now: float) -> None:
        self.core.drain(now)

    def _turn(self, now: float) -> float:
        core = self.core
        handled = core.handled
        self.turn.read(now)
        due = self.turn.run(now)
        self.spend((core.handled - handled) * self._net.plan.message_s / NODES_FASTER)
        self._check()
        if self._may_end(now):
            self.dealers.close_all(lossless=True)
            self._end()
        return due

    def _may_end(self, now: float) -> bool:
        """Whether it ends: it drains, and has nothing left, or its time is over."""
        drains_since = self.stopping
        return drains_since is not None and (self.core.idle or now - drains_since >= self._net.plan.settings.drain_s)

    def _on_roster(self, version: int) -> None:
        """Note that it acts on a newer list of brokers."""
        self.world.record.adoptions.append(record.Adoption(self.world.now, self.name, version))

    def note_parting(self, broker: str) -> None:
        """Note that the connection to a broker is closed, and whether for its silence."""
        link = self.core.brokers.get(broker)
        silent = link is not None and link.state is LinkState.WAITING and link.failure is Failure.SILENT
        self.world.record.partings.append(record.Parting(self.world.now, self.name, broker, silent))

    def _check(self) -> None:
        """Let the core check itself after a turn, if that is due."""
        if self.is_check_due(1, len(self.core.worker.cache) // CHECKED_FAST):
            self._check_state()

    def _check_state(self) -> None:
        self.core.validate_state()
        for what, value, bound in sizes_of_node(self.core, self._net.plan.settings):
            self.world.record.size(self.name, what, value, bound)

    def _end(self) -> None:
        for task in self._tasks.values():
            if task.execution is not None:
                task.execution.ended = self.world.now
        for call in self._calls.values():
            call.given_up_at = self.world.now
        self._calls = {}
        self.end()
        self.world.trace.note(self.world.now, f"{self.name} has ended")

    # -- for the turn (see NodeHost)

    def look_up(self, name: str, endpoints: tuple[str, ...]) -> None:
        """Know the addresses at once: they are the endpoints."""
        self._looked_up.append((name, list(endpoints)))

    def looked_up(self) -> list[tuple[str, list[str]]]:
        """Return the brokers whose addresses are known now."""
        found, self._looked_up = self._looked_up, []
        return found

    def tell(self, event: Event) -> None:
        """Write an event to the trace."""
        self.world.trace.note(self.world.now, f"{self.name}: {event}")

    def on_stall(self, stalled_s: float) -> None:
        """Do nothing: the core knows what it means."""

    def complete(self, id_: bytes, outcome: Reply | BraidError) -> None:
        """Record the end of a call; a handler that waits for it ends."""
        self._note_end(id_, outcome)
        caller = self._callers.pop(id_, None)
        if caller is not None:
            job, task = caller
            answer = answer_to(job.request.payload)
            self._finish(job, task, answer if isinstance(outcome, Reply) else ServiceError("UPSTREAM", str(outcome)))

    def _note_end(self, id_: bytes, outcome: Reply | BraidError) -> None:
        call = self._calls.pop(id_, None) or self._ended.get(id_)
        if call is None:
            return
        self._ended[id_] = call
        call.ends.append((self.world.now, _as_recorded(outcome)))
        text = f"{self.name} has the end of {id_.hex()[-6:]}: {type(outcome).__name__}"
        self.world.trace.note(self.world.now, text, ids=frozenset((id_,)))

    def run_job(self, job: Job) -> None:
        """Begin a handler in the next turn."""
        task = self._tasks[job] = Task()
        self.later(0.0, lambda: self._begin_handler(job, task))

    def stop_job(self, job: Job) -> None:
        """Stop a handler."""
        found = self._tasks.get(job)
        if found is not None and not (found.execution is not None and self._net.plan.stubborn):
            if found.call in self._calls:
                self._calls.pop(found.call).given_up_at = self.world.now
                self.core.give_up(found.call, self.clock)
            self._finish(job, found, None)

    # -- its handlers

    def _begin_handler(self, job: Job, task: Task) -> None:
        if task.over:
            return
        if not self.turn.begin(job, self.clock):
            del self._tasks[job]
            return
        request, world = job.request, self.world
        client, broker = request.sender.decode("ascii", "replace"), job.link.name
        unseen_s = self._net.network.journey_s(self.name, broker, outward=False)
        if broker in self._net.brokers and client not in world.record.hostile:  # else nobody judges when it began
            unseen_s += world.record.came(request.id, broker, request.retry_count).unseen_s
        task.execution = record.Execution(
            key_of(request.payload),
            self.name,
            request.id,
            world.now,
            bool(request.flags & Flag.POSSIBLE_DUPLICATE),
            request.retry_count,
            self.life,
            client,
            unseen_s,
        )
        world.record.executions.append(task.execution)
        text = f"{self.name} begins {request.id.hex()[-6:]}"
        world.trace.note(world.now, text, ids=frozenset((request.id,)))
        self._work(job, task)

    def _work(self, job: Job, task: Task) -> None:
        """Do what a handler does, which ends with `_finish`."""
        request, rng, work = job.request, self._work_rng, self._net.work
        outcome: bytes | ServiceError = answer_to(request.payload)
        if rng.random() < work.error_share:
            outcome = ServiceError("REFUSED", "as it was drawn")
        duration_s = rng.choice(work.durations_s) * rng.uniform(0.5, 1.0)
        disclaimer = self._disclaimer(work)
        if disclaimer:
            self.later(duration_s, lambda: self._finish(job, task, None, disclaimer))
        elif work.chained_share and rng.random() < work.chained_share:
            self.later(duration_s, lambda: self._call_another(job, task))
        elif not (work.hanging_share and rng.random() < work.hanging_share):
            self.later(duration_s, lambda: self._finish(job, task, outcome))

    def _disclaimer(self, work: Work) -> record.Disclaimer:
        """Draw what a handler says instead of an answer."""
        if not work.not_run_share and not work.unknown_share:
            return ""
        drawn = self._disclaimer_rng.random()
        if drawn < work.not_run_share:
            return "not run"
        return "unknown" if drawn < work.not_run_share + work.unknown_share else ""

    def _call_another(self, job: Job, task: Task) -> None:
        """Let a handler call a service, and end when that call ends."""
        remaining_s = job.deadline - self.clock
        if task.over or remaining_s <= 0.0:
            self._finish(job, task, ServiceError("UPSTREAM", "no time is left"))
            return
        service = self._work_rng.choice(self._net.plan.services)
        task.call = self._call(
            service, timeout_s=remaining_s, attempts=3, size_bytes=0, must_succeed=False, nested=self._numbers + 1
        )
        if task.call:
            self._callers[task.call] = (job, task)
        else:
            self._finish(job, task, ServiceError("UPSTREAM", "the call was refused"))

    def _finish(
        self, job: Job, task: Task, outcome: bytes | ServiceError | None, disclaimer: record.Disclaimer = ""
    ) -> None:
        if task.over:
            return
        task.over = True
        del self._tasks[job]
        self._callers.pop(task.call, None)
        if task.execution is not None:
            task.execution.ended = self.world.now
            task.execution.answered = outcome is not None
            task.execution.disclaimer = disclaimer
        if disclaimer == "not run":
            self.core.decline(job, self.clock)
        elif disclaimer == "unknown":
            self.core.disown(job, self.clock)
        else:
            self.core.finish(job, outcome, self.clock)


def _as_recorded(outcome: Reply | BraidError) -> record.Reply | record.Error:
    if isinstance(outcome, Reply):
        return record.Reply(
            key_of_answer(outcome.payload),
            outcome.sender,
            outcome.original_id,
            outcome.possible_duplicate,
            outcome.retry_count,
            outcome.broker,
        )
    kind = type(outcome).__name__
    if not isinstance(outcome, RequestError):
        return record.Error(kind, 0, maybe_executed=False, text=str(outcome))
    return record.Error(kind, outcome.attempts, outcome.maybe_executed, str(outcome))
