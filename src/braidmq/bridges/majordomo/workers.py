"""The side of workers: they register, get the jobs of BraidMQ nodes one at a time, and are asked whether they live."""

from typing import Final

from braidmq.bridges.bodies import to_body, to_payload
from braidmq.bridges.limits import HELD_PER_PEER_MAX, PEERS_MAX
from braidmq.bridges.majordomo import wire
from braidmq.bridges.majordomo.clients import MMI
from braidmq.bridges.majordomo.options import MajordomoOptions
from braidmq.bridges.majordomo.pool import Pool, Worker
from braidmq.bridges.majordomo.wire import Command, FromWorker, WorkerDialect
from braidmq.bridges.port import Finish, Job, Offer, Output, Peer, Rights, Send, Unfinished, Withdraw
from braidmq.errors import ServiceError
from braidmq.members import is_service

HEARTBEAT_S: Final = 1.0
"""How often each worker gets a HEARTBEAT. The most impatient ones give up after some 4 s of silence; more heartbeats
than they expect harm none of them."""

SILENCE_S_MAX: Final = 10.0
"""How long an idle worker may be silent: four times what the slowest ones take from one HEARTBEAT to the next."""

DENIED_S: Final = 5.0
"""How long a worker that may not serve waits for its DISCONNECT: it registers again as soon as it has it."""

IN_VAIN_S_MAX: Final = 10.0
"""How long after its request's deadline a worker that lives may be busy until it counts as stuck: Majordomo's handlers
know no deadline, and what waits for the worker is served if they exceed theirs by a little only."""

PARTS_MAX: Final = 64
"""Frames of all parts of a reply."""


