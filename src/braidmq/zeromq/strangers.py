"""Proves that a broker refuses a key that nobody has registered: libzmq lets everyone in by default."""

import secrets
import sys
from collections.abc import Iterator
from typing import Final

import zmq

from braidmq.core.links.link import Failure, Open, Step
from braidmq.errors import BraidError
from braidmq.host.clock import monotonic
from braidmq.settings import Settings
from braidmq.zeromq.dealer import ConnectError, Dealer
from braidmq.zeromq.router import Router
from braidmq.zeromq.zap import ZapHandler

ADDRESS_S_MAX: Final = 1.0
"""Time that an address has to refuse the stranger. One that drops its packets says nothing of the broker."""

ADDRESSES_MAX: Final = 4
"""Addresses that are tried before the private one, so that a broker with many of them starts in time."""

PRIVATE_S_MAX: Final = 5.0
"""The same time at the private address, where nothing but a busy machine can be in the way."""


def prove_refused(
    context: zmq.Context[zmq.Socket[bytes]],
    settings: Settings,
    router: Router,
    zap: ZapHandler,
    *,
    name: str,
    key: bytes,
    endpoints: tuple[str, ...],
) -> None:
    """Return once a stranger was refused.

    Where the broker is bound decides nothing: all of a socket's addresses ask the same handler. But not every address
    can be reached from here (without IPv6, without a loopback device, behind a firewall), and that is no reason not to
    start. So the stranger comes to an address that no network is needed for when it has got no answer elsewhere.

    Args:
        context: that of the broker.
        settings: those of the broker.
        router: the broker's socket, bound.
        zap: who decides.
        name: of the broker.
        key: its public key.
        endpoints: where the router is bound.

    Raises:
        BraidError: a stranger was let in, or was not refused.
    """
    stranger = _Stranger(context, settings, zap, name, key)
    for endpoint in list(_reachable(endpoints))[:ADDRESSES_MAX]:
        if stranger.come_to(endpoint, ADDRESS_S_MAX) is Failure.NOT_REGISTERED:
            return
    private = router.bind(_private_address())
    try:
        outcome = stranger.come_to(private, PRIVATE_S_MAX)
    finally:
        router.unbind(private)
    if outcome is not Failure.NOT_REGISTERED:
        met = "no answer" if outcome is None else outcome
        raise BraidError(f"{name} does not start: an unregistered key was not refused, but met: {met}")


class _Stranger:
    """A member of no net, who knows a broker's name and key."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], settings: Settings, zap: ZapHandler, name: str, key: bytes
    ) -> None:
        self.public_key, self.secret_key = zmq.curve_keypair()
        self._context = context
        self._settings = settings
        self._zap = zap
        self._name = name
        self._key = key

    def come_to(self, endpoint: str, timeout_s: float) -> Failure | None:
        """Return what it meets at an endpoint; None if nothing within the time. Raises BraidError if it is let in."""
        try:
            dealer = Dealer(self._context, self._settings, self, Open("a stranger", endpoint, self._key))
        except ConnectError as error:
            return error.failure
        poller = zmq.Poller()
        poller.register(self._zap.socket, zmq.POLLIN)
        poller.register(dealer.monitor.socket, zmq.POLLIN)
        give_up_at = monotonic() + timeout_s
        try:
            while (left_s := give_up_at - monotonic()) > 0.0:
                poller.poll(int(left_s * 1000) + 1)
                self._zap.answer()
                for event in dealer.events():
                    if event is Step.GREETED:
                        raise BraidError(f"{self._name} does not start: an unregistered key was let in")
                    if isinstance(event, Failure):
                        return event
            return None
        finally:
            dealer.close()


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


def _private_address() -> str:
    """Return an address within this machine: on Linux one without a file, and of a name that nobody guesses."""
    return f"ipc://@braidmq-{secrets.token_hex(16)}" if sys.platform == "linux" else "ipc://*"
