"""Clients and workers of Malamute, as mlm_client 1.2 behaves, and as easily killed. They know nothing of the bridge."""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from braidmq.lab.simulation.foreign.program import Caller, Program, Server
from braidmq.lab.simulation.payload import key_of_answer

if TYPE_CHECKING:
    from braidmq.lab.simulation.foreign.street import Street

PING_S: Final = 1.0
"""How often a client asks for a sign of life."""

OPENED_S: Final = 2.0
"""How long a program waits for the answer to its OPEN until it sends another one: the first has got lost."""

PATIENCE_S: Final = 4.0
"""How long nothing may come until a client takes its server for gone, and drops mail until a PONG comes."""

_SIGNATURE: Final = b"\xaa\xa8"
_OPEN, _PING, _PONG = 1, 2, 3
_MAILBOX_SEND, _MAILBOX_DELIVER, _SERVICE_SEND, _SERVICE_OFFER, _SERVICE_DELIVER = 9, 10, 11, 12, 13
_OK, _ERROR = 14, 15

_DONE: Final = struct.pack(">HB", 200, 0)
_INVALID: Final = struct.pack(">H", 500)

_BRIDGE: Final = b"$braidmq"


class DiedError(Exception):
    """The real client stops for good, or hangs for ever."""


def _head(command: int, *fields: bytes | int) -> bytes:
    """Return a first frame; numbers are timeouts."""
    parts = [_SIGNATURE, bytes((command,))]
    parts += [struct.pack(">I", each) if isinstance(each, int) else bytes((len(each),)) + each for each in fields]
    return b"".join(parts)


def _texts(frame: bytes) -> list[bytes]:
    """Return the four texts of a delivery."""
    found, at = [], 3
    for _ in range(4):
        if at >= len(frame) or at + 1 + frame[at] > len(frame):
            raise DiedError(f"a message is cut short: {frame!r}")
        found.append(frame[at + 1 : at + 1 + frame[at]])
        at += 1 + frame[at]
    if at != len(frame):
        raise DiedError(f"bytes behind a message: {frame!r}")
    return found


class _MlmClient(Program):
    """What mlm_client does by itself, whatever its program is."""

    def __init__(self, street: Street, name: str) -> None:
        super().__init__(street, name)
        self._opens = 0
        self._opened = self._connected = False
        self._oks_due = 0
        self._heard = self._opened_at = 0.0

    @property
    def is_well(self) -> bool:
        """See Program."""
        return super().is_well and self._opened and self._connected

    def _begin(self) -> None:
        self._opens = 0
        self._opened = self._connected = False
        self._heard = self.world.now
        self._connect_and_open()
        self.later(PING_S, self._beat)

    def _connect_and_open(self) -> None:
        """Do what a program does as it starts, and again if nobody has answered."""
        self.connect()
        self._oks_due = 0
        self._open()

    def _open(self) -> None:
        self._opened, self._opened_at = False, self.world.now
        self._oks_due += 1
        self.say(_head(_OPEN, b"MALAMUTE") + struct.pack(">H", 1) + bytes((len(self.name),)) + self.name.encode())

    def _beat(self) -> None:
        if self.world.now - self._heard >= PATIENCE_S:
            self._connected = False
        waits = not self._opened and self.world.now - self._opened_at >= OPENED_S
        if not self._opens:
            if waits:
                self._connect_and_open()
        elif waits:
            self._open()
        else:
            self.say(_head(_PING))
        self.later(PING_S, self._beat)

    def _on_message(self, frames: list[bytes]) -> None:
        if self.world.now - self._heard >= PATIENCE_S:
            self._connected = False
        self._heard = self.world.now
        try:
            self._take(frames)
        except DiedError as died:
            self.harmed(f"{died}")

    def _take(self, frames: list[bytes]) -> None:
        first = frames[0]
        if first[:2] != _SIGNATURE or len(first) <= len(_SIGNATURE):
            raise DiedError(f"no message of Malamute: {frames!r}")
        command, rest = first[2], first[3:]
        if command == _OK and rest == _DONE:
            self._on_ok()
        elif command == _ERROR and rest[:2] == _INVALID and len(rest) == 3 + rest[2]:
            self._on_error(rest[3:])
        elif command == _PONG and not rest:
            self._connected = self._opened
        elif command in (_MAILBOX_DELIVER, _SERVICE_DELIVER):
            if self._connected:
                self._on_delivery(command, _texts(first), frames[1:])
            else:
                self._on_ignored(_texts(first))
        else:
            raise DiedError(f"it knows no {first!r}")

    def _on_ok(self) -> None:
        if not self._oks_due:
            raise DiedError("an OK for nothing")
        self._oks_due -= 1
        if not self._opened:
            self._opened = self._connected = True
            self._opens += 1
            if isinstance(self, Server):
                self._oks_due += 1
                self.say(_head(_SERVICE_OFFER, self.street.service.encode(), b".*"))

    def _on_error(self, reason: bytes) -> None:
        if reason:
            raise DiedError(f"it is denied what it may do: {reason!r}")
        if self._opened:
            self._open()
        elif not self._opens:
            raise DiedError("an ERROR in answer to OPEN: connect() hangs for ever")

    def _on_delivery(self, command: int, texts: list[bytes], content: list[bytes]) -> None:
        raise DiedError(f"a delivery that it has not asked for: {command} {texts} {content}")

    def _on_ignored(self, texts: list[bytes]) -> None:
        """Note a delivery that is dropped, as its server is gone as far as it knows."""


