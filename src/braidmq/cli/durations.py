"""Lengths of time on the command line: 90s, 15m, 24h, 7d."""

import re
from collections.abc import Callable
from typing import Final

import click

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_LENGTH: Final = re.compile(r"([0-9]{1,9})([smhd])\Z")


def duration(most_s: int) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """Return the callback of an option that turns a length of time into seconds.

    Args:
        most_s: the longest one that is allowed; the shortest is a second.
    """

    def convert(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
        if text is None:
            return None
        found = _LENGTH.match(text)
        if found is None:
            raise click.BadParameter(
                f"{text!r} is no length of time: write a number and s, m, h or d, as in 15m or 24h"
            )
        length_s = int(found[1]) * _UNITS_S[found[2]]
        if not 1 <= length_s <= most_s:
            raise click.BadParameter(f"{text!r} is not in the range from 1s to {most_s // _UNITS_S['d']}d")
        return length_s

    return convert
