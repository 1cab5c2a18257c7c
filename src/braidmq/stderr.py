"""A process's stderr: the one way to write to it that never blocks, and how log records look there."""

import logging
import os
import sys
from typing import Final

from braidmq.host.writer import Writer
from braidmq.printable import printable

RECORD_BYTES_MAX: Final = 64 * 1024
"""Longest record, traceback included: an exception's text may hold a whole payload."""

MARK: Final = "  | "
"""How the further lines of a record begin: no text of others can pass for a record of its own."""


def _lost(count: int) -> bytes:
    return f"... {count:,} lines were lost here: stderr was not read in time\n".encode()


_WRITER: Final = Writer(2, _lost)
os.register_at_fork(after_in_child=_WRITER.after_fork)


def say(line: str) -> None:
    """Write a line to stderr. It may be lost if nobody reads there."""
    _WRITER.write(_encode(f"{line}\n"))


def flush() -> None:
    """Wait until all of it is written, for a short time."""
    _WRITER.flush()


class LineFormatter(logging.Formatter):
    """Time, level and text; what others said, in a record or in a traceback, can forge neither records nor escapes.

    Args:
        speaker: the member that is in front of each text, where several processes write to one place.
    """

    def __init__(self, speaker: str = "") -> None:
        spoken = f"{speaker}: " if speaker else ""
        super().__init__(f"%(asctime)s.%(msecs)03d %(levelname)-7s {spoken}%(message)s", datefmt="%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the record's first line."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return all lines of a record."""
        first, *rest = super().format(record).split("\n")
        return "\n".join([first, *(f"{MARK}{printable(line)}" for line in rest)])


class StderrHandler(logging.Handler):
    """Logs to stderr, and never blocks.

    Args:
        speaker: see LineFormatter.
        formatter: how records look, if they are for programs and not as a LineFormatter has them.

    Attributes:
        for_programs: whether whoever reads there expects nothing but records.
    """

    def __init__(self, speaker: str = "", formatter: logging.Formatter | None = None) -> None:
        super().__init__()
        self.for_programs = formatter is not None
        self.setFormatter(formatter or LineFormatter(speaker))

    def emit(self, record: logging.LogRecord) -> None:
        """Let a record be written."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - whatever a record's arguments do, their owner must go on
            self.handleError(record)
            return
        encoded = _encode(line)
        if len(encoded) > RECORD_BYTES_MAX:
            more = len(encoded) - RECORD_BYTES_MAX
            encoded = encoded[:RECORD_BYTES_MAX] + f"\n{MARK}... and {more:,} bytes more".encode()
        _WRITER.write(encoded + b"\n")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say that a record could not be formatted."""
        complain_of(record)

    def flush(self) -> None:
        """Wait until all of it is written, for a short time."""
        flush()


def complain_of(record: logging.LogRecord) -> None:
    """Say which record cannot be formatted, while that is handled: the log must show that something is missing."""
    kind = sys.exc_info()[0]
    why = kind.__name__ if kind is not None else "error"
    say(printable(f"a record of {record.name} ({record.filename}:{record.lineno}) cannot be formatted: {why}"))


def log_unless_configured() -> None:
    """Let a program that has not configured `logging` log to stderr, from INFO on.

    Where neither the root logger nor `braidmq` has a handler, but another one has, the program has its own ideas of
    what is to be logged: then only BraidMQ's own records go to stderr.
    """
    if logging.getLogger("braidmq").hasHandlers():
        return
    if _is_configured():
        logging.getLogger("braidmq").addHandler(StderrHandler())
        logging.getLogger("braidmq").setLevel(logging.INFO)
    else:
        logging.basicConfig(handlers=[StderrHandler()], level=logging.INFO)


def _is_configured() -> bool:
    """Whether any logger writes anywhere. Libraries give theirs a handler that does not."""
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    return any(type(handler) is not logging.NullHandler for each in loggers for handler in each.handlers)


def _encode(text: str) -> bytes:
    encoding = (sys.stderr.encoding if sys.stderr is not None else None) or "utf-8"
    return text.encode(encoding, "backslashreplace")
