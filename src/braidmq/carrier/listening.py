"""Lets a broker listen: at every kind of address, and after a wait where a port will soon be free."""

import errno
import os
from time import sleep
from typing import Final

from braidmq.carrier.listener import Listener
from braidmq.carrier.nearby import Nearby, NoPlace
from braidmq.carrier.port_holder import PortHolder, port_holder
from braidmq.errors import BraidError
from braidmq.host.clock import monotonic
from braidmq.host.dns import ResolveError, resolve
from braidmq.host.loggers import own_logger
from braidmq.host.ports import ephemeral_range, is_ephemeral
from braidmq.host.room import room
from braidmq.trust.endpoint import IPC_SCHEME

_LOG = own_logger("braidmq.broker")

SUCCESSION_S_MAX: Final = 1.0
"""How long another server at the port is waited for: this broker's predecessor may be about to end."""

MEMORY_S_MAX: Final = 65.0
"""How long a connection from the port is waited for: the system remembers one for 60 s after its end."""

_RETRY_S: Final = 0.1


def listen(listener: Listener, endpoint: str, name: str) -> str:
    """Let the broker `name` listen at `endpoint`, and return where it does.

    Args:
        listener: what it listens with.
        endpoint: ``tcp://HOST:PORT`` or ``ipc://PATH``, as `braidmq.trust.endpoint.check_bind` accepts it. Of a host
            name's addresses the first one counts that is of this machine.
        name: for messages.

    Raises:
        BraidError: it cannot, for a reason that does not pass; one line says which.
    """
    if endpoint.startswith(IPC_SCHEME):
        return _listen_at_file(listener, endpoint, name)
    port = int(endpoint.rpartition(":")[2])
    began, told = monotonic(), False
    while True:
        try:
            with room("a broker"):
                return _bind(listener, _addresses(endpoint))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise BraidError(f"{name} cannot listen at {endpoint}: {_why(error)}") from None
        holder = port_holder(port)
        if monotonic() - began >= _patience_s(holder):
            why = f"{holder.text}{_advice(port, holder)}" if holder is not None else "choose another one"
            raise BraidError(f"{name} cannot listen at {endpoint}: the port is in use: {why}")
        if holder is not None and not holder.listens and not told:
            told = True
            _LOG.warning("%s waits for %s: %s%s", name, endpoint, holder.text, _advice(port, holder))
        sleep(_RETRY_S)


def listen_nearby(listener: Listener, nearby: Nearby, name: str) -> str:
    """Let the broker `name` listen where members of its machine look for it, too.

    Returns:
        The endpoint; empty if it cannot, which the log tells: they come over TCP then.
    """
    try:
        endpoint = nearby.place(name)
    except NoPlace as error:
        why = str(error)
    else:
        try:
            return listener.bind(endpoint)
        except OSError as error:
            why = f"{endpoint}: {_why_not_file(error)}"
    _LOG.warning("%s has no socket for members of this machine, which come over TCP: %s", name, why)
    return ""


def _listen_at_file(listener: Listener, endpoint: str, name: str) -> str:
    try:
        with room("a broker"):
            return listener.bind(endpoint)
    except OSError as error:
        raise BraidError(f"{name} cannot listen at {endpoint}: {_why_not_file(error)}") from None


def _bind(listener: Listener, addresses: tuple[str, ...]) -> str:
    """Listen at the first of these addresses that is of this machine."""
    for address in addresses[:-1]:
        try:
            return listener.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
    return listener.bind(addresses[-1])


def _addresses(endpoint: str) -> tuple[str, ...]:
    """Return `endpoint` with addresses in place of a host name."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    if host == "[::]":
        return endpoint, f"tcp://*:{port}"  # a system without IPv6 has no such wildcard
    if host == "*":
        return (endpoint,)
    try:
        return resolve(endpoint)
    except ResolveError as error:
        raise BraidError(f"cannot listen at {endpoint}: {error}, or name an address with --bind") from None


def _patience_s(holder: PortHolder | None) -> float:
    """Return how long to wait for a port."""
    if holder is None or (holder.listens and holder.pid != os.getpid()):
        return SUCCESSION_S_MAX
    return 0.0 if holder.listens else MEMORY_S_MAX


def _advice(port: int, holder: PortHolder) -> str:
    if holder.listens or not is_ephemeral(port):
        return ""
    low, high = ephemeral_range()
    return f" (those from {low} to {high} are given to connections; better choose one below)"


def _why_not_file(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another process listens there, or it is not a socket"
    return os.strerror(error.errno or 0)


def _why(error: OSError) -> str:
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV, errno.EINVAL, errno.EAFNOSUPPORT):
        return "it is not an address of this machine: name one with --bind, e.g. --bind tcp://*:5555"
    if error.errno == errno.EACCES:
        return "the system does not allow it: choose a port above 1023, or give it CAP_NET_BIND_SERVICE"
    return os.strerror(error.errno or 0)
