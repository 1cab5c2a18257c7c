"""Looks up the addresses of brokers in threads, so that a slow DNS server delays nothing else."""

import math
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Final

from braidmq.host.clock import monotonic
from braidmq.host.dns import ResolveError, is_address, resolve
from braidmq.host.loggers import own_logger
from braidmq.host.threads import DaemonThreads, NoThreadError

THREADS_MAX: Final = 32
"""Lookups at one time. Those of dead names wait for the system's timeout, and must not keep all others waiting. The
threads are made when they are needed."""

TELL_S: Final = 60.0
"""How soon the log is told of another problem with a name: whoever answers for DNS may answer anew each time."""

_LOG = own_logger("braidmq.dns")


class Lookups:
    """Endpoints in, addresses out. All methods belong to one thread; `notify` is called from others.

    Args:
        notify: tells that `take` has something.

    Attributes:
        threads: those that it runs in, made when they are needed.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self.threads = DaemonThreads(THREADS_MAX, "braidmq-dns")
        self._done: SimpleQueue[tuple[str, list[str]]] = SimpleQueue()
        self._pending: set[str] = set()
        self._problems: dict[str, str] = {}
        self._told_at: dict[str, float] = {}

    def begin(self, name: str, endpoints: tuple[str, ...]) -> None:
        """Look up the endpoints of the broker `name`; what is an address already can be taken at once."""
        if all(map(is_address, endpoints)):
            self._done.put((name, list(endpoints)))
        elif name not in self._pending:
            self._pending.add(name)
            look_up, finish = partial(self._look_up, name, endpoints), partial(self._finish, name)
            try:
                self.threads.submit(look_up, finish)
            except NoThreadError as error:
                self._complain(name, f"its addresses cannot be looked up: {error}")
                self._done.put((name, []))

    def take(self) -> list[tuple[str, list[str]]]:
        """Return the brokers whose addresses are known now, each with those; none if there are none."""
        found = []
        while not self._done.empty():
            name, addresses = self._done.get()
            self._pending.discard(name)
            found.append((name, addresses))
        return found

    def close(self) -> None:
        """Let the threads end."""
        self.threads.close()

    def _look_up(self, name: str, endpoints: tuple[str, ...]) -> list[str]:
        addresses: list[str] = []
        problems = []
        bug: Exception | None = None
        for endpoint in endpoints:
            try:
                addresses += resolve(endpoint)
            except ResolveError as error:
                problems.append(str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the broker must be looked up again later
                bug = error
                problems.append(f"looking up {endpoint} failed with {error!r}")
        self._complain(name, "; ".join(problems), bug)
        return addresses

    def _complain(self, name: str, problem: str, bug: Exception | None = None) -> None:
        """Tell the log what is wrong, once, and not more often than TELL_S; nothing is if `problem` is empty."""
        if problem and problem != self._problems.get(name):
            now = monotonic()
            if now < self._told_at.get(name, -math.inf) + TELL_S:
                return  # it is told when it is still so at a later lookup
            self._told_at[name] = now
            _LOG.warning("%s: %s", name, problem, exc_info=bug)
        self._problems[name] = problem

    def _finish(self, name: str, addresses: list[str]) -> None:
        self._done.put((name, addresses))
        self._notify()
