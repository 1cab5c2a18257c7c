"""One broker of a TestNet: a thread with a real broker in it, and the faults that it can have."""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeVar

from braidmq.errors import BraidError
from braidmq.host.home import check_no_loop
from braidmq.host.loggers import own_logger
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.testing.loop import Killed, TestLoop
from braidmq.testing.partition import Cuts
from braidmq.wire.control import Report

_LOG = own_logger("braidmq.testing")

T = TypeVar("T")

ANSWER_S_MAX: Final = 10.0
"""Time that a broker's thread has to start, to end, or to do what it is asked for."""

POLL_S: Final = 0.005
"""How often a condition is looked at that others wait for."""


class TestBroker:
    """One broker of a TestNet. All methods may be called from any thread.

    Attributes:
        name: its registered name.
        endpoint: where it listens while it runs.
        join: its join file.
        error: what has ended it, if it was neither killed nor stopped.
    """

    __test__ = False

    def __init__(
        self, name: str, reserved: socket.socket, settings: Settings, cuts: Cuts, observer: BrokerObserver | None
    ) -> None:
        self.name = name
        self.endpoint = f"tcp://127.0.0.1:{reserved.getsockname()[1]}"
        self.join = Path()
        self.error: BaseException | None = None
        self._reserved = reserved
        self._settings = settings
        self._cuts = cuts
        self._observer = observer
        self._loop: TestLoop | None = None
        self._thread: threading.Thread | None = None
        self._opened: Future[None] = Future()

    @property
    def state(self) -> str:
        """Return up, paused, draining or down."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            return "down"
        return loop.state

    @property
    def counters(self) -> dict[str, int]:
        """What it has counted since it was started; the last word of one that is down."""
        return {} if self._loop is None else self._loop.counters

    def report(self) -> Report:
        """Return its state as an observer would see it.

        Raises:
            BraidError: it is down or paused.
        """
        return self._ask(lambda loop, now: loop.report(now)).result(ANSWER_S_MAX)

    def workers(self, service: str) -> int:
        """Return how many of its connected nodes are ready for requests of `service`; 0 if it is down or paused."""
        try:
            return self._ask(lambda loop, _now: loop.workers(service)).result(ANSWER_S_MAX)
        except BraidError:
            return 0

    # -- faults

    def kill(self) -> None:
        """End it as `kill -9` does: its sockets are closed, and nothing of what it has is sent."""
        loop = self._loop
        if loop is not None:
            loop.kill()
            self._await_end(ANSWER_S_MAX)

    def stop(self) -> None:
        """Tell it to drain, as SIGTERM does. It ends on its own; see `stopped` and `wait_stopped`.

        Raises:
            BraidError: it is down.
        """
        loop = self._loop
        if loop is None or self.state == "down":
            raise BraidError(f"{self.name} is down: it cannot drain")
        loop.stop()

    async def stopped(self, timeout: float = ANSWER_S_MAX) -> None:  # noqa: ASYNC109 - it is the wait's bound
        """Wait until it is down. Raises TimeoutError."""
        await asyncio.to_thread(self.wait_stopped, timeout)

    def wait_stopped(self, timeout: float = ANSWER_S_MAX) -> None:
        """Do what `stopped` does, without asyncio; the nodes must not need the calling thread.

        Raises:
            WrongLoop: an event loop of asyncio runs in this thread.
        """
        check_no_loop("wait_stopped() would keep this event loop from running: write 'await broker.stopped()'")
        self._await_end(timeout)

    def restart(self) -> None:
        """Start it anew, with the same keys and at the same port; one that is not down is killed first."""
        self.kill()
        self.launch()
        self.wait_started()
        self.resume()
        self.wait_open()

    def pause(self) -> None:
        """Stop its thread in the middle of its work, as SIGSTOP does; its transport still takes frames in.

        Raises:
            BraidError: it is down or paused.
        """
        self.begin_pause().result(ANSWER_S_MAX)

    def resume(self) -> None:
        """Let a paused broker go on; do nothing for another one."""
        if self._loop is not None:
            self._loop.go_on()

    # -- for TestNet

    def launch(self) -> None:
        """Begin to start it; for TestNet, which calls `wait_started` and `resume` next."""
        self.error = None
        self._opened = Future()
        loop = self._loop = TestLoop(self.join, self._settings, self._cuts, self._observer)
        self._thread = threading.Thread(
            target=self._serve, args=(loop,), name=f"braidmq-broker-{self.name}", daemon=True
        )
        self._thread.start()

    def wait_started(self) -> None:
        """Wait until it listens. Raises what kept it from that. It serves once `resume` is called."""
        error = self._opened.exception(ANSWER_S_MAX)
        if error is not None:
            self._await_end(ANSWER_S_MAX)  # so that it is down for whoever looks now
            raise error

    def wait_open(self) -> None:
        """Wait until it lets nodes in: it hears the other brokers first, as far as they can be reached."""
        while not self._ask(lambda loop, _now: loop.is_open).result(ANSWER_S_MAX):
            threading.Event().wait(POLL_S)  # not `sleep`: time may be frozen

    def begin_pause(self) -> Future[None]:
        """Let it pause; the future ends when it has, or with a BraidError if it ends before."""
        reached: Future[None] = Future()

        def end(asked: Future[None]) -> None:
            error = asked.exception()
            if error is not None:
                reached.set_exception(error)

        self._ask(lambda loop, _now: loop.halt(reached)).add_done_callback(end)
        return reached

    def reread_registry(self) -> Future[None]:
        """Let it look at its join file now."""
        return self._ask(lambda loop, now: loop.reread_registry(now))

    def readmit(self) -> None:
        """Let it take in what has waited for the end of a partition."""
        self._ask(lambda loop, now: loop.readmit(now))

    def dispose(self) -> None:
        """End it for good."""
        self.kill()
        self._reserved.close()

    # -- inner

    def _ask(self, errand: Callable[[TestLoop, float], T]) -> Future[T]:
        """Let its thread do something."""
        loop = self._loop
        if loop is None or self.state not in ("up", "draining"):
            raise BraidError(f"{self.name} is {self.state}")
        return loop.ask(lambda now: errand(loop, now))

    def _serve(self, loop: TestLoop) -> None:
        try:
            loop.open()
        except BaseException as error:  # noqa: BLE001 - it is raised where the broker is started
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        try:
            loop.run()
        except Killed:
            return
        except BaseException as error:  # noqa: BLE001 - it is raised when the net is closed
            self.error = error
            _LOG.exception("broker %s ended by an error", self.name)

    def _await_end(self, timeout: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                raise TimeoutError(f"{self.name} is still {self.state} after {timeout:g} s")
