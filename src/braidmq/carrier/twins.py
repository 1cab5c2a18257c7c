"""Looks whether another process runs with this broker's join file, at an address where members look for this broker.

Two of them share a name: members that know it reach the one or the other, and neither sees all. Nothing else would say
so. The broker that answers knows its own process by what HELLO says, and says in return which one it is itself.
"""

import threading
from collections.abc import Iterator
from typing import Final

from braidmq.carrier.asking import Asking
from braidmq.core.links.link import Open
from braidmq.errors import BraidError, ProtocolError
from braidmq.host.clock import monotonic
from braidmq.host.dns import ResolveError, resolve
from braidmq.host.loggers import own_logger
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile
from braidmq.wire import control
from braidmq.wire.bundle import split
from braidmq.zmtp.handshake import KeyPair

LOOK_S: Final = 30.0
"""From one look to the next. The first one follows the start at once: whoever starts later meets the other one."""

ANSWER_S_MAX: Final = 2.0
"""How long an address may take to answer."""

_SLICE_S: Final = 0.05
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
        for address in self._addresses():
            other = self._ask(address)
            if other and other not in (self._process, self._told):
                self._told = other
                _LOG.warning(
                    "another process runs as %s at %s, with the same join file: %s; stop one of the two",
                    self._identity.name,
                    address,
                    other,
                )

    def _addresses(self) -> Iterator[str]:
        for endpoint in self._identity.certificate.endpoints:
            try:
                yield from resolve(endpoint)
            except ResolveError as error:
                _LOG.debug("%s: %s", self._identity.name, error)

    def _ask(self, address: str) -> str:
        """Return what the broker at an address says of its process; empty if there is none, or an older one."""
        name, key = self._identity.name, self._identity.public_key
        asking = Asking(
            self._settings, KeyPair(key, self._identity.secret_key), Open(name, address, key), net=self._identity.net
        )
        give_up_at = monotonic() + ANSWER_S_MAX
        said = False
        try:
            while asking.failure is None and monotonic() < give_up_at and not self._ended.is_set():
                asking.serve(_SLICE_S)
                if asking.greeted and not said:
                    said = True
                    asking.send(control.encode_control(control.Hello(self._process), 0))
                if asking.frames:
                    return _refusal(asking.frames[0])
            return ""
        finally:
            asking.close()


def _refusal(frame: bytes) -> str:
    """Return why a broker has refused its own key; empty if it has not."""
    messages, _intact = split(frame)
    try:
        received = control.decode_control(messages[0]) if messages else None
    except ProtocolError:
        return ""
    return received.text if isinstance(received, control.Goodbye) and received.reason == "refused" else ""