class MalamuteClient(_MlmClient, Caller):
    """Asks many things at once, and waits for its answers, which may reach its next life."""

    def _leave(self) -> None:
        for call in self.asks.values():
            self.note_left(call)

    def _ask(self, key: str, service: str, payload: bytes, must_succeed: bool) -> None:
        if not self._opens:  # it has not got as far as that
            self.later(PING_S, lambda: self._ask(key, service, payload, must_succeed))
            return
        call = self.note_ask(key, service, must_succeed=must_succeed)
        self.say(_head(_SERVICE_SEND, service.encode(), b"price", key.encode(), 0), payload)

        def look() -> None:
            if self.asks.get(key) is call:
                self.note_left(call)
                del self.asks[key]

        self.later(self.street.timeout_s + 2 * PATIENCE_S, look)

    def _on_delivery(self, command: int, texts: list[bytes], content: list[bytes]) -> None:
        sender, address, subject, tracker = texts
        key = tracker.decode(errors="replace")
        call = next((each for each in self.world.record.foreign_calls if each.key == key), None)
        if command != _MAILBOX_DELIVER or call is None or address != self.name.encode():
            raise DiedError(f"mail that it does not expect: {texts}")
        self.asks.pop(key, None)
        if sender == _BRIDGE:
            code, _, maybe = content
            assert maybe in (b"0", b"1")
            self.note_answer(call, code.decode())
        elif key_of_answer(content[0]) != key or subject != b"price":
            raise DiedError(f"{key} is answered by {content[0][:40]!r}")
        else:
            self.note_answer(call, "reply")

    def _on_ignored(self, texts: list[bytes]) -> None:
        call = self.asks.get(texts[-1].decode(errors="replace"))
        if call is not None and self.went_on_at == self.world.now:  # it has stood still for so long
            self.note_left(call)


class MalamuteWorker(_MlmClient, Server):
    """Provides a service; runs one request after the other, and takes what comes meanwhile."""

    def __init__(self, street: Street, name: str) -> None:
        super().__init__(street, name)
        self._todo: deque[tuple[list[bytes], bytes]] = deque()

    @property
    def busy(self) -> bool:
        """See Program."""
        return super().busy or bool(self._todo)

    @property
    def may_read(self) -> bool:
        """See Program: an actor of mlm_client reads, whatever its program does."""
        return True

    def _begin(self) -> None:
        self._todo.clear()
        super()._begin()

    def _leave(self) -> None:
        super()._leave()
        self._todo.clear()

    def _on_delivery(self, command: int, texts: list[bytes], content: list[bytes]) -> None:
        if command != _SERVICE_DELIVER or texts[1] != self.street.service.encode() or len(content) != 1:
            raise DiedError(f"a request that it does not expect: {texts}")
        self._todo.append((texts, content[0]))
        self._run_next()

    def _run_next(self) -> None:
        if self._runs or not self._todo:
            return
        (sender, _, subject, tracker), payload = self._todo.popleft()

        def answer(result: bytes) -> None:
            self.say(_head(_MAILBOX_SEND, sender, subject, tracker, 0), result)
            self._run_next()

        self.run(payload, answer)
