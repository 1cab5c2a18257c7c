"""How commands log: to stderr, each record with its time, its level and its text."""

import logging
from collections.abc import Callable
from typing import Any, Final

import click

from braidmq.stderr import StderrHandler

_LEVELS: Final = ("debug", "info", "warning", "error")

log_level_option: Final[Callable[[Any], Any]] = click.option(
    "--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, help="The least level that is logged."
)


def log_to_stderr(level: str, speaker: str = "") -> None:
    """Log what BraidMQ and the user's own code have to say, from `level` on. It never blocks: lines may be lost.

    Each text begins with the name of the `speaker`, if there is one.
    """
    logging.basicConfig(handlers=[StderrHandler(speaker)], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    if level != "debug":
        logging.getLogger("asyncio").setLevel(logging.WARNING)  # it tells which selector it uses


def log_nothing() -> None:
    """Keep BraidMQ's log off stderr: for commands that end with a result or with one line that says why not."""
    logging.getLogger("braidmq").addHandler(logging.NullHandler())
