"""A bridge of the simulated net: a node, before whose core stands the production core of a bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from braidmq.bridges.limits import CALLS_PER_PEER_MAX, HELD_PER_PEER_MAX, PEERS_MAX
from braidmq.bridges.port import (
    Call,
    Cancel,
    Finish,
    Job,
    Offer,
    Output,
    Peer,
    Send,
    Unfinished,
    Withdraw,
)
from braidmq.errors import BraidError, ServiceError
from braidmq.lab.simulation import record
from braidmq.lab.simulation.foreign.street import Street
from braidmq.lab.simulation.node import NodeProcess, Task
from braidmq.lab.simulation.payload import answer_to, key_of, key_of_answer
from braidmq.messages import Reply, Request
from braidmq.wire.control import BridgeStatus, Bridging
from braidmq.wire.envelope import Flag
from braidmq.wire.extension import decode_metadata

if TYPE_CHECKING:
    from braidmq.core.worker.job import Job as NodeJob
    from braidmq.lab.simulation.foreign.line import Frames
    from braidmq.lab.simulation.foreign.plan import Bridged
    from braidmq.lab.simulation.net import Net


class BridgeProcess(NodeProcess):
    """A bridge, and the street of its foreign programs.

    Attributes:
        street: the programs before it.
        listens: whether its endpoint takes connections.
    """

    def __init__(self, net: Net, name: str, bridged: Bridged, *, serves: dict[str, int], clock_rate: float) -> None:
        super().__init__(net, name, serves=serves, clock_rate=clock_rate)
        self.listens = False
        self.street = Street(net, self, bridged)
        self._bytes_max = net.plan.settings.payload_bytes_max
        self._inbox: list[tuple[Peer, Frames | None]] = []
        self._heard: dict[Peer, None] = {}
        self._numbers_of: dict[bytes, tuple[int, bytes]] = {}
        self._ids: dict[int, bytes] = {}
        self._refused: dict[int, BraidError] = {}
        self._jobs: dict[int, tuple[NodeJob, Task]] = {}
        self._numbers_of_jobs: dict[NodeJob, int] = {}
        self._job_numbers = 0
        self._known: frozenset[str] = frozenset()

    # -- what happens to it

    @property
    def calling(self) -> bool:
        """Whether a caller waits, here or in a program."""
        return super().calling or any(program.busy for program in self.street.callers)

    @property
    def is_complete(self) -> bool:
        """Whether all programs are there, and connected."""
        return all(program.is_well for program in self.street.programs)

    def leftovers(self) -> list[str]:
        """Return what is still held of calls and jobs that have ended."""
        found = [f"{program.name} is busy" for program in self.street.servers if program.busy]
        if self.up and not self._bridge.idle:
            found.append(f"the bridge of {self.name} is not idle")
        return found

    def provide(self, service: str, places: int) -> None:
        """Do nothing: foreign workers say what it provides."""

    def _begin(self) -> None:
        super()._begin()
        self._inbox, self._heard, self._numbers_of, self._ids = [], {}, {}, {}
        self._jobs, self._numbers_of_jobs, self._known, self._refused = {}, {}, frozenset(), {}
        member = self._net.member_of(self.name)
        tokens = self.world.chance(f"tokens of {self.name} {self.life}")
        self._bridge = self.street.make_core(lambda _: member, tokens, self._bytes_max)
        self._over = False
        self.listens = True
        self.core.tell_of_bridge(Bridging(BridgeStatus(self.street.kind, len(self.street.programs))), self.clock)

    def _offer_first(self) -> None:
        """Provide nothing: its foreign workers have not come yet."""
        self._offered = {}

    def _drain(self, now: float) -> None:
        self._bridge.drain(now)

    def _end_bridge(self, now: float) -> None:
        """Say goodbye, and end as a node does."""
        self._bridge.end(now)
        self._do_all(now)
        self._over = True
        self.stopping = now  # a node has its own time to drain
        self.listens = False
        self._hang_up()
        self.core.drain(now)

    def _hang_up(self) -> None:
        for line in list(self.street.lines):
            line.on_bridge_end()

    def _end(self) -> None:
        self.listens = False
        self._hang_up()
        super()._end()

    # -- from the street

    def on_come(self, peer: Peer, frames: Frames) -> None:
        """Note that a message has come."""
        if self.up:
            self._inbox.append((peer, frames))
            self.wake()

    def on_end(self, peer: Peer) -> None:
        """Note that a connection has ended."""
        if self.up:
            self._inbox.append((peer, None))
            self.wake()

    # -- its turn

    def _turn(self, now: float) -> float:
        if not self._over:
            self._read_street(now)
            self._do_all(now)
            since = self.stopping
            if since is not None and (self._bridge.idle or now - since >= self._net.plan.settings.drain_s):
                self._end_bridge(now)
        due = super()._turn(now)
        if not self.up or self._over:
            return due
        self._tell_services(now)
        self._do_all(now)
        later = self._bridge.next_deadline()
        return due if later is None else min(due, later)

    def _may_end(self, now: float) -> bool:
        return self._over and super()._may_end(now)

    def _check_state(self) -> None:
        super()._check_state()
        self._bridge.validate_state()
        self._note_sizes()

    def _read_street(self, now: float) -> None:
        inbox, self._inbox = self._inbox, []
        for peer, frames in inbox:
            if frames is not None:
                self._heard[peer] = None
                self._bridge.on_message(peer, frames, now)
            elif self._heard.pop(peer, 0) is None:
                peer.gone = True
                self._bridge.on_gone(peer, now)
        due = self._bridge.next_deadline()
        if due is not None and due <= now:
            self._bridge.on_timer(now)

    def _tell_services(self, now: float) -> None:
        links = self.core.links.links.values()
        known = frozenset([each.decode() for link in links if link.open for each in link.services])
        if known != self._known:
            self._known = known
            self._bridge.on_services("", known, now)

    def _note_sizes(self) -> None:
        note, plan = self.world.record.size, self._net.plan
        note(self.name, "foreign peers", len(self._heard), PEERS_MAX)
        note(self.name, "calls of foreign peers", len(self._ids), CALLS_PER_PEER_MAX * max(1, len(self._heard)))
        waiting = len(self._jobs) - len(self.street.servers) * max(1, plan.bridged.places if plan.bridged else 1)
        note(self.name, "requests that wait for foreign workers", waiting, HELD_PER_PEER_MAX)

    # -- what the bridge's core asks for

    def _do_all(self, now: float) -> None:
        while outputs := self._bridge.take():
            self.wake()  # the node has to act on it
            for output in outputs:
                self._do(output, now)
            refused, self._refused = self._refused, {}
            for number, error in refused.items():
                self._bridge.on_call_end(number, error, now)

    def _do(self, output: Output, now: float) -> None:
        match output:
            case Send(peer, frames):
                line = next((each for each in self.street.lines if each.is_of(peer)), None)
                if line is None or not line.tell(peer, frames):
                    self._bridge.on_unsent(output, now)
            case Call():
                self._begin_call(output)
            case Cancel(number):
                self._refused.pop(number, None)
                id_ = self._ids.pop(number, b"")
                if id_ in self._calls:
                    self._calls.pop(id_).given_up_at = self.world.now
                    self.core.give_up(id_, self.clock)
            case Offer(_, service, concurrency):
                if service in self._offered:
                    self.core.resize(service, concurrency, now)
                else:
                    self.core.offer(service, concurrency, now)
                self._offered[service] = concurrency
            case Withdraw(_, service):
                if self._offered.pop(service, 0):
                    self.core.withdraw(service, now)
            case Finish(number, outcome):
                found = self._jobs.pop(number)
                del self._numbers_of_jobs[found[0]]
                if isinstance(outcome, Unfinished):
                    self._finish(*found, None, "unknown" if outcome is Unfinished.UNKNOWN else "not run")
                else:
                    self._finish(*found, outcome)

    def _begin_call(self, call: Call) -> None:
        """Begin a call under a key of its own: the same bytes may come again, and the checkers tell calls by keys."""
        self._numbers += 1
        asked = key_of(call.payload)
        made = record.Call(
            f"{asked}#{self.life}.{self._numbers}",
            self.name,
            self.world.now,
            self.world.now + call.timeout_s,
            self._net.plan.settings.attempts,
            life=self.life,
            repeats=int(call.possible_duplicate),
        )
        foreign = next((each for each in self.world.record.foreign_calls if each.key == asked), None)
        made.must_succeed = foreign is not None and foreign.must_succeed
        id_ = self._request(
            made,
            call.service,
            _size_of(call.payload),
            call.timeout_s,
            wait=call.wait,
            metadata={"headers": call.headers},
        )
        if id_:
            self._ids[call.number] = id_
            self._numbers_of[id_] = call.number, call.payload
        else:
            self._refused[call.number] = ServiceError("REFUSED", "by the node", maybe_executed=False)

    def complete(self, id_: bytes, outcome: Reply | BraidError) -> None:
        """Record the end of a call, and tell the bridge's core, with the answer to what its client has sent."""
        waits = id_ in self._calls
        self._note_end(id_, outcome)
        if not waits or self._over:
            return
        number, payload = self._numbers_of.pop(id_)
        del self._ids[number]
        if isinstance(outcome, Reply) and key_of_answer(outcome.payload):
            outcome = msgspec.structs.replace(outcome, payload=answer_to(payload))
        self._bridge.on_call_end(number, outcome, self.clock)

    # -- jobs for foreign workers

    def _work(self, job: NodeJob, task: Task) -> None:
        if self._over:
            self._finish(job, task, None, "not run")
            return
        sent = job.request
        self._job_numbers += 1
        number = self._job_numbers
        self._jobs[number] = job, task
        self._numbers_of_jobs[job] = number
        request = Request(
            sent.payload,
            sent.sender.decode("ascii", "replace"),
            self.name,
            sent.service.decode("ascii"),
            sent.id,
            bool(sent.flags & Flag.POSSIBLE_DUPLICATE),
            sent.retry_count,
            job.deadline,
            broker=job.link.name,
            _clock=lambda: self.clock,
            **decode_metadata(sent.extension),
        )
        self._bridge.on_job(Job(number, "", request), self.clock)

    def stop_job(self, job: NodeJob) -> None:
        """Let the bridge's core know that nobody waits for a job any more."""
        number = self._numbers_of_jobs.pop(job, 0)
        if number:
            found = self._jobs.pop(number)
            self._bridge.on_job_dropped(number, self.clock)
            self._finish(*found, None)
        else:
            super().stop_job(job)


def _size_of(payload: bytes) -> int:
    """Return the size that a payload says that it is filled up to."""
    return int(payload.split(b" ", 2)[1])
