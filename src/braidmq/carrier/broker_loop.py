"""The broker's shell: one thread, plain sockets, one poller. It owns the clock, and gives the core its turns."""

import os
import random
import secrets
import socket as sockets
import stat
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from braidmq import __version__
from braidmq.carrier.broker_sockets import BrokerSockets
from braidmq.carrier.dialer import Broker, Dialer
from braidmq.carrier.gate import Gate
from braidmq.carrier.listener import Listener
from braidmq.carrier.listening import listen, listen_nearby
from braidmq.carrier.loop_host import LoopHost
from braidmq.carrier.nearby import Nearby
from braidmq.carrier.poller import Poller
from braidmq.carrier.proof import prove_refused
from braidmq.carrier.trusted import address_of, verifier
from braidmq.core.broker.broker import BrokerCore
from braidmq.core.broker.refusals import Refused
from braidmq.core.links.link import BrokerAddress
from braidmq.core.membership.peering import PeeringCore
from braidmq.errors import ConfigError, ProtocolError
from braidmq.host.clock import monotonic, unix_time
from braidmq.host.contained_observer import contained
from braidmq.host.loggers import own_logger
from braidmq.host.room import room
from braidmq.members import Member, Role, Standing
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.trust import joinfile
from braidmq.trust.registry import Registry
from braidmq.turn.broker import BrokerTurn
from braidmq.turn.ports import Listener as ListenerPort
from braidmq.wire.limits import CONTROL_BYTES_MAX
from braidmq.zmtp.handshake import KeyPair

_LOG = own_logger("braidmq.broker")

REGISTRY_S: Final = 0.25
"""How often the join file is looked at for a newer manifest: a node may be started right after it was registered."""

FLUSH_S_MAX: Final = 1.0
"""Time that the last answers have to leave when a broker ends."""


