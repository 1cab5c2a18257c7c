"""From a broker's endpoint to the addresses to try: ``tcp://NAME:PORT`` and ``dns+srv://NAME`` looked up in DNS.

All addresses of an endpoint lead to the one broker whose certificate names it, and CURVE proves its key: what DNS
says is a hint, never trusted. The functions block; call them in a thread.
"""

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, NamedTuple

from braidmq.errors import BraidError
from braidmq.host.clock import monotonic

ADDRESSES_MAX: Final = 16
"""Addresses of one endpoint, and hosts looked up for it: whoever answers for DNS decides how many there are, and each
address that is dead costs a node a whole connection attempt."""

LOOKUP_S_MAX: Final = 5.0
"""How long DNS may take to answer for SRV records. dnspython gives a server 2 s, so a lost packet costs no more than
the first try."""

_TCP: Final = "tcp://"
_SRV: Final = "dns+srv://"


class ResolveError(BraidError):
    """An endpoint has no address now. DNS may know better later, so trying again makes sense."""


def is_address(endpoint: str) -> bool:
    """Whether `endpoint` is ``tcp://`` with an IPv4 address or an IPv6 address in brackets: nothing to look up."""
    if not endpoint.startswith(_TCP):
        return False
    host = _split(endpoint)[0]
    try:
        if host.startswith("[") and host.endswith("]"):
            IPv6Address(host[1:-1])
        else:
            IPv4Address(host)
    except ValueError:
        return False
    return True


def resolve(endpoint: str) -> tuple[str, ...]:
    """Return the ``tcp://ADDRESS:PORT`` endpoints to try for `endpoint`: 1 to ADDRESSES_MAX, no doubles, best first.

    Args:
        endpoint: ``tcp://HOST:PORT`` or ``dns+srv://NAME``, as `braidmq.trust.endpoint.check_endpoint` accepts it.
            The addresses of a host keep the order that the system gives them (RFC 6724). NAME is complete: no
            search list is applied. The hosts of its SRV records are ordered by priority, then weight; one that
            cannot be looked up is left out.

    It blocks while the system looks up a host, which is bounded by the system's own settings. For SRV records it
    waits up to LOOKUP_S_MAX for DNS, and begins to look up further hosts for LOOKUP_S_MAX after that.

    Raises:
        ResolveError: there is no address, in one line that says why.
    """
    if is_address(endpoint):
        return (endpoint,)
    if endpoint.startswith(_SRV):
        return _resolve_service(endpoint)
    if endpoint.startswith(_TCP):
        return tuple(_addresses(*_split(endpoint)))[:ADDRESSES_MAX]
    raise ResolveError(f"{endpoint!r} cannot be looked up: it begins with neither {_TCP} nor {_SRV}")


class _Target(NamedTuple):
    """An SRV record, with its fields in the order that sorts the best first. `lightness` is the weight negated."""

    priority: int
    lightness: int
    host: str
    port: int


def _resolve_service(endpoint: str) -> tuple[str, ...]:
    targets = _targets(endpoint)
    found: dict[str, None] = {}
    failure = ""
    give_up_at = monotonic() + LOOKUP_S_MAX
    for target in targets[:ADDRESSES_MAX]:
        try:
            found.update(_addresses(target.host, target.port))
        except ResolveError as error:
            failure = failure or str(error)
        if len(found) >= ADDRESSES_MAX or monotonic() >= give_up_at:
            break
    if not found:
        raise ResolveError(f"no host that {endpoint} names has an address: {failure}")
    return tuple(found)[:ADDRESSES_MAX]


def _targets(endpoint: str) -> list[_Target]:
    """Return the hosts that the SRV records of `endpoint` name, best first.

    RFC 2782 draws the order within a priority at random, by weight, to spread load over servers. These are ways to
    one broker and all are tried in turn, so a stable order is better: whoever looks up again finds the next one.
    """
    try:
        import dns.exception  # noqa: PLC0415 - dnspython is an extra
        import dns.resolver  # noqa: PLC0415 - dnspython is an extra
    except ImportError:
        raise ResolveError(f"{endpoint} needs dnspython to be looked up: pip install 'braidmq[dns]'") from None
    name = endpoint.removeprefix(_SRV)
    try:
        answer = dns.resolver.resolve(name, "SRV", lifetime=LOOKUP_S_MAX, search=False)
    except dns.resolver.NXDOMAIN:
        raise ResolveError(f"{endpoint}: DNS knows no such name") from None
    except dns.resolver.NoAnswer:
        raise ResolveError(f"{endpoint}: the name has no SRV records") from None
    except dns.exception.Timeout:
        raise ResolveError(f"{endpoint}: DNS did not answer within {LOOKUP_S_MAX:g} s") from None
    except dns.exception.DNSException as error:
        raise ResolveError(f"{endpoint}: {' '.join(str(error).split())}") from None
    # The final dot goes: /etc/hosts has names without it, and an address is none with it.
    targets = [
        _Target(record.priority, -record.weight, record.target.to_text(omit_final_dot=True), record.port)
        for record in answer
        if record.port and len(record.target) > 1  # RFC 2782: the root as target says "no such service here"
    ]
    if not targets:
        raise ResolveError(f"{endpoint}: its SRV records say that the service is not available")
    return sorted(targets)


def _addresses(host: str, port: int | str) -> dict[str, None]:
    """Return the endpoints of `host` as the keys of a dict, which keeps their order and each only once."""
    try:
        infos = _look_up(host)
    except OSError as error:
        raise ResolveError(f"{host} has no address ({error.strerror}): check the name") from None
    except UnicodeError:  # a label that is empty or too long
        raise ResolveError(f"{host!r} is no name of a host") from None
    return {f"tcp://{_literal(family, sockaddr)}:{port}": None for family, _type, _proto, _name, sockaddr in infos}


def _look_up(host: str) -> list[Any]:
    """Return what the system knows of a host. /etc/hosts has its names without the final dot."""
    # Without a port, lest the system look for a service of that name.
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        if not host.endswith("."):
            raise
        return socket.getaddrinfo(host.removesuffix("."), None, type=socket.SOCK_STREAM)


def _literal(family: int, sockaddr: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    """Return an address as it stands in an endpoint. One that is valid on one link only needs that link's number."""
    if family != socket.AF_INET6:
        return str(sockaddr[0])
    zone = f"%{sockaddr[3]}" if len(sockaddr) > 3 and sockaddr[3] else ""
    return f"[{sockaddr[0]}{zone}]"


def _split(endpoint: str) -> tuple[str, str]:
    """Return host and port of an endpoint that begins with ``tcp://``."""
    host, _, port = endpoint.removeprefix(_TCP).rpartition(":")
    return host, port