class Workers:
    """All workers of a bridge.

    Args:
        options: of the bridge.
        outputs: where what is to be done goes.
        counters: see BridgeCore; `jobs`, `lost`, `late`, `disconnects`, `dropped` are counted here.
        rights: who may serve what.
        payload_bytes_max: largest reply.
    """

    def __init__(
        self,
        options: MajordomoOptions,
        outputs: list[Output],
        counters: dict[str, int],
        rights: Rights,
        payload_bytes_max: int,
    ) -> None:
        self._options = options
        self._outputs = outputs
        self._counters = counters
        self._rights = rights
        self._payload_bytes_max = payload_bytes_max
        self._workers: dict[Peer, Worker] = {}
        self._denied: dict[Peer, tuple[float, WorkerDialect]] = {}
        self._unserved: set[Peer] = set()
        self._pools: dict[tuple[str, str], Pool] = {}
        self._jobs: dict[int, Worker | Pool] = {}
        self._tokens = 0
        self._next_tick: float | None = None
        self.draining = False

    @property
    def jobs(self) -> int:
        """How many jobs have not ended."""
        return len(self._jobs)

    def serves(self, service: str) -> bool:
        """Whether a worker here provides a service."""
        return any(pool.service == service for pool in self._pools.values())

    def next_deadline(self) -> float | None:
        """See BridgeCore."""
        return self._next_tick

    # -- what workers say

    def on_command(self, peer: Peer, said: FromWorker, now: float) -> None:
        """Take what a worker says."""
        worker = self._workers.get(peer)
        if peer in self._unserved:
            self._counters["dropped"] += 1
        elif worker is None:
            self._on_stranger(peer, said, now)
        elif worker.dialect is not said.dialect:  # one of another dialect would abort at an answer
            self._counters["dropped"] += 1
        else:
            worker.heard = now
            if said.command is Command.READY:
                self._disconnect(worker)
            elif said.command is Command.DISCONNECT:
                self._forget(worker)
            elif wire.is_libmdp(said):
                self._turn_away(worker)
            elif said.command is not Command.HEARTBEAT:
                self._on_reply(worker, said)

    def _on_stranger(self, peer: Peer, said: FromWorker, now: float) -> None:
        """Take what somebody says who is not registered: anything but READY is answered DISCONNECT, so that he is.

        A READY that is denied gets no answer at first: DISCONNECT would bring the next one within milliseconds.
        """
        if said.command is Command.READY:
            if self.draining or len(self._workers) + len(self._denied) + len(self._unserved) >= PEERS_MAX:
                self._counters["dropped"] += 1
            elif self._may_serve(peer, said.rest):
                self._denied.pop(peer, None)
                self._register(peer, said, now)
            elif peer not in self._denied:
                self._counters["denied"] += 1
                self._denied[peer] = now + DENIED_S, said.dialect
                self._start_ticking(now)
        elif peer not in self._denied and said.command is not Command.DISCONNECT:
            self._tell_disconnect(peer, said.dialect)

    def _may_serve(self, peer: Peer, rest: list[bytes]) -> bool:
        name = rest[0].decode("ascii", "replace") if len(rest) == 1 else ""
        return is_service(name) and not name.startswith(MMI) and self._rights(peer.member).may_serve(name)

    def _register(self, peer: Peer, said: FromWorker, now: float) -> None:
        service = said.rest[0].decode("ascii")
        key = peer.member, service
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(*key, self._options.of(service))
        worker = self._workers[peer] = Worker(peer, said.dialect, pool, now)
        pool.workers.add(worker)
        self._start_ticking(now)
        self._rest(worker)

    def _on_reply(self, worker: Worker, said: FromWorker) -> None:
        token, body = said.rest[:1], said.rest[2:]
        if len(said.rest) < 2 or said.rest[1] != wire.EMPTY or not worker.token or token[0] != worker.token:
            self._counters["dropped"] += 1
            return
        if worker.job is None:
            self._counters["late"] += 1
        else:
            size = worker.parts_bytes + sum(map(len, body))
            in_parts = worker.in_parts or said.command is Command.PARTIAL
            if size > self._payload_bytes_max or (in_parts and len(worker.parts) + len(body) > PARTS_MAX):
                text = f"the reply has more than {self._payload_bytes_max} bytes, or {PARTS_MAX} frames in parts"
                self._finish(worker, ServiceError("TOO_LARGE", text))
            else:
                worker.parts, worker.parts_bytes, worker.in_parts = [*worker.parts, *body], size, in_parts
        if said.command is Command.PARTIAL:
            return
        if worker.job is not None:
            self._finish(worker, to_payload(worker.parts, worker.pool.options.frames, parts=worker.in_parts))
        worker.rest()
        self._rest(worker)

    # -- jobs

    def on_job(self, job: Job) -> None:
        """Give a job to an idle worker, or let it wait for one."""
        self._counters["jobs"] += 1
        pool = self._pools.get((job.member, job.request.service))
        if pool is None or not pool.offered or len(pool.waiting) >= HELD_PER_PEER_MAX:
            self._outputs.append(Finish(job.number, Unfinished.NOT_RUN))
            return
        if job.request.possible_duplicate and pool.options.duplicates == "refuse":
            text = "the request may have been run before, and this service takes no such request"
            self._outputs.append(Finish(job.number, ServiceError("POSSIBLE_DUPLICATE", text)))
            return
        body = to_body(job.request.payload, pool.options.frames)
        if isinstance(body, ServiceError):
            self._outputs.append(Finish(job.number, body))
            return
        self._jobs[job.number] = pool
        pool.waiting[job.number] = job
        if pool.idle:
            self._begin(pool.idle.popleft())

    def on_dropped(self, number: int) -> None:
        """Note that nobody waits for a job. A worker that has it cannot be told: it is busy until it answers."""
        holder = self._jobs.pop(number, None)
        if isinstance(holder, Worker):
            holder.job = None
            holder.forget_parts()
            self._tell_concurrency(holder.pool)
        elif holder is not None:
            del holder.waiting[number]

    def _begin(self, worker: Worker) -> None:
        """Give an idle worker the job that has waited for longest. There is one."""
        pool = worker.pool
        job = pool.waiting.pop(next(iter(pool.waiting)))
        body = to_body(job.request.payload, pool.options.frames)
        assert isinstance(body, list)
        self._tokens += 1
        worker.token = b"%08x" % self._tokens
        worker.job, worker.deadline = job, job.request.deadline
        self._jobs[job.number] = worker
        self._outputs.append(Send(worker.peer, wire.request(worker.dialect, worker.token, body)))

    def _rest(self, worker: Worker) -> None:
        """Let a worker without a request have one, or be idle."""
        worker.pool.idle.append(worker)
        if worker.pool.waiting:
            self._begin(worker.pool.idle.popleft())
        self._tell_concurrency(worker.pool)

    def _finish(self, worker: Worker, outcome: bytes | ServiceError | Unfinished) -> None:
        """End the job of a worker, which is busy all the same until it says so itself."""
        assert worker.job is not None
        del self._jobs[worker.job.number]
        self._outputs.append(Finish(worker.job.number, outcome))
        worker.job = None
        worker.forget_parts()

    def _tell_concurrency(self, pool: Pool) -> None:
        concurrency = 0 if self.draining else pool.concurrency
        if concurrency == pool.offered:
            return
        if concurrency:
            self._outputs.append(Offer(pool.member, pool.service, concurrency))
        else:
            self._outputs.append(Withdraw(pool.member, pool.service))
        pool.offered = concurrency

    # -- ends of workers

    def on_gone(self, peer: Peer) -> None:
        """Note the end of a connection: what its worker had may have been run."""
        self._denied.pop(peer, None)
        self._unserved.discard(peer)
        worker = self._workers.get(peer)
        if worker is not None:
            self._forget(worker)

    def on_unsent(self, send: Send) -> None:
        """Note that a worker has not got what was sent. If it was a request, another one gets it."""
        worker = self._workers.get(send.peer)
        if worker is None:
            return
        job = worker.job
        if job is not None and worker.token in send.frames:
            worker.rest()
            waiting = worker.pool.waiting
            worker.pool.waiting = {job.number: job, **waiting}
            self._jobs[job.number] = worker.pool
        self._forget(worker)

    def on_refused(self, member: str, service: str, now: float) -> None:
        """Note that the member may not provide a service after all: its workers are denied it, without an answer."""
        pool = self._pools.get((member, service))
        if pool is None:
            return
        self._give_back(pool)
        workers = tuple(pool.workers)
        for worker in workers:
            self._forget(worker)
            self._denied[worker.peer] = now + DENIED_S, worker.dialect
        self._start_ticking(now)

    def _disconnect(self, worker: Worker) -> None:
        self._forget(worker)
        self._tell_disconnect(worker.peer, worker.dialect)

    def _turn_away(self, worker: Worker) -> None:
        """Part with a worker whose dialect is not spoken: nothing more is heard from its connection."""
        self._counters["denied"] += 1
        self._disconnect(worker)
        self._unserved.add(worker.peer)

    def _tell_disconnect(self, peer: Peer, dialect: WorkerDialect) -> None:
        self._counters["disconnects"] += 1
        self._outputs.append(Send(peer, wire.told(dialect, Command.DISCONNECT)))

    def _forget(self, worker: Worker) -> None:
        """Let a worker be a stranger again."""
        pool = worker.pool
        if worker.job is not None:
            self._counters["lost"] += 1
            self._finish(worker, Unfinished.UNKNOWN)
        del self._workers[worker.peer]
        pool.workers.discard(worker)
        if worker in pool.idle:
            pool.idle.remove(worker)
        if not pool.concurrency:
            self._give_back(pool)
        if not pool.workers:
            del self._pools[pool.member, pool.service]
        elif pool.waiting and pool.idle:
            self._begin(pool.idle.popleft())
        self._tell_concurrency(pool)

    def _give_back(self, pool: Pool) -> None:
        for number in pool.waiting:
            del self._jobs[number]
            self._outputs.append(Finish(number, Unfinished.NOT_RUN))
        pool.waiting.clear()

    # -- time

    def _start_ticking(self, now: float) -> None:
        if self._next_tick is None:
            self._next_tick = now + HEARTBEAT_S

    def on_timer(self, now: float) -> None:
        """Let the silent go, and tell the others that the bridge is alive."""
        if self._next_tick is None or now < self._next_tick:
            return
        for peer, (due, dialect) in tuple(self._denied.items()):
            if due <= now:
                del self._denied[peer]
                self._tell_disconnect(peer, dialect)
        for worker in tuple(self._workers.values()):
            silent_since = max(worker.heard, worker.deadline) if worker.token else worker.heard
            if now - silent_since > SILENCE_S_MAX:
                self._disconnect(worker)
            else:
                self._outputs.append(Send(worker.peer, wire.told(worker.dialect, Command.HEARTBEAT)))
                if worker.token and worker.job is None and now - worker.deadline > IN_VAIN_S_MAX:
                    self._expect_nothing(worker)
        self._next_tick = now + HEARTBEAT_S if self._workers or self._denied else None

    def _expect_nothing(self, worker: Worker) -> None:
        """Count a worker as stuck. Where all are, callers hear at once that nobody serves them."""
        worker.stuck = True
        if not worker.pool.concurrency:
            self._give_back(worker.pool)
        self._tell_concurrency(worker.pool)

    # -- the end

    def drain(self) -> None:
        """Provide nothing any more. Workers that have a request may answer it."""
        self.draining = True
        for pool in self._pools.values():
            self._give_back(pool)
            self._tell_concurrency(pool)

    def say_goodbye(self) -> None:
        """Tell all workers to register anew, with the bridge that comes next."""
        for worker in tuple(self._workers.values()):
            self._disconnect(worker)

    def validate_state(self) -> None:
        """Assert that the tables agree. For tests."""
        assert len(self._workers) + len(self._denied) + len(self._unserved) <= PEERS_MAX
        assert not self._workers.keys() & self._denied.keys()
        assert not self._unserved & (self._workers.keys() | self._denied.keys())
        assert set(self._workers.values()) == {worker for pool in self._pools.values() for worker in pool.workers}
        running = {worker.job.number: worker for worker in self._workers.values() if worker.job is not None}
        waiting = {number: pool for pool in self._pools.values() for number in pool.waiting}
        assert self._jobs == running | waiting
        for key, pool in self._pools.items():
            assert key == (pool.member, pool.service)
            assert pool.workers
            assert {*pool.idle} == {worker for worker in pool.workers if not worker.token}
            assert len(pool.idle) == len({*pool.idle})
            assert not pool.idle or not pool.waiting
            assert len(pool.waiting) <= HELD_PER_PEER_MAX
            assert pool.offered == (0 if self.draining else pool.concurrency)
            assert pool.offered or not pool.waiting
        for worker in self._workers.values():
            assert len(worker.parts) <= PARTS_MAX or not worker.in_parts
            assert worker.parts_bytes <= self._payload_bytes_max
            assert not worker.stuck or (worker.token and worker.job is None)
        assert self._next_tick is not None or not (self._workers or self._denied)
