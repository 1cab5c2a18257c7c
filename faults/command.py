"""What the commands of the harnesses share: `python -m faults`, `python -m faults.promises` and `python -m attacks`."""

import argparse
import logging
import signal
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parent.parent / "docs"
"""Where reports go, unless another place is named."""

say: Final = partial(print, flush=True)
"""Prints a line at once: a run takes hours, and somebody may watch it through a pipe."""


def new_parser(prog: str, about: str | None, metavar: str, names: str) -> argparse.ArgumentParser:
    """Return a parser of the arguments that all of them have; `names` says what may be named."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("names", nargs="*", metavar=metavar, help=f"{names}; all, if none is named")
    parser.add_argument("--list", action="store_true", help="list what can be named and end")
    parser.add_argument("--runs", type=int, metavar="N", help="how often each is run; each has its own number")
    return parser


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add where the report goes."""
    parser.add_argument(
        "--report", type=Path, default=DOCS, metavar="DIR", help=f"where the report goes; {DOCS.name}/ by default"
    )


def begin(
    parser: argparse.ArgumentParser, arguments: Sequence[str], listed: Iterable[tuple[str, str]]
) -> argparse.Namespace | None:
    """Return the options of a run that begins; None if they ask for the list, which is printed.

    What was started is ended, whoever ends this process.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    options = parser.parse_args(arguments)
    logging.getLogger("braidmq").addHandler(logging.NullHandler())  # the observer's connections come and go
    if options.list:
        rows = list(listed)
        width = max(len(name) for name, _ in rows) + 2
        say("\n".join(f"{name:{width}}{about}" for name, about in rows))
        return None
    if options.runs is not None and options.runs < 1:
        parser.error("--runs must be at least 1")
    return options


def verdict_of(verdict: str, why: str) -> str:
    """Return what became of a row, on one line."""
    return f"{verdict}{': ' if why else ''}{why}"
