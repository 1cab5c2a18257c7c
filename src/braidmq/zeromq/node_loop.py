"""The node's shell on asyncio: one event loop, one disposable socket per broker, no thread of its own.

The descriptor of a ZeroMQ socket is edge-triggered, and any call on the socket may consume the edge. So reading
goes on until the socket is empty or its turn is over, in which case it schedules itself; and after every send
the socket is asked again. The simulator's node, simulation/node.py, follows the order of its turn.
"""

import asyncio
import contextlib
import contextvars
import random
import secrets
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from braidmq import __version__
from braidmq.clock import monotonic
from braidmq.core.ids import SECRET_BYTES
from braidmq.core.intake import WAITING_BYTES_MAX
from braidmq.core.job import Job
from braidmq.core.link import Action, Close, Failure, Resolve, Step
from braidmq.core.node import NodeCore
from braidmq.errors import BraidError, NodeClosed, ServiceError
from braidmq.loggers import own_logger
from braidmq.messages import Reply
from braidmq.observer import NodeObserver
from braidmq.settings import Settings
from braidmq.threads import DaemonThreads
from braidmq.trust.joinfile import JoinFile
from braidmq.zeromq.connections import Connections
from braidmq.zeromq.contained_observer import contained
from braidmq.zeromq.dealer import ConnectError, Dealer
from braidmq.zeromq.event_lines import log_event
from braidmq.zeromq.lookups import Lookups
from braidmq.zeromq.sockets import FRAMES_MAX
from braidmq.zeromq.trusted import address_of, keyring_of, verifier

BLOCKED_S: Final = 0.002
"""How soon a broker whose pipe was full is tried again: reading may have consumed the edge that tells of room."""

LATE_S: Final = 0.05
"""How late a turn may be before everything that has come is read first: who has stood still must not take that for the
silence of others."""

STALL_S: Final = 0.5
"""How long the event loop must have stood still for that to be told: a third of the silence after which a broker gives
a node no new work, and more than a busy machine causes all the time."""

TIMER_SLACK_S: Final = 0.002
"""How much later than due the timer is set: uvloop counts in whole milliseconds, and may call more than one too early,
when nothing is due yet."""

_LOG = own_logger("braidmq.node")


class Jobs(Protocol):
    """What runs the handlers of a node."""

    def run(self, job: Job) -> None:
        """Start a job: asks `begin` before the handler, and tells its end once: `finish`, `refuse` or `give_back`."""

    def stop(self, job: Job) -> None:
        """Ask a running job to stop; its end is still told."""


