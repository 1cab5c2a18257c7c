"""What a record of the log holds for programs: its text, and the fields of its event."""

import logging
from typing import Final

from braidmq.printable import printable

TEXT_CHARS_MAX: Final = 8_000
"""Characters of a text, and of a traceback: far more than any of ours has, and few enough for whoever collects logs."""

FIELDS_MAX: Final = 32
"""Fields of a record: several times as many as any of our events has."""

FIELD_CHARS_MAX: Final = 500
"""Characters of a field; those of our events are cut at as many."""

_OWN: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "event"})
"""What every record has, and what is told apart from its fields."""

Value = str | int | float | bool | None


def text_of(record: logging.LogRecord) -> str:
    """Return the text of a record, as it was written: it may have several lines."""
    return cut(record.getMessage(), TEXT_CHARS_MAX)


def event_of(record: logging.LogRecord) -> str:
    """Return the kind of the event that a record tells; empty if it tells none."""
    event = getattr(record, "event", "")
    return cut(event, FIELD_CHARS_MAX) if isinstance(event, str) else ""


def fields_of(record: logging.LogRecord) -> dict[str, Value]:
    """Return what a record holds besides, by name: at most FIELDS_MAX values that any program can read."""
    fields: dict[str, Value] = {}
    for name, value in vars(record).items():
        if name not in _OWN and len(fields) < FIELDS_MAX:
            fields[cut(name, FIELD_CHARS_MAX)] = _plain(value)
    return fields


def traceback_of(record: logging.LogRecord) -> str:
    """Return the traceback of a record, and its stack; empty if it has neither. Its end says what has happened."""
    parts = []
    if record.exc_info:
        parts.append(_FORMATTER.formatException(record.exc_info))
    if record.stack_info:
        parts.append(record.stack_info)
    text = "\n".join(parts)
    left_out = len(text) - TEXT_CHARS_MAX
    if left_out > 0:
        text = f"... {left_out:,} characters ...\n{text[-TEXT_CHARS_MAX:]}"
    return _encodable(text)


def cut(text: str, chars_max: int) -> str:
    """Return a text of bounded length, which can be encoded."""
    more = len(text) - chars_max
    if more > 0:
        text = f"{text[:chars_max]}... and {more:,} characters more"
    return _encodable(text)


def _encodable(text: str) -> str:
    """Return a text without lone surrogates, as names of files may have."""
    return text.encode("utf-8", "backslashreplace").decode()


_FORMATTER: Final = logging.Formatter()

_INT_BITS_MAX: Final = 63
"""Bits of a number that every reader of JSON takes for what it is."""


def _plain(value: object) -> Value:
    if isinstance(value, bool) or value is None or type(value) is float:
        return value
    if type(value) is int and value.bit_length() <= _INT_BITS_MAX:
        return value
    return printable(cut(str(value), FIELD_CHARS_MAX))
