"""What can be watched of a node and of a broker: classes whose methods do nothing, to derive from.

Whoever gives an observer to a node (`Node(..., observer=...)`) or to a broker (`braidmq broker --observer
MODULE:NAME`) has its methods called as things happen, in the thread and in the middle of the work of what is watched.
So they must be quick, and must not use the node. What they raise is logged once for each method and does no harm.

Times are seconds, as `time.monotonic` counts. The id of a request is the same for all of its attempts. Methods may be
added, and none gets further arguments.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

from braidmq.errors import BraidError
from braidmq.messages import Reply, Request


class AttemptEnd(StrEnum):
    """How one attempt of a call has ended."""

    ANSWERED = "answered"
    """By a reply: a result, or an error of the handler."""

    REJECTED = "rejected"
    """It was certainly not run."""

    UNSENT = "unsent"
    """It has never left this node."""

    LOST = "lost"
    """Its broker says that the worker is gone with it, or the reply does not count; it may have been run."""

    SILENT = "silent"
    """Nothing was heard of it for too long; it may have been run, and its answer still counts if it comes."""

    DISCONNECTED = "disconnected"
    """The connection to its broker has ended; it may have been run."""

    WITHDRAWN = "withdrawn"
    """Nobody waits for it any more: the call has ended by another attempt, by its deadline, or by its caller."""


class JobEnd(StrEnum):
    """How a request has ended that a worker had taken."""

    RESULT = "result"
    ERROR = "error"

    LOST = "lost"
    """Its handler was stopped, has raised OutcomeUnknown, or goes on after the deadline and nobody waits for it."""

    REFUSED = "refused"
    """Its handler was not called: its time was over, or its caller has given it up."""

    GIVEN_BACK = "given back"
    """It was not run: there was no place or no thread for it, its service was withdrawn, or its handler has raised
    NotRun."""


class GivenUp(StrEnum):
    """Why nobody waits any more for a request that a broker had taken."""

    CANCELLED = "cancelled"
    EXPIRED = "expired"
    CLIENT_GONE = "client gone"


class NodeObserver:
    """Watches a node: its calls and their attempts, and its jobs. Override what is of interest."""

    # -- as a client

    def on_call(self, id_: bytes, service: str, now: float) -> None:
        """A call has begun."""

    def on_attempt(self, id_: bytes, broker: str, number: int, now: float) -> None:
        """A call is sent over a broker; it is a retry unless `number` is 1.

        An attempt that was never sent, or has met no worker while the call waits for one, is not counted.
        """

    def on_attempt_end(self, id_: bytes, broker: str, how: AttemptEnd, reason: str, now: float) -> None:
        """The last attempt of a call has ended; `reason` is the broker's or worker's where it was rejected.

        It is NO_WORKER, BUSY, DRAINING, EXPIRED, DENIED, TOO_LARGE, or a number that a newer version knows.
        """

    def on_call_end(self, id_: bytes, outcome: Reply | BraidError | None, took_s: float, now: float) -> None:
        """A call has ended `took_s` after it began: with a reply, with an error, or with None as its caller gave it up.

        All its attempts have ended before.
        """

    # -- as a worker

    def on_job(self, id_: bytes, service: str, client: str, broker: str, now: float) -> None:
        """A request has come, and was taken: it runs next, or waits for a place."""

    def on_job_refused(self, id_: bytes, service: str, broker: str, reason: str, now: float) -> None:
        """A request has come, and was not taken; for the reasons see `on_attempt_end`."""

    def on_job_joined(self, id_: bytes, broker: str, now: float) -> None:
        """A further copy of a request has come that runs here or has run: it is answered likewise, and not run."""

    def on_job_begun(self, id_: bytes, now: float) -> None:
        """The handler of a request begins; one that blocks may have to wait for a thread first."""

    def on_job_end(self, id_: bytes, how: JobEnd, took_s: float, now: float) -> None:
        """A request that was taken has ended, `took_s` after its handler began; 0.0 if that has never begun."""

    def on_credit(self, service: str, broker: str, credit: int, now: float) -> None:
        """A broker may have so many requests of a service here at once from now on; 0 if it may have none any more."""

    # -- itself

    def on_lag(self, lag_s: float, now: float) -> None:
        """The event loop was `lag_s` late with what was due: told some times a second, to an observer with this method.

        It is 0.0 or little more unless something keeps the loop busy.
        """

    def on_stall(self, services: tuple[str, ...], stalled_s: float, now: float) -> None:
        """The event loop has stood still until now for `stalled_s`, 0.1 or more.

        `services` are those whose handlers may have done it, as they run on it or have ended meanwhile. Without any, it
        is told from half a second on, or from 0.8 s where nothing is under way: something else in the process, or the
        machine, has done it.
        """

    def on_closed(self, now: float) -> None:
        """The node has ended. What has begun and not ended by now is over, and is not told to end."""

    def on_certificate_end(self, member: str, left_s: float, now: float) -> None:
        """This node's own certificate ends in `left_s`; 0.0 or less: it has ended.

        It is told at most 30, 7 and 1 days before, and at the end, once each; at first some seconds after the start.
        """


HandlerEnd = Callable[[JobEnd, str], None]
"""Is told how a handler has ended; if with a ServiceError, with which code, and else with an empty one."""


class NodeTracer(NodeObserver):
    """An observer that also gives calls what they carry to handlers, and handlers a context: for tracing.

    Its methods are called in the context of the caller or of the handler, between their own steps. What they raise is
    logged once for each method; the call or the handler goes on without it.
    """

    def call_headers(self, service: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """A call is about to begin: return its headers, which may be those that its caller has given.

        If all goes well, `on_call` follows at once, before anything else of this node; else `call_refused`. Headers
        that do not fit into a request are not sent, and those of the caller are.
        """
        return headers

    def call_refused(self, error: BaseException) -> None:
        """The call that was about to begin has not: its arguments are wrong, or there is no place for it."""

    def begin_handler(self, request: Request) -> HandlerEnd:
        """A handler is about to begin, and inherits the context as this leaves it; return what is told of its end.

        That is called once. The context is the handler's own, and goes with it.
        """
        return _ignore


def _ignore(_how: JobEnd, _code: str) -> None:
    pass


class BrokerObserver:
    """Watches a broker: its sessions, the requests that pass through it, and the other brokers.

    Override what is of interest. A request may come to a broker more than once, as further attempts do.
    """

    # -- sessions

    def on_session(self, member: str, role: str, now: float) -> None:
        """A member is connected; its role is `node` or `broker`. It may be connected more than once."""

    def on_session_refused(self, who: str, why: str, now: float) -> None:
        """A member gets no session, or a key that is registered as none."""

    def on_refused(self, kind: str, who: str, where: str, what: str, now: float) -> None:
        """Somebody was refused: a connection, a session, a call, a service or a report.

        Args:
            kind: `unknown`, `removed`, `revoked`, `expired`, `barred`, `call`, `serve` and others: docs/operations.md
                has them all. The broker counts each.
            who: a member's name, or `the key ...` where its member is not known; empty for who has shown no key.
            where: the address that it came from; empty where a member is refused within its session.
            what: the service, or what else there is to say.
            now: the time.
        """

    def on_operated(self, member: str, action: str, name: str, now: float) -> None:
        """A member with the right to operate has asked for something, and it was done.

        Args:
            member: who has asked.
            action: `drain`, `take-out` or `put-back`.
            name: the broker or the node that it is about.
            now: the time.
        """

    def on_session_state(self, member: str, state: str, now: float) -> None:
        """A session is `suspect` as it is silent, `open` as it is heard again, or `leaving`."""

    def on_session_end(self, member: str, now: float) -> None:
        """A session is over, for whatever reason."""

    def on_credit(self, worker: str, service: str, credit: int, now: float) -> None:
        """A worker takes so many requests of a service at once from now on; 0 if it takes none any more."""

    # -- requests

    def on_request(self, id_: bytes, client: str, service: str, retry_count: int, now: float) -> None:
        """A request has come; `retry_count` earlier attempts may have been run."""

    def on_request_queued(self, id_: bytes, service: str, depth: int, now: float) -> None:
        """A request waits for a worker, as one of `depth` requests of its service."""

    def on_request_dispatched(self, id_: bytes, service: str, worker: str, depth: int, now: float) -> None:
        """A request goes to a worker; `depth` requests of its service wait still."""

    def on_request_returned(self, id_: bytes, worker: str, reason: str, now: float) -> None:
        """A worker has given a request back, or it was never sent to it: another one gets it, or it waits again."""

    def on_request_answered(self, id_: bytes, worker: str, took_s: float, now: float) -> None:
        """A worker has replied, `took_s` after the request was sent to it."""

    def on_request_rejected(self, id_: bytes, client: str, reason: str, now: float) -> None:
        """A client is told that its request was certainly not run; see `NodeObserver.on_attempt_end`."""

    def on_request_lost(self, id_: bytes, worker: str, now: float) -> None:
        """A worker is gone with a request, or has lost it."""

    def on_request_given_up(self, id_: bytes, why: GivenUp, now: float) -> None:
        """Nobody waits any more for a request that has not been answered."""

    # -- the registry

    def on_certificate_end(self, member: str, left_s: float, now: float) -> None:
        """The certificate of a member, or this broker's own, ends in `left_s`; 0.0 or less: it has ended.

        Of each it is told 30, 7 and 1 days before, and at the end, once each; at first, soon after the start, of all
        that end within 30 days. Of more than 1,000 at one moment it is told of the earliest.
        """

    # -- the other brokers

    def on_peer(self, broker: str, before: str, state: str, now: float) -> None:
        """Another broker is `alive`, `suspect`, `leaving` or `dead`.

        It is `unknown` before it joins and once it is forgotten. `dead` after `leaving` is the usual end of a broker
        that was stopped; `dead` after `dead` means that it had come back meanwhile, which this one has not seen.
        """

    # -- all messages

    def on_received(self, connection: bytes, member: str, frame: bytes) -> None:
        """A frame of messages has come over a connection, and is handled next. It may hold payloads.

        `member` is empty if its key is registered as none.
        """

    def on_sent(self, connection: bytes, member: str, messages: list[bytes]) -> None:
        """Messages are sent over a connection next. They may hold payloads."""