class NodeLoop:
    """One node. Create it inside a running event loop, and end it with `close`.

    Attributes:
        clock: returns the time, in seconds.
        closed: whether it has ended.
        core: the node itself.
        connections: its sockets, for whoever gives them back when this is not closed.

    Args:
        identity: the node's join file.
        settings: see Settings.
        observer: is told what happens to calls and jobs.
        on_stall: is told for how many seconds the event loop stood still, if it did so for a noticeable time.

    Raises:
        NoRoom: this process may not have the descriptors or the threads for it.
    """

    def __init__(
        self,
        identity: JoinFile,
        settings: Settings,
        *,
        on_stall: Callable[[float], None],
        observer: NodeObserver | None = None,
    ) -> None:
        self.clock = monotonic
        self._loop = asyncio.get_running_loop()
        self._home = contextvars.copy_context()  # of all turns: what they do and log is not that of who called last
        self._identity = identity
        self._settings = settings
        self._jobs: Jobs | None = None
        self._on_stall = on_stall
        self.connections = Connections()
        self._lookups = Lookups(self._on_lookup)
        self._dealers: dict[str, Dealer] = self.connections.dealers
        self._retries: dict[str, asyncio.TimerHandle] = {}
        self._futures: dict[bytes, asyncio.Future[Reply]] = {}
        self._used: dict[str, Dealer] = {}
        self._turn_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self.closed = False
        self._wakers: set[asyncio.Future[None]] = set()
        now = self.clock()
        self.core = NodeCore(
            identity.certificate.member,
            settings,
            random.Random(random.SystemRandom().getrandbits(128)),  # noqa: S311 - seeded from the system's
            verifier(identity.authority_key, identity.net),
            secret=secrets.token_bytes(SECRET_BYTES),
            software=f"braidmq {__version__}",
            now=now,
            keyring=keyring_of(identity),
            observer=None if observer is None else contained(observer, NodeObserver, _LOG),
        )

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
        for broker in self._identity.brokers:
            self.core.learn(address_of(broker), now)
        for certificate in remembered:
            self.core.remember(certificate, now)
        self._turn()

    def request(
        self,
        service: object,
        payload: object,
        timeout_s: object = None,
        attempts: object = None,
        via: object = None,
        headers: object = None,
        wait: object = None,
        nested: int = 0,
    ) -> tuple[bytes, "asyncio.Future[Reply]"]:
        """Begin a call; return its id, and the future of its end. Raises what ClientCore.request raises."""
        if self.closed:
            raise NodeClosed("the node is closed")
        client = self.core.client
        id_ = client.request(service, payload, self.clock(), timeout_s, attempts, via, headers, wait, nested)
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._futures[id_] = future
        if not self._turn_scheduled:
            if len(client) == 1:
                self._turn_at_once()  # alone, it waits for no others to share its frame
            else:
                self.schedule()
        return id_, future

    def give_up(self, id_: bytes) -> None:
        """Note that nobody waits for the end of a call any more, if it has not ended."""
        if self._futures.pop(id_, None) is not None:
            self.core.client.cancel(id_, self.clock())
            if not self._loop.is_closed():  # else its caller is collected with it
                self.schedule()

    def finish(self, job: Job, outcome: bytes | ServiceError | None, now: float) -> None:
        """Take the end of a job: its result, its error, or None if it was stopped."""
        if self.closed:
            return
        worker = self.core.worker
        worker.on_done(job, outcome, now)
        if not self._turn_scheduled:
            if len(worker) == 0:
                self._turn_at_once()  # no other reply is to come that could share its frame
            else:
                self.schedule()

    def begin(self, job: Job) -> bool:
        """Whether the handler of a job may begin now; if not, the job has ended."""
        worker, now = self.core.worker, self.clock()
        if worker.must_look(job, now):
            dealer = self._dealers.get(job.link.name)
            if dealer is not None:
                self._look_at(dealer)
                now = self.clock()
        may_begin = worker.begin(job, now)
        if not may_begin:
            self.schedule()
        return may_begin

    def refuse(self, job: Job) -> None:
        """Take the end of a job whose deadline was over before a thread could begin it."""
        if not self.closed:
            self.core.worker.on_late(job, self.clock())
            self.schedule()

    def give_back(self, job: Job) -> None:
        """Take the end of a job that cannot be run here, as no thread can be started for it."""
        if not self.closed:
            self.core.worker.on_unable(job, self.clock())
            self.schedule()

    def schedule(self) -> None:
        """Let what the core has to do be done at the end of this turn of the event loop."""
        if not self._turn_scheduled and not self.closed:
            self._turn_scheduled = True
            self._loop.call_soon(self._on_scheduled, context=self._home)

    async def changed(self) -> None:
        """Wait until something has happened. Raises NodeClosed when nothing can happen any more."""
        if self.closed:
            raise NodeClosed("the node is closed")
        waker = self._loop.create_future()
        self._wakers.add(waker)
        try:
            await waker
        finally:
            self._wakers.discard(waker)

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
        for name in list(self._dealers):
            # A broker that has not welcomed this node was sent nothing: libzmq would linger for its handshake.
            self._close_dealer(name, linger_s if self.core.links.links[name].open else 0.0)
        for future in self._futures.values():
            if not future.done():
                future.set_exception(NodeClosed("the node was closed before the answer came"))
        self._futures.clear()
        for waker in self._wakers:
            if not waker.done():
                waker.set_exception(NodeClosed("the node was closed"))
        self._lookups.close()
        self.connections.close()

    def dispose(self) -> None:
        """End where the event loop has ended: nobody waits for anything any more."""
        if not self.closed:
            self.closed = True
            self._lookups.close()
            self.connections.close()

    # -- one turn

    def _turn_at_once(self) -> None:
        self._home.copy().run(self._turn)  # a copy: eager tasks may call in the middle of a turn

    def _turn(self) -> None:
        """Do what the core asks for."""
        self._turn_scheduled = False
        if self.closed:
            return
        core, now = self.core, self.clock()
        self._send()  # before the rest of the turn: whoever waits for it goes on meanwhile
        if now >= self._timer_due:
            self._cancel_timer()  # it may come as much as TIMER_SLACK_S after this turn
            if now - self._timer_due >= LATE_S:
                for dealer in list(self._dealers.values()):
                    self._look_at(dealer)
            core.on_timer(now)
            if core.links.stalled_s >= STALL_S:
                self._on_stall(core.links.stalled_s)
        self._hand_out()
        self._act(now)
        self._send()
        used, self._used = self._used, {}
        for dealer in used.values():
            self._look_after(dealer)
        for event in core.take_events():
            log_event(_LOG, event)
        self._set_timer()
        if self._wakers:
            for waker in self._wakers:
                if not waker.done():
                    waker.set_result(None)

    def _send(self) -> None:
        for name, messages in self.core.take_sends().items():
            dealer = self._dealers.get(name)
            if dealer is not None:
                dealer.send(messages)
                self._used[name] = dealer

    def _hand_out(self) -> None:
        """Start the jobs that have come, stop those that nobody waits for, and wake whose calls have ended."""
        core, jobs = self.core, self._jobs
        assert jobs is not None
        for job in core.worker.take_jobs():
            jobs.run(job)
        for job in core.worker.take_cancels():
            jobs.stop(job)
        for id_, outcome in core.client.take_results():
            self._complete(id_, outcome)

    def _act(self, now: float) -> None:
        """Look up addresses, open and close connections, until nothing more follows from it."""
        core = self.core
        while True:
            for name, addresses in self._lookups.take():
                core.on_resolved(name, addresses, now)
            actions = core.take_actions()
            if not actions:
                return
            for action in actions:
                self._perform(action, now)

    def _look_after(self, dealer: Dealer) -> None:
        """Look at a connection that was read or written to, as that may have consumed the edge of its descriptor."""
        if self._dealers.get(dealer.name) is not dealer:
            return
        if dealer.overflowed or dealer.flooded:
            self._fail(dealer, Failure.FLOODED if dealer.flooded else Failure.TOO_SLOW)
        elif dealer.has_more():
            self._loop.call_soon(self._on_frames, dealer, context=self._home)
        elif dealer.blocked:
            self._retry_soon(dealer)

    def _retry_soon(self, dealer: Dealer) -> None:
        """Look at a connection again whose pipe was full; once, however often this is asked for."""
        if dealer.name not in self._retries:
            self._retries[dealer.name] = self._loop.call_later(BLOCKED_S, self._retry, dealer, context=self._home)

    def _retry(self, dealer: Dealer) -> None:
        del self._retries[dealer.name]
        self._on_frames(dealer)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        due = self.core.next_deadline()
        if self._timer is not None and self._timer_due <= due:
            return
        self._cancel_timer()
        self._timer_due = due
        delay_s = max(0.0, due - self.clock()) + TIMER_SLACK_S
        self._timer = self._loop.call_later(delay_s, self._on_time, context=self._home)

    def _on_lookup(self) -> None:
        """Called from another thread: addresses are known."""
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self.schedule, context=self._home)

    def _on_scheduled(self) -> None:
        if self._turn_scheduled:  # else there was a turn meanwhile
            self._turn()

    def _on_time(self) -> None:
        self._timer = None
        if not self._turn_scheduled:
            self._turn()
        elif not self.closed:
            self._set_timer()

    def _complete(self, id_: bytes, outcome: Reply | BraidError) -> None:
        future = self._futures.pop(id_, None)
        if future is None or future.done():
            return
        if isinstance(outcome, Reply):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)

    # -- sockets

    def _perform(self, action: Action, now: float) -> None:
        if isinstance(action, Close):
            self._close_dealer(action.name)
            return
        if isinstance(action, Resolve):
            self._lookups.begin(action.name, action.endpoints)
            return
        try:
            dealer = Dealer(self.connections.context, self._settings, self._identity, action)
        except ConnectError as error:
            _LOG.debug("%s at %s: %s", action.name, action.endpoint, error)
            self.core.on_failed(action.name, error.failure, [], now)
            self.schedule()
            return
        self._dealers[action.name] = dealer
        self._loop.add_reader(dealer.socket.fileno(), self._on_frames, dealer)
        self._loop.add_reader(dealer.monitor.socket.fileno(), self._on_events, dealer)
        self._loop.call_soon(self._on_events, dealer, context=self._home)

    def _close_dealer(self, name: str, linger_s: float = 0.0) -> list[bytes]:
        dealer = self._dealers.pop(name, None)
        if dealer is None:
            return []
        retry = self._retries.pop(name, None)
        if retry is not None:
            retry.cancel()
        self._loop.remove_reader(dealer.socket.fileno())
        self._loop.remove_reader(dealer.monitor.socket.fileno())
        return dealer.close(linger_s)

    def _fail(self, dealer: Dealer, failure: Failure) -> None:
        unsent = self._close_dealer(dealer.name)
        self.core.on_failed(dealer.name, failure, unsent, self.clock())
        self.schedule()

    def _on_frames(self, dealer: Dealer) -> None:
        if self._dealers.get(dealer.name) is not dealer:
            return
        now = self.clock()
        before = dealer.unread
        for frame in dealer.receive():
            self.core.on_frame(dealer.name, frame, now)
        if dealer.unread != before:
            self.core.on_unread(dealer.name, dealer.unread)
        dealer.flush()
        self._used[dealer.name] = dealer
        self._hand_out()
        self.schedule()  # after whatever that has woken, so that what it sends shares a frame

    def _on_events(self, dealer: Dealer) -> None:
        if self._dealers.get(dealer.name) is not dealer:
            return
        for event in dealer.events():
            if isinstance(event, Failure):
                self._drain_frames(dealer)
                self._fail(dealer, event)
                return
            if event is Step.REACHED:
                self.core.on_reached(dealer.name)
            else:
                self.core.on_connected(dealer.name, self.clock())
                self.schedule()

    def _look_at(self, dealer: Dealer) -> None:
        """Read all that has come over a connection, and whether it has ended: something is judged by it next."""
        if self._dealers.get(dealer.name) is dealer:
            self._drain_frames(dealer)
            self._on_events(dealer)
            self._used[dealer.name] = dealer
            self.schedule()

    def _drain_frames(self, dealer: Dealer) -> None:
        """Take what has arrived, at most FRAMES_MAX frames: an answer in it spares its request a retry.

        And not as many bytes as would be taken for a flood.
        """
        now = self.clock()
        frames = size = 0
        while frames < FRAMES_MAX and size < WAITING_BYTES_MAX // 2 and dealer.has_more():
            for frame in dealer.receive():
                frames += 1
                size += len(frame)
                self.core.on_frame(dealer.name, frame, now)
