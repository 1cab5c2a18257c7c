"""Where brokers are: ``tcp://HOST:PORT``, or ``dns+srv://NAME`` for DNS to name hosts and ports."""

import os
import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from braidmq.errors import ConfigError

HOST_BYTES_MAX: Final = 253
"""Longest DNS name (RFC 1035, as text). An IP address is shorter."""

_PORT_MAX: Final = 65_535
IPC_SCHEME: Final = "ipc://"

SOCKET_PATH_BYTES_MAX: Final = 103
"""Longest path of a Unix socket that every system takes: Linux has 4 bytes more."""

_SCHEME: Final = "tcp://"
_SERVICE_SCHEME: Final = "dns+srv://"
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
_NUMBER = re.compile(r"[0-9]+\Z")
_PORT = re.compile(r"[1-9][0-9]{0,4}\Z")
_WILDCARDS: Final = frozenset({"*", "0.0.0.0", "[::]"})  # noqa: S104 - recognised, not bound


def check_endpoint(text: str) -> str:
    """Return `text` if a node can connect to it, else raise ConfigError.

    An endpoint is ``tcp://HOST:PORT``: HOST a DNS name, an IPv4 address or an IPv6 address in brackets, PORT from
    1 to 65535. Or it is ``dns+srv://NAME``: NAME the complete DNS name of SRV records (RFC 2782), as in
    ``dns+srv://_braid._tcp.example.com``.
    """
    if text.startswith(_SERVICE_SCHEME):
        _check_service(text)
        return text
    host = _split(text)
    if host in _WILDCARDS:
        raise ConfigError(
            f"{text!r} is no address that nodes can connect to: name the broker's host (only --bind takes a wildcard)"
        )
    _check_host(text, host)
    return text


def check_bind(text: str) -> str:
    """Return `text` if a broker can listen on it, else raise ConfigError.

    It is an endpoint (`check_endpoint`), or one with a wildcard for HOST: ``*``, ``0.0.0.0`` or ``[::]``.
    ``dns+srv://`` is none: its addresses are known to DNS, and change. Or it is ``ipc://PATH``: PATH that of a Unix
    socket, from the root, at most SOCKET_PATH_BYTES_MAX bytes long.
    """
    if text.startswith(IPC_SCHEME):
        _check_path(text)
        return text
    if text.startswith(_SERVICE_SCHEME):
        _check_service(text)
        raise ConfigError(f"{text!r} cannot be listened on: name an address to listen on, as in tcp://*:5550")
    host = _split(text)
    if host not in _WILDCARDS:
        _check_host(text, host)
    return text


def count_up(text: str, by: int) -> str:
    """Return the endpoint whose port is `by` higher than that of `text`, which is what --endpoint or --bind takes.

    Raises:
        ConfigError: there is no such port, or `text` names none.
    """
    if not by:
        return text
    if text.startswith((_SERVICE_SCHEME, IPC_SCHEME)):
        raise ConfigError(f"{text!r} leads to one broker only: name a tcp:// endpoint, whose port can be counted up")
    _split(text)
    front, _, port = text.rpartition(":")
    if int(port) + by > _PORT_MAX:
        raise ConfigError(f"the port of {text!r} cannot be counted up by {by}: the highest one is {_PORT_MAX}")
    return f"{front}:{int(port) + by}"


def _split(text: str) -> str:
    """Check all but the host, and return the host."""
    _check_text(text)
    if not text.startswith(_SCHEME):
        raise ConfigError(f"{text!r} is not an endpoint: begin with tcp://, as in tcp://host.example:5550")
    host, colon, port = text.removeprefix(_SCHEME).rpartition(":")
    if not colon or port.endswith("]"):
        raise ConfigError(f"{text!r} is not an endpoint: add a port, as in {text[:270]}:5550")
    if not _PORT.match(port) or int(port) > _PORT_MAX:
        raise ConfigError(f"{text!r} is not an endpoint: the port must be a number from 1 to {_PORT_MAX}")
    return host


def _check_text(text: str) -> None:
    if len(text) > len(_SCHEME) + HOST_BYTES_MAX + len(":65535"):
        raise ConfigError(f"{text[:40]!r}... is too long for an endpoint: write tcp://HOST:PORT")
    if any(character.isspace() for character in text):
        raise ConfigError(f"{text!r} is not an endpoint: remove the spaces")


def _check_path(text: str) -> None:
    path = text.removeprefix(IPC_SCHEME)
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ConfigError(
            f"{text[:200]!r} cannot be listened on: write a path from the root, as in ipc:///run/b1/b1.sock"
        )
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise ConfigError(f"{text[:40]!r}... cannot be listened on: a path has at most {SOCKET_PATH_BYTES_MAX} bytes")


def _check_service(text: str) -> None:
    _check_text(text)
    name = text.removeprefix(_SERVICE_SCHEME)
    if ":" in name:
        raise ConfigError(f"{text!r} is not an endpoint: remove the port, the SRV records name it")
    if not _is_name(name):
        raise ConfigError(f"{text!r} is not an endpoint: write a DNS name, as in dns+srv://_braid._tcp.example.com")


def _check_host(text: str, host: str) -> None:
    if host.startswith("["):
        valid = host.endswith("]") and _is_ipv6(host[1:-1])
    elif ":" in host:
        raise ConfigError(f"{text!r} is not an endpoint: write an IPv6 address in brackets, as in tcp://[::1]:5550")
    else:
        valid = _is_name(host) or _is_ipv4(host)
    if not valid:
        raise ConfigError(f"{text!r} is not an endpoint: its host is no DNS name, IPv4 or [IPv6] address")


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    if _NUMBER.match(labels[-1]):  # RFC 3696: no top-level domain is a number, so this is meant to be IPv4
        return False
    return len(host) <= HOST_BYTES_MAX and all(map(_LABEL.match, labels))


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_ipv6(host: str) -> bool:
    """Whether `host` is an address without a zone: a zone means something on one machine only."""
    try:
        address = IPv6Address(host)
    except ValueError:
        return False
    return address.scope_id is None
