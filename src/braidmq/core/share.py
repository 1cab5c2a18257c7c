"""How much of a common budget one key may hold, so that none can take what the others need."""

from typing import Final

SHARE: Final = 1
"""A key may hold this many times what is left free: one that takes all it can get has half, two of them a third each,
and whoever comes later finds room. Source: Choudhury and Hahne, "Dynamic Queue Length Thresholds", 1998."""


def fits(held: int, more: int, left: int) -> bool:
    """Return whether a key that holds so much of a budget may have `more`, of which `left` is free."""
    return held + more <= SHARE * left