class BrokerLoop:
    """One broker. `open` proves that strangers are refused and binds, `run` serves until `stop`.

    Attributes:
        name: its registered name.
        settings: see Settings.
        identity: its join file.
        process: tells its process from another one that runs with the same file.
        endpoints: where it listens, once it does.

    Args:
        join: the broker's join file; its manifest is read again whenever the file changes.
        settings: see Settings.
        bind: where to listen, if not at the endpoints of the broker's certificate.
        local: whether members of its machine that run as the same user meet it at a Unix socket, and it meets other
            brokers so.
        observer: is told what happens to sessions, requests and other brokers.

    Raises:
        ConfigError: the join file is wrong, or not a broker's.
        NoRoom: this process may not have the descriptors.
    """

    def __init__(
        self,
        join: Path | str,
        settings: Settings | None = None,
        *,
        bind: tuple[str, ...] = (),
        local: bool = False,
        observer: BrokerObserver | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._observer = None if observer is None else contained(observer, BrokerObserver, _LOG)
        self._path = Path(join)
        self._stamp = self._read_stamp()
        self.identity = joinfile.load(join)
        if self.identity.manifest is None or self.identity.certificate.role is not Role.BROKER:
            raise ConfigError(f"{join} is the join file of a node; a broker needs one made by 'braidmq add broker'")
        self.name = self.identity.name
        self.process = f"process {os.getpid()} of {sockets.gethostname()[:100]} ({secrets.token_hex(4)})"
        self.endpoints: tuple[str, ...] = ()
        endpoints = self.identity.certificate.endpoints
        self._bind = bind or tuple(endpoint for endpoint in endpoints if endpoint.startswith("tcp://"))
        if not self._bind:
            raise ConfigError(f"{self.name} is found by DNS only: say where to listen, as in --bind tcp://*:5555")
        self._nearby = Nearby(self.identity.net, self.identity.authority_key) if local else None
        self._registry = Registry(self.identity.manifest)
        with room("a broker"):
            self._wake_read, self._wake_write = sockets.socketpair()
        self._wake_write.setblocking(False)
        self._errands: deque[Callable[[float], object]] = deque()
        self._stopping: float | None = None
        self._host = LoopHost(self._wake, _LOG)
        self._brokers: dict[str, Broker] = {}

    def member(self, principal: str) -> Member | None:
        """Look a key up in the newest manifest (see Directory)."""
        return self._registry.member(principal)

    def standing(self, principal: str) -> Standing:
        """Look up in the newest manifest how a key stands (see Directory)."""
        return self._registry.standing(principal)

    def _is_barred(self, principal: str) -> bool:
        return self._core.barred_s(principal, monotonic()) > 0.0

    def _on_refused(self, kind: Refused, who: str, where: str, what: str, error: Exception | None) -> None:
        self._core.on_refused(kind, who, monotonic(), where=where, what=what, error=error)

    def open(self) -> None:
        """Prove that an unregistered key is refused, and bind.

        Raises:
            BraidError: the address cannot be bound, or a stranger would be let in.
            NoRoom: this process may not have the descriptors.
        """
        now = monotonic()
        rng = random.SystemRandom()
        with room("a broker"):
            self._poller = Poller()
        pair = KeyPair(self.identity.public_key, self.identity.secret_key)
        gate = Gate(self)
        self._listener = Listener(self.settings, pair, gate, os.urandom, self._poller, net=self.identity.net)
        try:
            with room("a broker"):
                prove_refused(self.settings, pair, gate, self.name)
            self.endpoints = tuple(listen(self._listener, endpoint, self.name) for endpoint in self._bind)
            if self._nearby is not None:
                near = listen_nearby(self._listener, self._nearby, self.name)
                self.endpoints += (near,) if near else ()
        except BaseException:
            self.close()
            raise
        self._verify = verifier(self.identity.authority_key, self.identity.net)
        own, software = address_of(self.identity.certificate), f"braidmq {__version__}"
        observer = self._observer
        peering = PeeringCore(
            own, self.settings, rng, self._verify_registered, software=software, now=now, observer=observer
        )
        self._core = BrokerCore(
            self.settings, self, peering, software=software, now=now, process=self.process, observer=observer
        )
        self._sockets = BrokerSockets(self._poller, self._listener, self._wake_read, self._run_errands)
        self._dialer = Dialer(
            self._brokers,
            self.settings,
            pair,
            self._sockets,
            self._nearby,
            message_bytes_max=CONTROL_BYTES_MAX,
            net=self.identity.net,
        )
        self._broker_turn = BrokerTurn(self._core, self._heard_by(self._listener), self._dialer, self._host)
        gate.barred = self._is_barred
        self._listener.tell = self._on_refused
        self._core.on_surroundings(unix_time(), self._registry.version, now)
        self._learn_brokers(now)
        self._registry_at = now + REGISTRY_S

    def run(self) -> None:
        """Serve until `stop` was called and what is under way has ended, or the drain time is over."""
        try:
            while not self._finished():
                drains = self._stopping is not None
                now = self._sockets.serve(self._broker_turn, self._dialer, self._registry_at, once=drains)
                if now >= self._registry_at:
                    self._registry_at = now + REGISTRY_S
                    self._reread_registry(now)
                    self._core.on_surroundings(unix_time(), self._registry.version, now)
            now = monotonic()
            self._core.end(now)
            self._broker_turn.settle(now)
        finally:
            self.close(FLUSH_S_MAX)

    def stop(self) -> None:
        """Begin to drain. May be called from any thread and from a signal handler."""
        self.call(self._begin_drain)

    def call(self, errand: Callable[[float], object]) -> None:
        """Let the loop's own thread call `errand` with the time. From any thread, and from a signal handler."""
        self._errands.append(errand)
        self._wake()

    def _wake(self) -> None:
        """Let the loop have its next turn now. From any thread, and from a signal handler."""
        with suppress(OSError):  # it has ended, or is full of earlier calls
            self._wake_write.send(b"\0")

    def close(self, linger_s: float = 0.0) -> None:
        """Release the sockets; what is in their pipes may leave within `linger_s`."""
        self._listener.close(linger_s, self._brokers.values())
        while self._brokers:
            self._brokers.popitem()[1].close()
        self._poller.close()
        self._host.end_lookups()
        self._wake_read.close()
        self._wake_write.close()

    def _heard_by(self, listener: Listener) -> ListenerPort:
        """Return what the turn hears the members by."""
        return listener

    def _run_errands(self, now: float) -> None:
        while self._errands:
            self._errands.popleft()(now)

    # -- ending

    def _begin_drain(self, now: float) -> None:
        if self._stopping is None:
            self._stopping = now
            _LOG.info("%s is draining", self.name)
            self._core.drain(now)

    def _finished(self) -> bool:
        if self._stopping is None:
            return False
        return self._core.idle or monotonic() - self._stopping >= self.settings.drain_s

    # -- the registry

    def _read_stamp(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        if not stat.S_ISREG(found.st_mode):
            return ()  # a pipe: it says all that it has to say once
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _reread_registry(self, now: float) -> None:
        stamp = self._read_stamp()
        if stamp == self._stamp or not stamp:
            return
        self._stamp = stamp
        try:
            found = joinfile.load(self._path)
        except ConfigError as error:
            _LOG.warning("the old registry stays in force: %s", error)
            return
        manifest = found.manifest
        if manifest is None or (found.net, found.authority_key) != (self.identity.net, self.identity.authority_key):
            _LOG.warning("the old registry stays in force: %s is no longer a broker's file of this net", self._path)
            return
        if manifest.version <= self._registry.version:
            if manifest.version < self._registry.version:
                _LOG.warning(
                    "registry %d stays in force: %s holds the older registry %d; copy the newest join file of %s again",
                    self._registry.version,
                    self._path,
                    manifest.version,
                    self.name,
                )
            return
        for name in {each.name for each in self._registry.brokers} - {each.name for each in manifest.brokers}:
            self._core.forget(name, now)
        self._registry = Registry(manifest)
        _LOG.info("registry %d is in force, with %d members", manifest.version, len(manifest.certificates))
        self._core.on_registry(now)
        self._learn_brokers(now)
        self._listener.review()
        self._sockets.due = now

    def _verify_registered(self, blob: bytes) -> BrokerAddress:
        """Return the address in a certificate, unless the registry that is in force has dropped or replaced it."""
        address = self._verify(blob)
        registered = self._registry.certificate(address.name)
        if address.serial <= self._registry.version and (registered is None or registered.blob != blob):
            raise ProtocolError(f"{address.name} was removed from the registry, or has a newer certificate there")
        return address

    def _learn_brokers(self, now: float) -> None:
        for broker in self._registry.brokers:
            self._core.learn(address_of(broker), now)
