"""Who may do what: the members of a net as the cores see them, free of keys and signatures."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from braidmq.errors import ConfigError

NAME_BYTES_MAX: Final = 63
"""Longest member name. It fits a DNS label and a length byte."""

SERVICE_BYTES_MAX: Final = 127
"""Longest service name. It fits a length byte with room to spare."""

ECHO_SERVICE: Final = "braid.echo"
"""A service that every broker provides itself, to every node: it proves the way to the broker and back."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,126}\Z")
_PATTERN = re.compile(r"(\*|[A-Za-z0-9][A-Za-z0-9._/:-]{0,126}|[A-Za-z0-9][A-Za-z0-9._/:-]{0,125}\*)\Z")


class Role(StrEnum):
    """What a member is."""

    BROKER = "broker"
    NODE = "node"


def check_name(name: str) -> str:
    """Return `name` if it can name a member, else raise ConfigError."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigError(
            f"{name!r} cannot name a member: use 1 to {NAME_BYTES_MAX} letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    return name


def check_service(service: str) -> str:
    """Return `service` if it can name a service, else raise ConfigError."""
    if not isinstance(service, str) or not is_service(service):
        raise ConfigError(
            f"{service!r} cannot name a service: use 1 to {SERVICE_BYTES_MAX} letters, digits, '.', '_', '-', "
            "'/' or ':', beginning with a letter or digit"
        )
    return service


def is_service(service: str) -> bool:
    """Whether `service` can name a service."""
    return _SERVICE.match(service) is not None


def check_pattern(pattern: str) -> str:
    """Return `pattern` if it is a service name, a prefix ending in `*`, or `*`; else raise ConfigError."""
    if not isinstance(pattern, str) or not _PATTERN.match(pattern):
        raise ConfigError(
            f"{pattern!r} is not a pattern: write a service name, a prefix with '*' at its end (orders.*), or '*'"
        )
    return pattern


def matches(patterns: tuple[str, ...], service: str) -> bool:
    """Whether any of `patterns` allows `service`."""
    return any(
        service.startswith(pattern[:-1]) if pattern.endswith("*") else service == pattern for pattern in patterns
    )


@dataclass(frozen=True, slots=True)
class Member:
    """A registered member of the net.

    Attributes:
        name: unique in the net.
        role: broker or node.
        calls: patterns of the services it may call.
        serves: patterns of the services it may provide.
        observe: whether it may read the status of brokers.
        publish: whether it may hand a newer registry to brokers.
        invitation: whose token it holds, if it is no member yet, and may ask to be one; 0 for members.
        operate: whether it may drain brokers, and take nodes out of work.
    """

    name: str
    role: Role
    calls: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    observe: bool = False
    publish: bool = False
    invitation: int = 0
    operate: bool = False

    def may_call(self, service: str) -> bool:
        """Whether this member may call `service`."""
        return matches(self.calls, service)

    def may_serve(self, service: str) -> bool:
        """Whether this member may provide `service`."""
        return matches(self.serves, service)


class Standing(StrEnum):
    """How a key stands in a net. The words of those that are no member's travel, so that their holders hear why."""

    MEMBER = "member"
    UNKNOWN = "unknown"
    """It was never registered, as far as that is known."""
    REMOVED = "removed"
    """Its member was taken off the registry."""
    REVOKED = "revoked"
    """It is never accepted again."""
    EXPIRED = "expired"
    """Its member's certificate has ended."""


class Directory(Protocol):
    """Looks up the member that holds a key. A principal is a CURVE public key in lower-case hex."""

    def member(self, principal: str) -> Member | None:
        """Return the registered member with this key, or None."""

    def standing(self, principal: str) -> Standing:
        """Return how this key stands: MEMBER exactly if `member` has one, else why it has none."""
