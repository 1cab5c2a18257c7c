"""A broker's loop that can be asked, paused and killed from other threads."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from braidmq.carrier.broker_loop import BrokerLoop
from braidmq.carrier.listener import Listener
from braidmq.core.broker.transit import SessionState
from braidmq.errors import BraidError
from braidmq.host.clock import monotonic
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.testing.partition import Cuts, LossyListener
from braidmq.turn.ports import Listener as ListenerPort
from braidmq.wire.control import Report

T = TypeVar("T")


class Killed(BaseException):
    """Ends a broker's thread where it stands."""


class TestLoop(BrokerLoop):
    """A broker's loop that answers other threads. Once opened, it waits for `go_on`.

    Attributes:
        counters: those of its core; after its end what they were.
    """

    __test__ = False

    def __init__(self, join: Path, settings: Settings, cuts: Cuts, observer: BrokerObserver | None) -> None:
        super().__init__(join, settings, observer=observer)
        self.counters: dict[str, int] = {}
        self._cuts = cuts
        self._asked: dict[Future[Any], None] = {}
        self._gate = threading.Lock()
        self._open = True
        self._killed = False
        self._going = threading.Event()

    @property
    def state(self) -> str:
        """Return up, paused or draining."""
        if not self._going.is_set():
            return "paused"
        return "up" if self._stopping is None else "draining"

    @property
    def is_open(self) -> bool:
        """Whether it lets nodes in."""
        registrar = self._core.registrar
        return registrar is None or registrar.core.ready

    # -- from any thread

    def ask(self, errand: Callable[[float], T]) -> Future[T]:
        """Let the broker's own thread do something; the future has the result, or a BraidError if it is down."""
        future: Future[T] = Future()

        def run(now: float) -> None:
            self._asked.pop(future)
            try:
                future.set_result(errand(now))
            except Exception as error:  # noqa: BLE001 - it belongs to who asked
                future.set_exception(error)

        with self._gate:
            if self._open:
                self._asked[future] = None
                self.call(run)
            else:
                future.set_exception(BraidError(f"{self.name} is down"))
        return future

    def kill(self) -> None:
        """End the thread where it stands."""
        self._killed = True
        self.ask(self._die)
        self._going.set()

    def go_on(self) -> None:
        """Let a halted thread go on."""
        self._going.set()

    # -- errands, in the broker's own thread

    def halt(self, reached: Future[None]) -> None:
        """Stand still until `go_on` or `kill`; tell `reached` before."""
        self._going.clear()
        reached.set_result(None)
        self._die(0.0)  # it may have been killed before it halted, and then nobody lets it go on
        self._going.wait()
        self._die(0.0)

    def reread_registry(self, now: float) -> None:
        """Look at the join file now."""
        if self._watched.has_changed():
            self._take_file(*self._load_file(), now)

    def readmit(self, now: float) -> None:
        """Handle what new connections have said during a partition."""
        for route, principal, frame in self._lossy.readmit():
            self._core.on_frame(route, principal, frame, now)

    def report(self, now: float) -> Report:
        """Return the broker's state."""
        return self._core.report(now)

    def workers(self, service: str) -> int:
        """Return how many nodes are ready for requests of `service`."""
        nodes = self._core.report(monotonic()).nodes
        return sum(1 for node in nodes if node.state == SessionState.OPEN and service in node.serves)

    def _die(self, _now: float) -> None:
        if self._killed:
            raise Killed

    # -- BrokerLoop

    def open(self) -> None:
        """See BrokerLoop.open."""
        super().open()
        self.counters = self._core.counters

    def run(self) -> None:
        """See BrokerLoop.run."""
        self._going.wait()
        super().run()

    def close(self, linger_s: float = 0.0) -> None:
        """See BrokerLoop.close. Whoever has asked for something and got no answer is told so."""
        with self._gate:
            self._open = False
            super().close(0.0 if self._killed else linger_s)
        self.counters = dict(self.counters)
        while self._asked:
            self._asked.popitem()[0].set_exception(BraidError(f"{self.name} is down"))

    def _heard_by(self, listener: Listener) -> ListenerPort:
        self._lossy = LossyListener(self.name, self._cuts, self._ledger.member, listener)
        return self._lossy
