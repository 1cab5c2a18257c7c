"""Records of the log as lines of JSON, for whatever collects logs."""

import logging
from datetime import UTC, datetime
from typing import Final

import msgspec

from braidmq.log_fields import Value, cut, event_of, fields_of, text_of, traceback_of
from braidmq.printable import printable_json

LINE_BYTES_MAX: Final = 64 * 1024
"""Longest line: what is longer is split by some who read it. Where a record does not fit, its fields are left out,
then its traceback, and then most of its text."""

SHORT_CHARS_MAX: Final = 1_000
"""Characters of the text of a record that fits in no other way: it consists of escapes."""


class JsonFormatter(logging.Formatter):
    """One object in each line: `time` (UTC), `level`, `logger`, `message`, and what else there is.

    `event` is the kind of an event, `fields` has its fields, `exception` is a traceback, `member` is who speaks.

    Args:
        speaker: the member whose records these are, where several processes write to one place.
    """

    def __init__(self, speaker: str = "") -> None:
        super().__init__()
        self._speaker = speaker

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        at = datetime.fromtimestamp(record.created, UTC)
        said: dict[str, str | dict[str, Value]] = {
            "time": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "member": self._speaker,
            "message": text_of(record),
            "event": event_of(record),
            "fields": fields_of(record),
            "exception": traceback_of(record),
        }
        said = {name: value for name, value in said.items() if value}
        line = printable_json(msgspec.json.encode(said))
        for name in ("fields", "exception", "message"):
            if len(line) > LINE_BYTES_MAX and name in said:
                said[name] = cut(record.getMessage(), SHORT_CHARS_MAX) if name == "message" else "left out: too long"
                line = printable_json(msgspec.json.encode(said))
        return line.decode()
