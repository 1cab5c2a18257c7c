"""What a turn needs from whatever carries messages, and from the process that it runs in.

Those for sockets are in carrier/, those of the simulated network in lab/simulation/, and lab/memory.py has the simplest
ones. A further one implements `Dialer`, and `Listener` if it is to carry brokers as well; nothing else of the
product knows how messages travel.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from braidmq.core.events.event import Event
from braidmq.core.links.link import Failure, Open, Step
from braidmq.core.worker.job import Job
from braidmq.errors import BraidError
from braidmq.messages import Reply


class Dialer(Protocol):
    """The connections that a process makes to brokers, one to each, which is known by its name.

    A connection is disposable: it is opened once, and when it has failed it is closed.
    """

    def open(self, action: Open) -> Failure | None:
        """Begin a connection; return why it cannot even be begun. How it goes on comes out of `news`."""

    def close(self, name: str) -> list[bytes]:
        """End a connection, if there is one; return the messages that certainly never left, in order."""

    def send(self, name: str, messages: list[bytes]) -> Sequence[bytes]:
        """Send messages, if there is a connection, or keep them for `flush` while it takes no more.

        Return the requests that waited here and are dropped, as one of the messages cancels them: neither arrives.
        """

    def has_arrived(self, name: str) -> bool:
        """Whether the host at the other end of a connection has all that was sent; False if that is not known."""
        return False

    def flush(self) -> None:
        """Send what waits, as far as the connections take it now."""

    def news(self) -> Iterable[tuple[str, Step | Failure]]:
        """Return how far connections have come, and which have ended and why. The turn closes those.

        An end comes behind all that had come before it was read: an answer in that spares its request a retry.
        """

    def frames(self, *, until_empty: bool = False) -> Iterable[tuple[str, bytes]]:
        """Return frames that have come, each with its broker: a portion, or as many as there are."""

    def unread(self) -> Iterable[tuple[str, int]]:
        """Return the brokers of which more or less bytes wait to be read than at the last call, and how many."""

    def look_after(self) -> Sequence[tuple[str, Failure]]:
        """Look after the connections that were used; return those to give up, as too much waits in one direction.

        The turn closes those.
        """

    def look_closer(self, name: str | None = None) -> None:
        """Let `news` and `frames` look at a connection, or at all of them, though nothing has told of any change."""


class Listener(Protocol):
    """The connections that others have made to a broker. Each has a route: bytes that stand for it until it ends."""

    def frames(self, now: float) -> Iterable[tuple[bytes, str, bytes]]:
        """Return a portion of what has come: the route, the principal of its key, and the frame."""

    def breaches(self) -> Iterable[tuple[bytes, str, str]]:
        """Return who does what no member may: the route, the principal of its key, and what it is."""

    def send(self, sends: dict[bytes, list[bytes]]) -> Iterable[tuple[bytes, bytes]]:
        """Send messages to routes, or keep them for `flush` while a route takes no more.

        Return the requests that waited here and are dropped, as one of the messages cancels them, each with its route:
        neither arrives.
        """

    def cut(self, route: bytes) -> None:
        """End a connection, behind what was sent over it."""

    def flush(self, now: float) -> None:
        """Send what waits, as far as the routes take it now, and look which have ended."""

    def take_gone(self, now: float) -> Iterable[tuple[bytes, list[bytes]]]:
        """Return the routes that have ended, each with the messages that certainly never left.

        What they have said before has come out of `frames` by then, as far as possible in a short time.
        """

    def next_deadline(self) -> float | None:
        """Return when `flush` is due."""


class Host(Protocol):
    """What cores need of the process around them."""

    def look_up(self, name: str, endpoints: tuple[str, ...]) -> None:
        """Begin to look up the addresses behind a broker's endpoints."""

    def looked_up(self) -> Iterable[tuple[str, list[str]]]:
        """Return the brokers whose addresses are known now, each with those; none if there are none."""

    def tell(self, event: Event) -> None:
        """Write an event to the log."""


class NodeHost(Host, Protocol):
    """What a node needs besides."""

    def on_stall(self, stalled_s: float) -> None:
        """Note that this process has stood still for so long before this turn."""

    def run_job(self, job: Job) -> None:
        """Start a job. Its handler begins after the turn, if NodeTurn.begin says so."""

    def stop_job(self, job: Job) -> None:
        """Ask a job to stop; its end is still told."""

    def complete(self, id_: bytes, outcome: Reply | BraidError) -> None:
        """Give the end of a call to whoever waits for it."""
