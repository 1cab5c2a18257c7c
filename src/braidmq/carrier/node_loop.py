"""The node's shell on asyncio: one event loop, one disposable socket per broker, no thread of its own.

What a descriptor tells of is read at once; the turn comes after whatever that has woken, so that what it sends shares a
frame. A call or a reply that is alone does not wait for others: its turn is at once.
"""

import asyncio
import contextlib
import contextvars
import random
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from braidmq import __version__
from braidmq.carrier.connections import Connections, part
from braidmq.carrier.dialed import Broker
from braidmq.carrier.dialer import Dialer
from braidmq.carrier.loop_host import LoopHost
from braidmq.carrier.nearby import Nearby
from braidmq.carrier.options import frame_bytes_max
from braidmq.carrier.papers import NodePapers
from braidmq.carrier.trusted import keyring_of
from braidmq.core.ids import SECRET_BYTES
from braidmq.core.node.node import NodeCore
from braidmq.core.registry.ends import LOOK_S
from braidmq.core.worker.job import Job
from braidmq.errors import BraidError, NodeClosed, ServiceError
from braidmq.host.clock import TIMER_SLACK_S, monotonic, unix_time
from braidmq.host.contained_observer import contained
from braidmq.host.loggers import own_logger
from braidmq.host.threads import DaemonThreads
from braidmq.messages import Reply
from braidmq.observer import NodeObserver
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile
from braidmq.turn.node import NodeTurn
from braidmq.wire.control import Bridging
from braidmq.wire.limits import CONTROL_BYTES_MAX, MESSAGE_BYTES_MAX
from braidmq.zmtp.handshake import KeyPair

STALL_S: Final = 0.5
"""How long the event loop must have stood still for that to be told: a third of the silence after which a broker gives
a node no new work, and more than a busy machine causes all the time. Of a standstill that begins while the node rests
(NodeCore.rest), as much as is left of that rest does not show."""

FIRST_LOOK_S: Final = 1.0
"""When it is told for the first time that the node's certificate ends soon: once brokers have said what time it is."""

_LOG = own_logger("braidmq.node")


class Jobs(Protocol):
    """What runs the handlers of a node."""

    @property
    def taken(self) -> int:
        """How many jobs were taken and are still to be started."""

    def take(self, job: Job) -> None:
        """Take a job, which is run: `begin` is asked before the handler, and its end is told once.

        That is `finish`, `decline` or `disown`; or `refuse` or `give_back` if the handler has not begun.
        """

    def start(self) -> None:
        """Start the jobs that were taken. Handlers may begin before this returns, and may do whatever they may do."""

    def stop(self, job: Job) -> None:
        """Ask a running job to stop; its end is still told."""


