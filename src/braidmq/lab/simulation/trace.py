"""What happened in a run, event by event: always as a digest, and as lines to read where that is asked for."""

import hashlib
from dataclasses import dataclass
from typing import Final

from braidmq.errors import ProtocolError
from braidmq.wire.bundle import split
from braidmq.wire.control import decode_control
from braidmq.wire.envelope import CONTROL_FIRST, REQUEST, Command, Flag, Outcome, Progress, Reason, command_of, decode

LINES_MAX: Final = 2_000_000
"""Lines that are kept; a run has some ten thousand."""

_NAMES: Final = {int(command): command.name for command in Command}
_CODES: Final[dict[int, dict[int, str]]] = {
    command: {int(code): code.name for code in codes}
    for command, codes in ((Command.REPLY, Outcome), (Command.WORKING, Progress), (Command.REJECT, Reason))
}


@dataclass(frozen=True, slots=True)
class Line:
    """One event. `ids` are the requests that it is about; a fault is about all of them."""

    at: float
    text: str
    ids: frozenset[bytes] = frozenset()
    fault: bool = False

    def __str__(self) -> str:
        return f"{self.at:10.4f}  {self.text}"


class Trace:
    """The events of one run. Two runs with the same digest were the same, event by event.

    Attributes:
        keeps: whether events are kept to be read.
        lines: these events.
        events: how many there were.
    """

    def __init__(self, *, keep: bool) -> None:
        self.lines: list[Line] = []
        self.events = 0
        self.keeps = keep
        self._hash = hashlib.blake2b(digest_size=8)

    @property
    def digest(self) -> str:
        """16 hex digits that stand for all events so far, with their times."""
        return self._hash.hexdigest()

    def frame(self, at: float, source: str, target: str, what: str, frame: bytes) -> None:
        """Note that a frame was sent, has arrived, or was lost."""
        self.events += 1
        self._hash.update(f"{at:.9f} {source}>{target} {what} ".encode())
        self._hash.update(frame)
        if self.keeps and len(self.lines) < LINES_MAX:
            told, ids = describe(frame)
            self.lines.append(Line(at, f"{source} > {target} {what}: {told}", ids))

    def note(self, at: float, text: str, *, fault: bool = False, ids: frozenset[bytes] = frozenset()) -> None:
        """Note anything else."""
        self.events += 1
        self._hash.update(f"{at:.9f} {text}".encode())
        if self.keeps and len(self.lines) < LINES_MAX:
            self.lines.append(Line(at, f"** {text}" if fault else text, ids, fault))

    def around(self, at: float | None, id_: bytes, *, lines_max: int = 60, before_s: float = 1.0) -> list[Line]:
        """Return the events that tell how something came to be, of one request or up to a time; and faults before."""
        if id_:
            last = max((line.at for line in self.lines if id_ in line.ids), default=0.0)
            found = [line for line in self.lines if id_ in line.ids or (line.fault and line.at <= last)]
        else:
            end = float("inf") if at is None else at
            found = [line for line in self.lines if line.at <= end and (line.fault or line.at >= end - before_s)]
        return found[-lines_max:]


def describe(frame: bytes) -> tuple[str, frozenset[bytes]]:
    """Return what a frame holds, on one line, and the requests that it is about."""
    messages, intact = split(frame)
    told, ids = [], []
    for message in messages:
        try:
            if command_of(message) < CONTROL_FIRST:
                text, id_ = _describe_exchange(message)
                ids.append(id_)
            else:
                text = _shorten(str(decode_control(message) or f"command {command_of(message)}"))
        except ProtocolError as error:
            text = f"malformed ({error})"
        told.append(text if text.isprintable() else text.encode("unicode_escape").decode())
    if not intact:
        told.append("garbage")
    return ", ".join(told), frozenset(ids)


def _describe_exchange(message: bytes) -> tuple[str, bytes]:
    found = decode(message)
    words = [_NAMES.get(found.command, f"command {found.command}"), found.id.hex()[-6:], f"tag {found.tag}"]
    if found.flags & Flag.POSSIBLE_DUPLICATE:
        words.append("flagged")
    if found.retry_count:
        words.append(f"retry {found.retry_count}")
    if found.command in _CODES:
        words.append(_CODES[found.command].get(found.code, f"code {found.code}"))
    if found.command == REQUEST:
        words.append(f"{found.service.decode('ascii', 'replace')} {found.time_ms} ms left")
    if found.sender:
        words.append(f"of {found.sender.decode('ascii', 'replace')}")
    return " ".join(words), found.id


def _shorten(text: str, most: int = 160) -> str:
    return text if len(text) <= most else text[:most] + "..."
