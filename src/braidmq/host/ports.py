"""The ports that the system gives to outgoing connections by itself: a server had better not count on one of them."""

from pathlib import Path
from typing import Final

_USUAL: Final = (32_768, 60_999)
"""Linux's, unless somebody has changed them."""

_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_RESERVED: Final = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")


def ephemeral_range() -> tuple[int, int]:
    """Return the lowest and the highest port that this machine gives to outgoing connections, of IPv4 and IPv6."""
    try:
        low, high = map(int, _RANGE.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return _USUAL
    return low, high


def is_ephemeral(port: int) -> bool:
    """Whether an outgoing connection of this machine may have `port` at its own end."""
    low, high = ephemeral_range()
    return low <= port <= high and not _is_reserved(port)


def _is_reserved(port: int) -> bool:
    """Whether somebody has taken `port` out of the range: the kernel's list reads ``8080,9148-9150``."""
    try:
        spans = [span.partition("-") for span in _RESERVED.read_text(encoding="ascii").strip().split(",") if span]
        return any(int(low) <= port <= int(high or low) for low, _, high in spans)
    except (OSError, ValueError):
        return False
