"""The arguments of a call: each function returns what it was given, checked, or raises ConfigError.

They take any object: compiled code checks the types that it declares by itself, and raises TypeErrors that do not name
the argument.
"""

from collections.abc import Container
from typing import Final

from braidmq.bounds import ATTEMPTS_MAX, DAY_S
from braidmq.checks import check_number, check_whole
from braidmq.core.ids import ID_BYTES, is_request_id
from braidmq.errors import ConfigError
from braidmq.members import check_name

TIMEOUT_S_MAX: Final = float(DAY_S)
"""Longest time that a call may take."""


def payload_of(value: object) -> bytes:
    """Return the bytes of a payload: those of a bytearray or memoryview are copied."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, (bytearray, memoryview)):
        raise ConfigError(f"payload must be bytes, bytearray or memoryview, not {type(value).__name__}")
    try:
        return bytes(value)
    except ValueError:
        raise ConfigError("payload is a memoryview that has been released") from None


def timeout_of(value: object) -> float:
    """Return a call's time in seconds."""
    if type(value) is float and 0.0 < value <= TIMEOUT_S_MAX:
        return value
    seconds = check_number("timeout", value)
    if not 0.0 < seconds <= TIMEOUT_S_MAX:
        raise ConfigError(f"timeout must be above 0 and at most {TIMEOUT_S_MAX:.0f} seconds, not {value!r}")
    return float(seconds)


def attempts_of(value: object) -> int:
    """Return how often a call may be sent."""
    return check_whole("attempts", value, 1, ATTEMPTS_MAX)


def via_of(value: object) -> str:
    """Return the name of the only broker that a call may take."""
    if not isinstance(value, str):
        raise ConfigError(f"via must be the name of a broker, not {value!r}")
    if not value:
        raise ConfigError("via is empty: name a broker, or leave it out to use any of them")
    try:
        return check_name(value)
    except ConfigError as error:
        raise ConfigError(f"via names no broker: {error}") from None


def wait_of(value: object) -> bool:
    """Return whether a call waits for a worker."""
    if not isinstance(value, bool):
        raise ConfigError(f"wait must be True, False or None, not {value!r}")
    return value


def id_of(value: object, taken: Container[bytes]) -> bytes:
    """Return the id that a caller gives its request, which is none of those that calls of this node have."""
    if not isinstance(value, bytes) or not is_request_id(value):
        raise ConfigError(
            f"id must be {ID_BYTES} bytes whose first bit is 0, as it is in the id of a Request, not {value!r:.80}"
        )
    if value in taken:
        raise ConfigError(f"a call with the id {value.hex()} is under way at this node: wait for its end")
    return value


def duplicate_of(value: object) -> bool:
    """Return whether a request may have been run before."""
    if not isinstance(value, bool):
        raise ConfigError(f"possible_duplicate must be True or False, not {value!r}")
    return value
