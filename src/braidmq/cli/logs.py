"""How commands log: to stderr, each record with its time, its level and its text."""

import logging
from collections.abc import Callable
from typing import Any, Final

import click

from braidmq.cli import printable

_LEVELS: Final = ("debug", "info", "warning", "error")

log_level_option: Final[Callable[[Any], Any]] = click.option(
    "--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, help="The least level that is logged."
)


class _Formatter(logging.Formatter):
    """Keeps what a peer said in one line, and its control characters away from the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))


def log_to_stderr(level: str) -> None:
    """Log what BraidMQ and the user's own code have to say, from `level` on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    if level != "debug":
        logging.getLogger("asyncio").setLevel(logging.WARNING)  # it tells which selector it uses


def log_nothing() -> None:
    """Keep BraidMQ's log off stderr: for commands that end with a result or with one line that says why not."""
    logging.getLogger("braidmq").addHandler(logging.NullHandler())