class NodeLoop(LoopHost):
    """One node. Create it inside a running event loop, and end it with `close`.

    Attributes:
        clock: returns the time, in seconds.
        closed: whether it has ended.
        core: the node itself.
        papers: its own certificate and its list of brokers.
        connections: its sockets, for whoever gives them back when this is not closed.
        observer: is told what happens, and never raises; None if nobody listens.

    Args:
        identity: the node's join file.
        settings: see Settings.
        observer: is told what happens to calls and jobs.
        on_stall: is told for how many seconds the event loop stood still, if it did so for a noticeable time.
        papers: what the node has of its net by signature, if that is more than what is in the join file.
    """

    def __init__(
        self,
        identity: JoinFile,
        settings: Settings,
        *,
        on_stall: Callable[[float], None],
        observer: NodeObserver | None = None,
        papers: NodePapers | None = None,
    ) -> None:
        super().__init__(self._on_lookup, _LOG)
        papers = papers or NodePapers(identity)
        self.clock = monotonic
        self._loop = asyncio.get_running_loop()
        self._home = contextvars.copy_context()  # of all turns: what they do and log is not that of who called last
        self.papers = papers
        self._settings = settings
        self._jobs: Jobs | None = None
        self._on_stall = on_stall
        self.connections = Connections()
        self._futures: dict[bytes, asyncio.Future[Reply]] = {}
        self._turn_scheduled = False
        self._start_scheduled = False
        self._turn_owed = False
        self._reads_on = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._clock_timer: asyncio.TimerHandle | None = None
        self.closed = False
        self._wakers: set[asyncio.Future[None]] = set()
        self._link_wakers: set[asyncio.Future[None]] = set()
        self._links_seen = 0
        self.observer = None if observer is None else contained(observer, NodeObserver, _LOG)
        now = self.clock()
        self.core = NodeCore(
            papers.member,
            settings,
            random.Random(random.SystemRandom().getrandbits(128)),  # noqa: S311 - seeded from the system's
            papers.verify,
            secret=secrets.token_bytes(SECRET_BYTES),
            software=f"braidmq {__version__}",
            now=now,
            keyring=keyring_of(identity, papers.certificate),
            observer=self.observer,
            papers=papers,
        )
        pair = KeyPair(identity.public_key, identity.secret_key)
        nearby = Nearby(identity.net, identity.authority_key)
        self._dialer = Dialer(
            self.connections.brokers,
            settings,
            pair,
            self,
            nearby,
            message_bytes_max=max(frame_bytes_max(settings), CONTROL_BYTES_MAX),
            passed_bytes_max=MESSAGE_BYTES_MAX,
            net=identity.net,
        )
        self._node_turn = NodeTurn(self.core, self._dialer, self)

    @property
    def here(self) -> bool:
        """Whether it goes on, and the caller runs in its event loop."""
        try:
            return not self.closed and asyncio.get_running_loop() is self._loop
        except RuntimeError:  # no event loop runs here
            return False

    @property
    def lookup_threads(self) -> DaemonThreads:
        """The threads that look up addresses, for whoever ends them when this is not closed."""
        return self._lookups.threads

    def start(self, jobs: Jobs, remembered: Iterable[bytes] = ()) -> None:
        """Begin to connect to the brokers of the join file, and to those of the certificates that are `remembered`.

        Args:
            jobs: what runs the handlers of this node.
            remembered: certificates of brokers.
        """
        self._jobs = jobs
        now = self.clock()
        for address in self.papers.brokers(remembered):
            self.core.learn(address, now)
        self._turn()
        self._look_at_clock_after(FIRST_LOOK_S)

    def change_identity(self, identity: JoinFile) -> None:
        """Go on with another join file of this node: with another key it connects anew, to one broker after the other.

        Raises:
            ConfigError: it is the file of another net, or of another member.
        """
        papers = self.papers
        changed = papers.change(identity)
        self.core.change_keyring(keyring_of(identity, papers.certificate))
        if changed:
            self._dialer.change_keys(KeyPair(identity.public_key, identity.secret_key))
            self.core.renew()
            _LOG.info("%s has a new key, and connects anew with it", identity.name)
            self.schedule()

    def request(
        self,
        service: object,
        payload: object,
        timeout_s: object = None,
        attempts: object = None,
        via: object = None,
        metadata: Mapping[str, object] | None = None,
        wait: object = None,
        nested: int = 0,
        own_id: object = None,
        possible_duplicate: object = False,
    ) -> tuple[bytes, "asyncio.Future[Reply]"]:
        """Begin a call; return its id, and the future of its end. Raises what ClientCore.request raises."""
        if self.closed:
            raise NodeClosed("the node is closed")
        core = self.core
        id_ = core.request(
            service, payload, self.clock(), timeout_s, attempts, via, metadata, wait, nested, own_id, possible_duplicate
        )
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._futures[id_] = future
        if not self._turn_scheduled:
            if core.calls == 1:
                self._turn_at_once()  # alone, it waits for no others to share its frame
            else:
                self.schedule()
        return id_, future

    def give_up(self, id_: bytes) -> None:
        """Note that nobody waits for the end of a call any more, if it has not ended."""
        if self._futures.pop(id_, None) is not None:
            self.core.give_up(id_, self.clock())
            if not self._loop.is_closed():  # else its caller is collected with it
                self.schedule()

    def finish(self, job: Job, outcome: bytes | ServiceError | None, now: float) -> None:
        """Take the end of a job: its result, its error, or None if it was stopped."""
        if self.closed:
            return
        self.core.finish(job, outcome, now)
        if not self._turn_scheduled:
            if self.core.jobs == 0:
                self._turn_at_once()  # no other reply is to come that could share its frame
            else:
                self.schedule()

    def decline(self, job: Job) -> None:
        """Take the end of a job whose handler says that it has done nothing."""
        if not self.closed:
            self.core.decline(job, self.clock())
            self.schedule()

    def disown(self, job: Job) -> None:
        """Take the end of a job whose handler does not know what became of it."""
        if not self.closed:
            self.core.disown(job, self.clock())
            self.schedule()

    def begin(self, job: Job) -> bool:
        """Whether the handler of a job may begin now; if not, the job has ended."""
        may_begin = self._node_turn.begin(job, self.clock())
        if not may_begin or self._node_turn.has_read:
            self.schedule()
        return may_begin

    def refuse(self, job: Job) -> None:
        """Take the end of a job whose deadline was over before a thread could begin it."""
        if not self.closed:
            self.core.refuse(job, self.clock())
            self.schedule()

    def give_back(self, job: Job) -> None:
        """Take the end of a job that cannot be run here, as no thread can be started for it."""
        if not self.closed:
            self.core.give_back(job, self.clock())
            self.schedule()

    def offer(self, service: str, concurrency: int) -> None:
        """Provide a service from now on. Raises ConfigError."""
        self.core.offer(service, concurrency, self.clock())
        self.schedule()

    def resize(self, service: str, concurrency: int) -> None:
        """Let so many requests of a service run at once from now on. Raises ConfigError."""
        self.core.resize(service, concurrency, self.clock())
        self.schedule()

    def withdraw(self, service: str) -> list[Job]:
        """Provide a service no more; return what has begun, which goes on. Raises ConfigError."""
        begun = self.core.withdraw(service, self.clock())
        self.schedule()
        return begun

    def tell_of_bridge(self, told: Bridging) -> None:
        """Tell all brokers what this node is as a bridge."""
        if not self.closed:
            self.core.tell_of_bridge(told, self.clock())
            self.schedule()

    def stop_jobs(self, jobs: list[Job]) -> None:
        """Ask the handlers of some jobs to stop, as far as they run yet."""
        self.core.worker.stop(jobs)
        self.schedule()

    def schedule(self) -> None:
        """Let what the core has to do be done at the end of this turn of the event loop."""
        if not self._turn_scheduled and not self.closed:
            self._turn_scheduled = True
            self._loop.call_soon(self._on_scheduled, context=self._home)

    async def changed(self) -> None:
        """Wait until something has happened. Raises NodeClosed when nothing can happen any more."""
        await self._wait_among(self._wakers)

    async def links_changed(self) -> None:
        """Wait until something may have changed of the brokers and their lists. Raises NodeClosed as `changed` does."""
        await self._wait_among(self._link_wakers)

    async def _wait_among(self, wakers: "set[asyncio.Future[None]]") -> None:
        if self.closed:
            raise NodeClosed("the node is closed")
        waker = self._loop.create_future()
        wakers.add(waker)
        try:
            await waker
        finally:
            wakers.discard(waker)

    async def drain(self) -> None:
        """Take no new requests, and wait until nothing is left, at most drain_s."""
        self.core.drain(self.clock())
        self.schedule()
        try:
            async with asyncio.timeout(self._settings.drain_s):
                while not self.core.idle:
                    await self.changed()
        except TimeoutError:
            _LOG.warning("drain timed out after %g s; unfinished work abandoned", self._settings.drain_s)

    def close(self, linger_s: float = 0.0) -> None:
        """End at once: calls that are left raise NodeClosed. What was sent may leave within `linger_s`."""
        if not self.closed:
            self._turn()
            self.abort(linger_s)

    def abort(self, linger_s: float = 0.0) -> None:
        """End as `close` does, but leave undone what the core still asks for."""
        if self.closed:
            return
        self.closed = True
        self._cancel_timer()
        if self._clock_timer is not None:
            self._clock_timer.cancel()
        brokers = self.connections.brokers
        if linger_s:
            part([brokers[name] for name in brokers if self.core.brokers[name].open], linger_s)
        for name in list(brokers):
            self._dialer.close(name)
        for future in self._futures.values():
            if not future.done():
                future.set_exception(NodeClosed("the node was closed before the answer came"))
        self._futures.clear()
        for waker in (*self._wakers, *self._link_wakers):
            if not waker.done():
                waker.set_exception(NodeClosed("the node was closed"))
        self.end_lookups()
        self.connections.close()

    def dispose(self) -> None:
        """End where the event loop has ended: nobody waits for anything any more."""
        if not self.closed:
            self.closed = True
            self.end_lookups()
            self.connections.close()

    # -- one turn

    def _turn_at_once(self) -> None:
        self._home.copy().run(self._turn)  # a copy: handlers that begin at once may call in the context of a turn
        if self._jobs is not None and self._jobs.taken and not self._start_scheduled:
            self._start_scheduled = True
            self._loop.call_soon(self._start_jobs, context=self._home)  # not within whatever calls here

    def _start_jobs(self) -> None:
        self._start_scheduled = False
        if self._jobs is not None and not self.closed:
            self._jobs.start()

    def _turn(self) -> None:
        """Do what the core asks for."""
        self._turn_scheduled = self._turn_owed = False
        if self.closed:
            return
        now = self.clock()
        if now >= self._node_turn.due:
            self._cancel_timer()  # it may come as much as TIMER_SLACK_S after this turn
        due = self._node_turn.run(now)
        self._set_timer(due, now)
        if self._wakers:
            _wake(self._wakers)
        if self._link_wakers and self._links_seen != self.core.links.version:
            self._links_seen = self.core.links.version
            _wake(self._link_wakers)

    def _on_told(self, broker: Broker) -> None:
        """The system has something to tell of a connection."""
        if self.connections.brokers.get(broker.name) is broker:
            self._dialer.mark(broker)
            self._read()

    def _read(self) -> None:
        if self.closed:
            return
        self._node_turn.read(self.clock())
        if self._dialer.has_more and not self._reads_on:
            self._reads_on = True
            self._loop.call_soon(self._read_on, context=self._home)  # after what has come meanwhile
        self._turn_owed = True
        self._start_jobs()
        if self._turn_owed:
            self.schedule()  # after whatever that has woken, so that what it sends shares a frame

    def _read_on(self) -> None:
        self._reads_on = False
        self._read()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, due: float, now: float) -> None:
        if self._timer is not None and self._timer_due <= due:
            return
        self._cancel_timer()
        self._timer_due = due
        delay_s = max(0.0, due - now) + TIMER_SLACK_S
        self._timer = self._loop.call_later(delay_s, self._on_time, context=self._home)

    def _on_lookup(self) -> None:
        """Called from another thread: addresses are known."""
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self.schedule, context=self._home)

    def _on_scheduled(self) -> None:
        if self._turn_scheduled:  # else there was a turn meanwhile
            self._turn()
            self._start_jobs()

    def _on_time(self) -> None:
        self._timer = None
        if not self._turn_scheduled:
            self._turn()
            self._start_jobs()

    def _look_at_clock_after(self, delay_s: float) -> None:
        self._clock_timer = self._loop.call_later(delay_s, self._look_at_clock, context=self._home)

    def _look_at_clock(self) -> None:
        """Let the core tell what ends."""
        self.core.on_clock(unix_time(), self.clock())
        self.schedule()
        self._look_at_clock_after(LOOK_S)

    # -- for the dialer (see Watcher)

    def watch(self, broker: Broker) -> None:
        """Wait from now on until a connection can be read."""
        self._loop.add_reader(broker.descriptor, self._on_told, broker)

    def watch_writing(self, broker: Broker, *, wanted: bool) -> None:
        """Wait until it can be written as well, or no longer."""
        if wanted:
            self._loop.add_writer(broker.descriptor, self._on_told, broker)
        else:
            self._loop.remove_writer(broker.descriptor)

    def unwatch(self, broker: Broker) -> None:
        """Wait for it no more."""
        self._loop.remove_reader(broker.descriptor)
        self._loop.remove_writer(broker.descriptor)

    # -- for the turn (see NodeHost)

    def on_stall(self, stalled_s: float) -> None:
        """Note that this process has stood still."""
        if stalled_s >= STALL_S:
            self._on_stall(stalled_s)

    def run_job(self, job: Job) -> None:
        """Take a job, which is started when this turn of the core is over."""
        assert self._jobs is not None
        self._jobs.take(job)

    def stop_job(self, job: Job) -> None:
        """Ask a job to stop."""
        assert self._jobs is not None
        self._jobs.stop(job)

    def complete(self, id_: bytes, outcome: Reply | BraidError) -> None:
        """Give the end of a call to whoever waits for it."""
        future = self._futures.pop(id_, None)
        if future is None or future.done():
            return
        if isinstance(outcome, Reply):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)


def _wake(wakers: "set[asyncio.Future[None]]") -> None:
    for waker in wakers:
        if not waker.done():
            waker.set_result(None)
