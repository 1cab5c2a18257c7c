"""Clients and workers of Majordomo, as the known ones behave, and as easily harmed. They know nothing of the bridge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from braidmq.lab.simulation.foreign.program import Caller, Server
from braidmq.lab.simulation.payload import key_of, key_of_answer

if TYPE_CHECKING:
    from braidmq.lab.simulation.foreign.street import Street
    from braidmq.lab.simulation.record import ForeignCall

_ERROR: Final = b"$braidmq"


@dataclass(frozen=True)
class ClientWords:
    """How a client speaks: what stands before requests and before replies, and whether these name a service."""

    asks: tuple[bytes, ...]
    hears: tuple[bytes, ...]
    named: bool = True


@dataclass(frozen=True)
class WorkerWords:
    """How a worker speaks: what stands before its commands, and the frames of those."""

    front: tuple[bytes, ...]
    final: bytes
    heartbeat: bytes
    disconnect: bytes


CLIENTS: Final = (
    ClientWords((b"", b"MDPC01"), (b"", b"MDPC01")),
    ClientWords((b"MDPC02", b"\1"), (b"MDPC02", b"\3")),
    ClientWords((b"", b"MDPC02", b"\2"), (b"", b"MDPC02", b"\4"), named=False),
)
"""0.1, RFC 18, and majortomo."""

WORKERS: Final = (
    WorkerWords((b"", b"MDPW01"), b"\3", b"\4", b"\5"),
    WorkerWords((b"MDPW02",), b"\4", b"\5", b"\6"),
    WorkerWords((b"", b"MDPW02"), b"\4", b"\5", b"\6"),
)
"""The same."""

_READY, _REQUEST = b"\1", b"\2"

TRIES: Final = 3
"""How often a client sends a request that is not answered, over another connection each time."""

RECONNECT_S: Final = (0.2, 1.0)
"""How long a worker waits before it tries another connection, at least and at most."""

ALONE_SHARE: Final = 0.7
"""How many clients have one request under way at a time."""

BEATS: Final = 4
"""Intervals of silence after which a worker gives its broker up."""


class MajordomoClient(Caller):
    """Asks one thing after the other, as a REQ does, and sends it again if there is no answer; or many at once, once.

    Attributes:
        patience_s: how long it waits for an answer.
    """

    def __init__(self, street: Street, name: str) -> None:
        super().__init__(street, name)
        self._words = self.rng.choice(CLIENTS)
        # Most known clients have one request under way; of several none could tell which one an error is about.
        self._alone = self.rng.random() < ALONE_SHARE or street.speaks_of_errors
        self.patience_s = self.rng.choice((0.5, 1.0, 2.5))
        self._queue: list[tuple[str, str, bytes, bool]] = []

    @property
    def busy(self) -> bool:
        """See Program."""
        return any(call.left_at is None for call in self.asks.values()) or bool(self._queue)

    def _begin(self) -> None:
        self.asks = {}
        self._queue = []

    def _leave(self) -> None:
        for call in self.asks.values():
            self.note_left(call)
        self.asks = {}
        self._queue = []

    def _ask(self, key: str, service: str, payload: bytes, must_succeed: bool) -> None:
        if self._alone and self.asks:
            self._queue.append((key, service, payload, must_succeed))
        else:
            self._send(key, service, payload, must_succeed, tries=TRIES if self._alone else 1)

    def _send(self, key: str, service: str, payload: bytes, must_succeed: bool, *, tries: int) -> None:
        call = self.note_ask(key, service, must_succeed=must_succeed)
        self.say(*self._words.asks, service.encode(), payload)
        wait_s = self.patience_s if self._alone else self.street.timeout_s + self.patience_s

        def look() -> None:
            if self.asks.get(key) is not call:
                return
            self.note_left(call)
            if not self._alone:
                return
            del self.asks[key]
            self.connect()  # what comes over the old one is for nobody
            if tries > 1:
                self._send(key, service, payload, must_succeed, tries=tries - 1)
            else:
                self._go_on()

        self.later(wait_s, look)

    def _go_on(self) -> None:
        if self._queue and not self.asks:
            key, service, payload, must_succeed = self._queue.pop(0)
            self._send(key, service, payload, must_succeed, tries=TRIES)

    def _on_message(self, frames: list[bytes]) -> None:
        words = self._words
        front, rest = tuple(frames[: len(words.hears)]), frames[len(words.hears) :]
        service = rest.pop(0) if words.named and rest else b""
        if front != words.hears or not rest:
            self.harmed(f"it aborts at {frames}")
            return
        call = self._asked(rest, service.decode())
        if call is None:
            self.harmed(f"it gets an answer to nothing: {frames}")
            return
        if words.named and service != call.service.encode():
            self.harmed(f"it aborts at a reply of {service!r}")
        self.note_answer(call, "reply" if rest[0] != _ERROR else rest[1].decode())
        del self.asks[call.key]
        self._go_on()

    def _asked(self, body: list[bytes], service: str) -> ForeignCall | None:
        """Return what is answered: what its reply tells, or the only thing, or the first one to that service."""
        if body[0] != _ERROR:
            return self.asks.get(key_of_answer(body[0]))
        open_ = [call for call in self.asks.values() if not service or call.service == service]
        return open_[0] if open_ else None


class MajordomoWorker(Server):
    """Registers, runs one request at a time, says now and then that it is there, and leaves if nothing is said."""

    def __init__(self, street: Street, name: str) -> None:
        super().__init__(street, name)
        self._words = self.rng.choice(WORKERS)
        self._beat_s = self.rng.choice((0.5, 1.0, 2.5))
        self._heard = 0.0
        self._has = False
        self._ready = False

    def _begin(self) -> None:
        self._register()
        self.later(self._beat_s, self._beat)

    def _register(self) -> None:
        self._has, self._ready, self._heard = False, True, self.world.now
        self._command(_READY, self.street.service.encode())

    def _command(self, *frames: bytes) -> None:
        self.say(*self._words.front, *frames)

    def _beat(self) -> None:
        """Do what is due at each interval: a handler keeps it from that."""
        if not self._runs and self._ready:
            if self.world.now - self._heard > BEATS * self._beat_s:
                self._go_elsewhere()
            else:
                self._command(self._words.heartbeat)
        self.later(self._beat_s, self._beat)

    def _go_elsewhere(self) -> None:
        self._ready = False
        self.disconnect()
        self.later(self.rng.uniform(*RECONNECT_S), self._come_back)

    def _come_back(self) -> None:
        self.connect()
        self._register()

    def on_arrival(self) -> None:
        """See Listener. A request that comes while it has another one waits in silence, and its time runs out."""
        if self._has and self.line is not None and self.line.arrived:
            frames = self.line.arrived[-1][len(self._words.front) :]
            if frames[:1] == [_REQUEST]:
                self.harmed(f"it gets {key_of(frames[-1])} while it has another request")
        super().on_arrival()

    def _on_message(self, frames: list[bytes]) -> None:
        words = self._words
        front, rest = tuple(frames[: len(words.front)]), frames[len(words.front) :]
        if front != words.front or not rest:
            self.harmed(f"it aborts at {frames}")
            return
        self._heard = self.world.now
        command, *more = rest
        if command == _REQUEST:
            self._on_request(more)
        elif more or command not in (words.heartbeat, words.disconnect):
            self.harmed(f"it aborts at {frames}")
        elif command == words.disconnect:
            self._go_elsewhere()

    def _on_request(self, frames: list[bytes]) -> None:
        if len(frames) != 3 or frames[1] != b"" or not frames[0]:
            self.harmed(f"it aborts at a request of {frames}")
            return
        self._has = True
        token, _, payload = frames

        def answer(result: bytes) -> None:
            self._has = False
            self._command(self._words.final, token, b"", result)

        self.run(payload, answer)
