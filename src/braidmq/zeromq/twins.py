"""Looks whether another process runs with this broker's join file, at an address where members look for this broker.

Two of them share a name: members that know it reach the one or the other, and neither sees all. Nothing else would say
so. The broker that answers knows its own process by what HELLO says, and says in return which one it is itself.
"""

import threading
from collections.abc import Iterator
from typing import Final

import zmq

from braidmq.core.links.link import Failure, Open, Step
from braidmq.errors import BraidError, ProtocolError
from braidmq.host.clock import monotonic
from braidmq.host.dns import ResolveError, resolve
from braidmq.host.loggers import own_logger
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile
from braidmq.wire import control
from braidmq.wire.bundle import split
from braidmq.zeromq.dealer import ConnectError, Dealer
from braidmq.zeromq.sockets import new_context

LOOK_S: Final = 30.0
"""From one look to the next. The first one follows the start at once: whoever starts later meets the other one."""

ANSWER_S_MAX: Final = 2.0
"""How long an address may take to answer."""

_SLICE_MS: Final = 50
"""How soon a look is broken off when the broker ends."""

_LOG = own_logger("braidmq.broker")


class TwinWatch:
    """The thread that looks. It ends with `close`.

    Args:
        identity: the broker's join file.
        settings: those of the broker.
        process: what its own process says of itself.
    """

    def __init__(self, identity: JoinFile, settings: Settings, process: str) -> None:
        self._identity = identity
        self._settings = settings
        self._process = process
        self._told = ""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = threading.Thread(target=self._run, name="braidmq-twins", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # a limit of the machine, and no reason to end a broker
            self._thread = None
            _LOG.warning("%s does not look for others of its name: %s", identity.name, error)

    def close(self) -> None:
        """End it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._look()
            except BraidError as error:  # this process is at a limit
                _LOG.debug("%s does not look for others of its name: %s", self._identity.name, error)
            self._ended.wait(LOOK_S)

    def _look(self) -> None:
        context = new_context("a look for others of its name")
        try:
            for address in self._addresses():
                other = self._ask(context, address)
                if other and other not in (self._process, self._told):
                    self._told = other
                    _LOG.warning(
                        "another process runs as %s at %s, with the same join file: %s; stop one of the two",
                        self._identity.name,
                        address,
                        other,
                    )
        finally:
            context.term()

    def _addresses(self) -> Iterator[str]:
        for endpoint in self._identity.certificate.endpoints:
            try:
                yield from resolve(endpoint)
            except ResolveError as error:
                _LOG.debug("%s: %s", self._identity.name, error)

    def _ask(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> str:
        """Return what the broker at an address says of its process; empty if there is none, or an older one."""
        name, key = self._identity.name, self._identity.public_key
        try:
            dealer = Dealer(context, self._settings, self._identity, Open(name, address, key))
        except ConnectError:
            return ""
        poller = zmq.Poller()
        poller.register(dealer.socket, zmq.POLLIN)
        poller.register(dealer.monitor.socket, zmq.POLLIN)
        give_up_at = monotonic() + ANSWER_S_MAX
        try:
            while monotonic() < give_up_at and not self._ended.is_set():
                poller.poll(_SLICE_MS)
                for event in dealer.events():
                    if isinstance(event, Failure):
                        return ""
                    if event is Step.GREETED:
                        dealer.send([control.encode_control(control.Hello(self._process), 0)])
                for frame in dealer.receive():
                    return _refusal(frame)
            return ""
        finally:
            dealer.close()


def _refusal(frame: bytes) -> str:
    """Return why a broker has refused its own key; empty if it has not."""
    messages, _intact = split(frame)
    try:
        received = control.decode_control(messages[0]) if messages else None
    except ProtocolError:
        return ""
    return received.text if isinstance(received, control.Goodbye) and received.reason == "refused" else ""
