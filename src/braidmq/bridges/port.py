"""What passes between the pure core of a bridge and its shell: peers, inputs, outputs.

A core speaks one foreign protocol. It gets frames, ends of calls and jobs, and says what is to be sent, called and
offered. It owns no socket, no clock and no event loop: `now` is passed in, in seconds, and never goes back.

Every peer acts as a *member* of the net: "" is the bridge's own member; any other is an authenticated user that has a
join file of its own, by the user's name. Services, calls and rights are kept apart by it.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final, Protocol

import msgspec

from braidmq.errors import BraidError, ServiceError
from braidmq.messages import Reply, Request

OWN: Final = ""
"""The bridge's own member."""


class Peer(msgspec.Struct, eq=False):
    """One foreign connection; another connection is another peer, even of the same program.

    Attributes:
        route: names it among those of its endpoint; empty where the bridge has opened the connection itself.
        host: the address that it connects from; empty over a Unix socket.
        user: who it has proven to be; empty where nobody is asked.
        member: as whom it acts, see the module.
        gone: its connection has ended: nothing can reach it any more.
        refused: messages of its that were in vain, since its endpoint has looked: calls beyond what it may have or that
            cannot be made, or nothing that its protocol knows. For each of them nothing is read of it for a while.
    """

    route: bytes
    host: str = ""
    user: str = ""
    member: str = OWN
    gone: bool = False
    refused: int = 0


class Job(msgspec.Struct, eq=False):
    """A request of a BraidMQ node for a service of foreign workers.

    Attributes:
        number: names the job between core and shell; the core ends it by a `Finish`, once.
        member: whose service it is.
        request: what a handler would get. Its deadline counts as `now` does.
    """

    number: int
    member: str
    request: Request


class Unfinished(Enum):
    """How a job ends that has no result."""

    NOT_RUN = "no worker has got it: the caller's attempt goes on elsewhere"
    UNKNOWN = "a worker had it and is gone: it may have been run"


class Send(msgspec.Struct, gc=False):
    """Send a message to a peer. One that cannot leave at once comes back by `on_unsent`, if anything tells."""

    peer: Peer
    frames: Sequence[bytes]


class Call(msgspec.Struct, gc=False):
    """Begin a call; its end comes by `on_call_end`, once, unless it is cancelled.

    Attributes:
        number: names the call between core and shell.
        peer: who has asked for it, and as which member.
        service: what is called; it can name a service.
        payload: the caller's bytes.
        timeout_s: seconds until it gives up, over all attempts.
        headers: reach the handler.
        possible_duplicate: the same request may have been run before.
        wait: whether it waits within its time where there is no worker, or ends at once as NoWorker; None: as the
            settings of its node say.
    """

    number: int
    peer: Peer
    service: str
    payload: bytes
    timeout_s: float
    headers: Mapping[str, str]
    possible_duplicate: bool = False
    wait: bool | None = None

    @property
    def member(self) -> str:
        """Who calls."""
        return self.peer.member


class Cancel(msgspec.Struct, gc=False):
    """Nobody waits for a call any more; nothing more comes of it."""

    number: int


class Offer(msgspec.Struct, gc=False):
    """Provide a service, or change how many jobs of it run at once. At least one."""

    member: str
    service: str
    concurrency: int


class Withdraw(msgspec.Struct, gc=False):
    """Provide a service no longer. Jobs that have come go on."""

    member: str
    service: str


class Finish(msgspec.Struct, gc=False):
    """End a job: with its result, with an error, or without either."""

    number: int
    outcome: bytes | ServiceError | Unfinished


Output = Send | Call | Cancel | Offer | Withdraw | Finish
"""What a core asks of its shell."""


class Allowed(Protocol):
    """What a member may do at present."""

    def may_call(self, service: str) -> bool:
        """Whether it may call a service."""

    def may_serve(self, service: str) -> bool:
        """Whether it may provide a service."""


Rights = Callable[[str], Allowed]
"""Tells what a member of this module may do."""


class BridgeCore(Protocol):
    """One foreign protocol at one endpoint. After inputs, and no later than `next_deadline`, `take` what it asks for.

    Attributes:
        counters: what has happened, by name; they only grow.
    """

    counters: dict[str, int]

    def on_message(self, peer: Peer, frames: list[bytes], now: float) -> None:
        """Note what a peer has sent: any frames at all, at least one."""

    def on_gone(self, peer: Peer, now: float) -> None:
        """Note that a connection has ended. Called once for each peer that has sent something."""

    def on_unsent(self, send: Send, now: float) -> None:
        """Note that a message certainly did not leave: its peer is gone, or does not read."""

    def on_call_end(self, number: int, end: Reply | BraidError, now: float) -> None:
        """Note how a call has ended that was not cancelled."""

    def on_job(self, job: Job, now: float) -> None:
        """Take a job of a service that was offered, even if it has been withdrawn meanwhile."""

    def on_job_dropped(self, number: int, now: float) -> None:
        """Note that nobody waits for a job any more that was not finished: cancelled, or past its deadline."""

    def on_refused(self, member: str, service: str, now: float) -> None:
        """Note that a member may not provide a service that was offered, and that it is withdrawn."""

    def on_services(self, member: str, services: frozenset[str], now: float) -> None:
        """Note which services have a worker now, as the brokers of a member tell it."""

    def on_timer(self, now: float) -> None:
        """Do what is due."""

    def drain(self, now: float) -> None:
        """Withdraw foreign services and take no new calls; what is under way goes on."""

    def end(self, now: float) -> None:
        """Tell the peers what they should know before the bridge ends. Nothing else is given to the core after it."""

    def take(self) -> list[Output]:
        """Return what is to be done, in order, and forget it."""

    def next_deadline(self) -> float | None:
        """Return when `on_timer` is due, or None."""

    @property
    def idle(self) -> bool:
        """Whether no call and no job is under way."""
