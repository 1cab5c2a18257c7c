"""Proves, before a broker listens, that it refuses a key that nobody has registered."""

import os
import socket as sockets
from typing import Final

from braidmq.carrier.asking import Asking
from braidmq.carrier.listener import Listener
from braidmq.carrier.poller import Poller
from braidmq.core.links.link import Failure, Open
from braidmq.errors import BraidError
from braidmq.host.clock import monotonic
from braidmq.settings import Settings
from braidmq.zmtp.handshake import Authorise, KeyPair
from braidmq.zmtp.sodium import KEY_BYTES, public_key

ANSWER_S_MAX: Final = 5.0
"""How long the refusal may take: nothing but a busy machine can be in the way."""

_SLICE_S: Final = 0.01
_WITHIN: Final = "within this process"


def prove_refused(settings: Settings, pair: KeyPair, authorise: Authorise, name: str) -> None:
    """Return once a stranger was refused.

    Where a broker listens decides nothing: everyone meets the same handshake. So the stranger comes over a connection
    within this process, to a listener that nobody else can reach.

    Args:
        settings: those of the broker.
        pair: its keys.
        authorise: what decides who may come in.
        name: of the broker.

    Raises:
        BraidError: a stranger was let in, or was not refused.
    """
    secret = os.urandom(KEY_BYTES)
    poller = Poller()
    listener = Listener(settings, pair, authorise, os.urandom, poller)
    near, far = sockets.socketpair()
    far.setblocking(False)
    listener.receive(near, _WITHIN, monotonic())
    stranger = Asking(settings, KeyPair(public_key(secret), secret), Open("a stranger", _WITHIN, pair.public), far)
    give_up_at = monotonic() + ANSWER_S_MAX
    try:
        while stranger.failure is None and monotonic() < give_up_at:
            for descriptor, only_writable in poller.wait(0.0):
                listener.mark(descriptor, only_writable=only_writable)
            listener.frames(monotonic())
            stranger.serve(_SLICE_S)
            if stranger.greeted:
                raise BraidError(f"{name} does not start: an unregistered key was let in")
    finally:
        stranger.close()
        listener.close(0.0)
        poller.close()
    if stranger.failure is not Failure.NOT_REGISTERED:
        met = stranger.failure or "no answer"
        raise BraidError(f"{name} does not start: an unregistered key was not refused, but met: {met}")
