"""How many descriptors members may take of those that this process may have."""

import resource
from typing import Final

RESERVE_DESCRIPTORS: Final = 32
"""Descriptors that no member gets: for links to other brokers, the join file and lookups."""

RESERVE_SHARE_MAX: Final = 4
"""The reserve is at most a fourth of all descriptors, so that a low limit leaves room for members."""


def peers_max(descriptors_max: int) -> int:
    """Return how high the descriptor of a connection may be, given how many there may be."""
    if descriptors_max == resource.RLIM_INFINITY:
        return 1 << 30
    return descriptors_max - min(RESERVE_DESCRIPTORS, descriptors_max // RESERVE_SHARE_MAX)
