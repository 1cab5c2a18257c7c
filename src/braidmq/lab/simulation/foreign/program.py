"""A foreign program: a process that has a socket, a script, and no idea that there is more than one broker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from braidmq.lab.simulation.foreign.line import Line
from braidmq.lab.simulation.payload import answer_to, key_of, payload_of
from braidmq.lab.simulation.record import End, ForeignCall, ForeignRun

if TYPE_CHECKING:
    from braidmq.lab.simulation.foreign.street import Street


class Program(ABC):
    """What all programs have in common: they start, stand still, are killed, and read what has come.

    Attributes:
        up: whether it exists.
        paused: whether it was stopped, as by SIGSTOP.
        life: counts its starts.
        went_on_at: when it was last stopped no longer.
    """

    def __init__(self, street: Street, name: str) -> None:
        self.street = street
        self.name = name
        self.world = street.world
        self.rng = street.world.chance(f"program {name}")
        self.up = False
        self.paused = False
        self.life = 0
        self.went_on_at = 0.0
        self.line: Line | None = None
        self._waiting: list[Callable[[], None]] = []

    # -- what happens to it

    def start(self) -> None:
        """Begin a new life that remembers nothing."""
        self.up, self.paused = True, False
        self.life += 1
        self._waiting = []
        self.world.trace.note(self.world.now, f"{self.name} starts")
        self.connect()
        self._begin()

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self.up:
            self.up = False
            self._leave()
            self.disconnect()
            self.world.trace.note(self.world.now, f"{self.name} has ended")

    def pause(self) -> None:
        """Stop running."""
        self.paused = True

    def resume(self) -> None:
        """Go on: first with what has waited."""
        self.paused = False
        self.went_on_at = self.world.now
        waiting, self._waiting = self._waiting, []
        for errand in waiting:
            errand()

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether it is at something that has to end before all is quiet."""

    @property
    def is_well(self) -> bool:
        """Whether it runs, and its socket is connected."""
        return self.up and not self.paused and self.line is not None and self.line.connected

    # -- its socket

    def connect(self) -> None:
        """Open a socket in place of the one that it has."""
        self.disconnect()
        self.line = Line(
            self.world, self.street, self, f"{self.name}.{self.life}.{self.street.number()}", rng=self.rng,
            unread_max=self.street.unread_max,
        )  # fmt: skip
        self.street.lines[self.line] = None

    def disconnect(self) -> None:
        """Close its socket."""
        if self.line is not None:
            del self.street.lines[self.line]
            self.line.close()
            self.line = None

    def say(self, *frames: bytes) -> None:
        """Send a message."""
        if self.line is not None:
            self.line.say(*frames)

    def on_arrival(self) -> None:
        """See Listener: read what has come as soon as it runs."""
        self.soon(self._read)

    def _read(self) -> None:
        while self.line is not None and self.line.arrived and self.may_read:
            self._on_message(self.line.arrived.popleft())

    @property
    def may_read(self) -> bool:
        """Whether it reads now."""
        return True

    # -- its own time

    def later(self, delay_s: float, errand: Callable[[], None]) -> None:
        """Do an errand after a while, in this life; a stopped program does it when it goes on."""
        life = self.life

        def come() -> None:
            if self.up and self.life == life:
                self.soon(errand)

        self.world.later(delay_s, come)

    def soon(self, errand: Callable[[], None]) -> None:
        """Do an errand now, or when it goes on."""
        if self.paused:
            self._waiting.append(errand)
        elif self.up:
            errand()

    # -- what it does

    @abstractmethod
    def _begin(self) -> None:
        """Begin a life; the socket is there."""

    @abstractmethod
    def _on_message(self, frames: list[bytes]) -> None:
        """Take a message."""

    @abstractmethod
    def _leave(self) -> None:
        """Note that its life ends."""

    def harmed(self, why: str) -> None:
        """Note that a real program would stop for good, hang or take harm by what it was told."""
        self.world.trace.note(self.world.now, f"{self.name} is harmed: {why}", fault=True)
        self.world.record.harms.append(End(self.world.now, self.name, why))


class Caller(Program):
    """A program that asks services of the net.

    Attributes:
        asks: its requests that are under way, by their keys.
    """

    def __init__(self, street: Street, name: str) -> None:
        super().__init__(street, name)
        self.asks: dict[str, ForeignCall] = {}
        self._numbers = 0

    @property
    def busy(self) -> bool:
        """See Program."""
        return bool(self.asks)

    def ask(self, service: str, size_bytes: int, *, must_succeed: bool) -> None:
        """Ask a service something, when it runs."""
        self._numbers += 1
        key = f"{self.name}:{self._numbers}"
        self.later(0.0, lambda: self._ask(key, service, payload_of(key, size_bytes), must_succeed))

    @abstractmethod
    def _ask(self, key: str, service: str, payload: bytes, must_succeed: bool) -> None:
        """Ask, now or when it has time for it."""

    def note_ask(self, key: str, service: str, *, must_succeed: bool) -> ForeignCall:
        """Write down that a request leaves now."""
        street = self.street
        call = ForeignCall(
            key, self.name, self.world.now, self.world.now + street.timeout_s, service=service,
            speaks=street.speaks_of_errors, must_succeed=must_succeed,
        )  # fmt: skip
        self.asks[key] = call
        self.world.record.foreign_calls.append(call)
        self.world.trace.note(self.world.now, f"{self.name} asks {service} ({key})")
        return call

    def note_answer(self, call: ForeignCall, kind: str) -> None:
        """Write down an answer."""
        call.answers.append((self.world.now, kind))
        self.world.trace.note(self.world.now, f"{self.name} has an answer to {call.key}: {kind}")

    def note_left(self, call: ForeignCall) -> None:
        """Write down that nobody waits for an answer any more, or could hear it."""
        if call.left_at is None:
            call.left_at = self.world.now


class Server(Program):
    """A program that provides a service, one request after the other."""

    def __init__(self, street: Street, name: str) -> None:
        super().__init__(street, name)
        self._runs = False

    def _leave(self) -> None:
        self._runs = False

    @property
    def busy(self) -> bool:
        """See Program."""
        return self._runs

    @property
    def may_read(self) -> bool:
        """Whether it reads: a handler has the whole program."""
        return not self._runs

    def run(self, payload: bytes, end: Callable[[bytes], None]) -> None:
        """Run a request, and call `end` with the answer."""
        self._runs = True
        key, world = key_of(payload), self.world
        world.record.foreign_runs.append(ForeignRun(key, self.name, world.now))
        world.trace.note(world.now, f"{self.name} runs {key}")
        durations_s = self.street.work.durations_s

        def over() -> None:
            self._runs = False
            end(answer_to(payload))
            self._read()

        self.later(self.rng.choice(durations_s) * self.rng.uniform(0.5, 1.0), over)
