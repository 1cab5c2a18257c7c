"""Proves at a broker's start that it refuses a key that nobody has registered."""

import os
import socket as sockets
from collections.abc import Iterator
from typing import Final

from braidmq.carrier.asking import Asking
from braidmq.carrier.listener import Listener
from braidmq.carrier.poller import Poller
from braidmq.carrier.strangers import Strangers
from braidmq.core.links.link import Failure, Open
from braidmq.errors import BraidError
from braidmq.host.clock import monotonic
from braidmq.settings import Settings
from braidmq.zmtp.handshake import KeyPair
from braidmq.zmtp.sodium import KEY_BYTES, public_key

ADDRESS_S_MAX: Final = 1.0
"""Time that an address has to refuse the stranger. One that drops its packets says nothing of the broker."""

ADDRESSES_MAX: Final = 4
"""Addresses that are tried before the connection within the process, so that a broker with many of them starts in
time."""

WITHIN_S_MAX: Final = 5.0
"""The same time within the process, where nothing but a busy machine can be in the way."""

_SLICE_S: Final = 0.01
_WITHIN: Final = "within this process"


def prove_refused(listener: Listener, poller: Poller, name: str, key: bytes, endpoints: tuple[str, ...]) -> None:
    """Return once a stranger was refused.

    Where the broker listens decides nothing: everyone meets the same handshake. But not every address can be reached
    from here (without IPv6, behind a firewall), and that is no reason not to start. So the stranger comes over a
    connection within this process when it has got no answer elsewhere.

    Args:
        listener: the broker's.
        poller: the listener's.
        name: of the broker.
        key: its public key.
        endpoints: where it listens.

    Raises:
        BraidError: a stranger was let in, or was not refused.
    """
    strangers, listener.strangers = listener.strangers, Strangers()  # of this one the log is not told
    try:
        _prove(listener, poller, name, key, endpoints)
    finally:
        listener.strangers = strangers


def _prove(listener: Listener, poller: Poller, name: str, key: bytes, endpoints: tuple[str, ...]) -> None:
    for endpoint in list(_reachable(endpoints))[:ADDRESSES_MAX]:
        if _met(listener, poller, name, key, endpoint, timeout_s=ADDRESS_S_MAX) is Failure.NOT_REGISTERED:
            return
    outcome = _met(listener, poller, name, key, _WITHIN, timeout_s=WITHIN_S_MAX)
    if outcome is not Failure.NOT_REGISTERED:
        met = "no answer" if outcome is None else outcome
        raise BraidError(f"{name} does not start: an unregistered key was not refused, but met: {met}")


def _met(
    listener: Listener, poller: Poller, name: str, key: bytes, endpoint: str, *, timeout_s: float
) -> Failure | None:
    """Return what a stranger meets at an endpoint; None if nothing within the time. Raises BraidError if it gets in."""
    secret = os.urandom(KEY_BYTES)
    pair = KeyPair(public_key(secret), secret)

    def serve() -> None:
        for descriptor, only_writable in poller.wait(0.0):
            listener.mark(descriptor, only_writable=only_writable)
        listener.meet(monotonic())  # what members say already is for the turns to come

    over: sockets.socket | None = None
    if endpoint == _WITHIN:
        its, over = sockets.socketpair()
        over.setblocking(False)
        listener.receive(its, endpoint, monotonic())
    stranger = Asking(Settings(), pair, Open("a stranger", endpoint, key), over)
    give_up_at = monotonic() + timeout_s
    try:
        while stranger.failure is None and monotonic() < give_up_at:
            stranger.serve(_SLICE_S, serve)
            if stranger.greeted:
                raise BraidError(f"{name} does not start: an unregistered key was let in")
        return stranger.failure
    finally:
        stranger.close()
        serve()


def _reachable(endpoints: tuple[str, ...]) -> Iterator[str]:
    """Yield where to reach a broker from its own machine. IPv6's wildcard takes connections of IPv4 as well."""
    for endpoint in endpoints:
        head, _, port = endpoint.rpartition(":")
        if head in ("tcp://0.0.0.0", "tcp://[::]"):
            yield f"tcp://127.0.0.1:{port}"
        if head == "tcp://[::]":
            yield f"tcp://[::1]:{port}"
        elif head != "tcp://0.0.0.0":
            yield endpoint
