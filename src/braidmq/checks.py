"""Whether an argument is what it must be. Each check raises a ConfigError that names the argument."""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from braidmq.bounds import DAY_S
from braidmq.errors import ConfigError

WAIT_S_MAX: Final = float(DAY_S)
"""Longest wait: longer ones end then."""

PORT_MAX: Final = 65_535

_PORT: Final = re.compile(r"[0-9]{1,5}\Z")


def port_of(text: str) -> int | None:
    """Return the port that a text is, 0 among them; None if it is none."""
    return int(text) if _PORT.match(text) and int(text) <= PORT_MAX else None


def host_and_port(text: str) -> tuple[str, int] | None:
    """Return what ``HOST:PORT`` says, an IPv6 address without its brackets; None if it says no such thing."""
    host, _, digits = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    port = port_of(digits)
    return None if port is None or not bare or (":" in bare) != (bare != host) else (bare, port)


def split_host(field: str) -> tuple[str, int | None]:
    """Return name and port of an HTTP request's Host, the name bare and in lower case; no name if it is none."""
    try:
        parts = urlsplit(f"//{field}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return "", None
    if name is None or parts.netloc != field or "@" in field:
        return "", None
    return name.rstrip("."), port


def is_address(name: str) -> bool:
    """Whether a host is named by its IP address, so that no record of somebody else's can have led there."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def check_kind(name: str, value: object, kinds: type | tuple[type, ...], what: str) -> None:
    """Raise ConfigError if `value` is of none of the `kinds`; `what` tells what would be right."""
    if not isinstance(value, kinds):
        raise ConfigError(f"{name} must be {what}, not {value!r}")


def check_whole(name: str, value: object, low: int, high: int) -> int:
    """Return `value` if it is a whole number between the bounds, else raise ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} must be a whole number, not {value!r}")
    if not low <= value <= high:
        raise ConfigError(f"{name} must be between {low} and {high}, not {value!r}")
    return value


def check_number(name: str, value: object) -> int | float:
    """Return `value` if it is a number, else raise ConfigError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{name} must be a number, not {value!r}")
    return value


def check_wait_s(value: object) -> float:
    """Return a wait's `timeout`, in seconds, if it is a number of at least 0, else raise ConfigError."""
    seconds = check_number("timeout", value)
    if not seconds >= 0.0:
        raise ConfigError(f"timeout must be at least 0 seconds, not {value!r}")
    return min(seconds, WAIT_S_MAX)
