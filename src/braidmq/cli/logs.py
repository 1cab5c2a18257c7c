"""How commands log: to stderr, each record with its time, its level and its text, or with its fields for programs."""

import logging
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

import click

from braidmq.journal import JournalHandler
from braidmq.log_json import JsonFormatter
from braidmq.stderr import StderrHandler

Format = Literal["text", "json", "journal"]
"""How a log looks: lines for people, lines of JSON, or records of systemd's journal."""

_LEVELS: Final = ("debug", "info", "warning", "error")

log_level_option: Final[Callable[[Any], Any]] = click.option(
    "--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, help="The least level that is logged."
)

log_format_option: Final[Callable[[Any], Any]] = click.option(
    "--log-format",
    type=click.Choice(get_args(Format)),
    default="text",
    show_default=True,
    help="Lines for people or for programs on stderr, or records of systemd's journal with all their fields.",
)


def log_to_stderr(level: str, speaker: str = "", log_format: Format = "text") -> None:
    """Log what BraidMQ and the user's own code have to say, from `level` on. It never blocks: lines may be lost.

    Each text begins with the name of the `speaker`, if there is one; in JSON and in the journal that is a field.

    Raises:
        ConfigError: there is no journal on this machine.
    """
    logging.basicConfig(handlers=[_handler(log_format, speaker)], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    if level != "debug":
        logging.getLogger("asyncio").setLevel(logging.WARNING)  # it tells which selector it uses


def _handler(log_format: Format, speaker: str) -> logging.Handler:
    if log_format == "journal":
        return JournalHandler(speaker)
    return StderrHandler(speaker, JsonFormatter(speaker) if log_format == "json" else None)


def log_nothing() -> None:
    """Keep BraidMQ's log off stderr: for commands that end with a result or with one line that says why not."""
    logging.getLogger("braidmq").addHandler(logging.NullHandler())
