"""BraidMQ's own loggers: no record that leaves them can forge another one or reach a terminal raw."""

import logging
from typing import Final

from braidmq.printable import printable

RECORD_CHARS_MAX: Final = 8_000
"""Characters of a record's text: far more than any of ours has, unless somebody else's text is in it."""


def own_logger(name: str) -> logging.Logger:
    """Return the logger `name`, whose records are escaped before any handler sees them, the user's own included.

    A record's text becomes printable, and is cut when it is too long. Its `exc_info` is left alone: it is the user's
    own exception, and `braidmq.stderr.LineFormatter` escapes what is written of it.
    """
    logger = logging.getLogger(name)
    if _escape not in logger.filters:
        logger.addFilter(_escape)
    return logger


def _escape(record: logging.LogRecord) -> bool:
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001 - the text of an argument is its class's own code; handlers say what is wrong
        return True
    if len(text) > RECORD_CHARS_MAX or not text.isprintable():
        more = len(text) - RECORD_CHARS_MAX
        record.msg = printable(text[:RECORD_CHARS_MAX]) + (f"... and {more:,} characters more" if more > 0 else "")
        record.args = None
    return True
