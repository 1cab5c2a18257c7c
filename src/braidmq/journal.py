"""Logs to systemd's journal, with the fields of each record, and never blocks.

Each record is a datagram (https://systemd.io/JOURNAL_NATIVE_PROTOCOL).
"""

import errno
import logging
import os
import re
import socket
from typing import Final

from braidmq.errors import ConfigError
from braidmq.host.writer import PASSING, Writer
from braidmq.log_fields import event_of, fields_of, text_of, traceback_of
from braidmq.printable import printable
from braidmq.stderr import complain_of

SOCKET: Final = "/run/systemd/journal/socket"
"""Where the journal listens."""

IDENTIFIER: Final = "braidmq"
"""What `journalctl -t` selects."""

NAME_CHARS_MAX: Final = 64
"""Characters of the name of a field; the journal takes no longer ones."""

_AWAY: Final = frozenset({errno.ECONNREFUSED, errno.ENOTCONN, errno.ECONNRESET, errno.ENOENT})
"""Errors while the journal is started anew."""

_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""The least level of each priority of syslog; below all of them it is 7, for debugging."""


class JournalHandler(logging.Handler):
    """Logs to the journal. A thread of its own writes: what the journal does not take in time is dropped and counted.

    MESSAGE is the text, PRIORITY the level, and LOGGER the name of the logger. BRAIDMQ_EVENT is the kind of an event,
    and BRAIDMQ_ABOUT and the like are its fields. EXCEPTION_TEXT is a traceback.

    Args:
        speaker: the member whose records these are (BRAIDMQ_MEMBER), where several processes write to one place.
        path: where the journal listens.

    Raises:
        ConfigError: nothing listens there.

    Attributes:
        for_programs: see StderrHandler.
    """

    for_programs = True

    def __init__(self, speaker: str = "", path: str = SOCKET) -> None:
        super().__init__()
        self._speaker = speaker
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"there is no journal at {path} ({error.strerror}): log to stderr, with --log-format json or text"
            ) from None
        self._writer = Writer(
            self._socket.fileno(), self._lost, write=self._write, passing=PASSING | _AWAY | {errno.EMSGSIZE}
        )
        os.register_at_fork(after_in_child=self._writer.after_fork)

    def emit(self, record: logging.LogRecord) -> None:
        """Let a record be written."""
        try:
            entry = self._entry(record)
        except Exception:  # noqa: BLE001 - whatever a record's arguments do, their owner must go on
            self.handleError(record)
            return
        self._writer.write(entry)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say on stderr that a record could not be formatted."""
        complain_of(record)

    def flush(self) -> None:
        """Wait until all of it is written, for a short time."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left, and end."""
        self.flush()
        super().close()

    def _entry(self, record: logging.LogRecord) -> bytes:
        said = {
            "MESSAGE": printable(text_of(record)),
            "PRIORITY": str(next((each for level, each in _PRIORITIES if record.levelno >= level), 7)),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "LOGGER": record.name,
        }
        own = "BRAIDMQ_" if record.name.startswith("braidmq") else "FIELD_"
        more = {"BRAIDMQ_MEMBER": self._speaker, "BRAIDMQ_EVENT": event_of(record)}
        more |= {own + name: str(value) for name, value in fields_of(record).items()}
        more["EXCEPTION_TEXT"] = traceback_of(record)
        return b"".join(_field(name, value) for name, value in (said | more).items() if value)

    def _lost(self, count: int) -> bytes:
        return _field("MESSAGE", f"... {count:,} records were lost here: the journal did not take them in time") + (
            _field("PRIORITY", "4") + _field("SYSLOG_IDENTIFIER", IDENTIFIER)
        )

    def _write(self, descriptor: int, entry: memoryview) -> int:
        """Send a record, over a new connection if the journal was started anew."""
        try:
            return os.write(descriptor, entry)
        except OSError as error:
            if error.errno not in _AWAY:
                raise
        self._socket.connect(self._path)
        return os.write(descriptor, entry)


def _field(name: str, value: str) -> bytes:
    """Return a field as the journal reads it: one with several lines has its length in front."""
    key = re.sub("[^A-Z0-9_]", "_", name.upper())[:NAME_CHARS_MAX].encode()
    text = value.encode("utf-8", "backslashreplace")
    if b"\n" not in text:
        return key + b"=" + text + b"\n"
    return key + b"\n" + len(text).to_bytes(8, "little") + text + b"\n"
