"""The broker's shell: one thread, plain sockets, one poller. It owns the clock, and gives the core its turns."""

import math
import os
import random
import secrets
import socket as sockets
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from braidmq import __version__
from braidmq.carrier.broker_sockets import BrokerSockets
from braidmq.carrier.dialed import Broker
from braidmq.carrier.dialer import Dialer
from braidmq.carrier.gate import Gate
from braidmq.carrier.keeper import Keeper
from braidmq.carrier.ledger import Checked, NetLedger
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
from braidmq.members import Member, Role
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.trust import brokerstate, joinfile
from braidmq.trust import manifest as manifests
from braidmq.trust.brokerstate import State
from braidmq.trust.certificate import Certificate
from braidmq.trust.enrolments import ROWS_MAX
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.watched import WatchedJoinFile
from braidmq.turn.broker import BrokerTurn
from braidmq.turn.ports import Listener as ListenerPort
from braidmq.wire.limits import CONTROL_BYTES_MAX
from braidmq.zmtp.handshake import KeyPair

_LOG = own_logger("braidmq.broker")

REGISTRY_S: Final = 0.25
"""How often the join file is looked at for a newer manifest: a node may be started right after it was registered."""

ROLL_S: Final = 5.0
"""How often it is written down, at most, who was seen when: not with every word of a broker that tells of it without
end. Another registry is written down at once."""

FLUSH_S_MAX: Final = 1.0
"""Time that the last answers have to leave when a broker ends."""


class BrokerLoop:
    """One broker. `open` proves that strangers are refused and binds, `run` serves until `stop`.

    Attributes:
        name: its registered name, by the newest certificate that it has at its start.
        settings: see Settings.
        identity: its join file.
        process: tells its process from another one that runs with the same file.
        endpoints: where it listens, once it does.

    Args:
        join: the broker's join file; its manifest is read again whenever the file changes, if it is a path.
        settings: see Settings.
        bind: where to listen, if not at the endpoints of the broker's newest certificate.
        local: whether members of its machine that run as the same user meet it at a Unix socket, and it meets other
            brokers so.
        observer: is told what happens to sessions, requests and other brokers.
        state: the file in which it remembers the newest registry that it has seen; None for none.
        alive: is called with the time, every REGISTRY_S, by the thread that serves: as long as it is, the broker works.

    Raises:
        ConfigError: the join file is wrong, or not a broker's; or something else is where its state is to be.
        NoRoom: this process may not have the descriptors.
    """

    def __init__(
        self,
        join: joinfile.JoinFile | Path | str,
        settings: Settings | None = None,
        *,
        bind: tuple[str, ...] = (),
        local: bool = False,
        observer: BrokerObserver | None = None,
        state: Path | None = None,
        alive: Callable[[float], object] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._alive = alive
        self._observer = None if observer is None else contained(observer, BrokerObserver, _LOG)
        self._watched = WatchedJoinFile(Path(join) if joinfile.is_path(join) else None)
        self._reading = threading.Event()
        self.identity = joinfile.load(join)
        if self.identity.certificate.role is not Role.BROKER:
            raise ConfigError(
                f"{joinfile.shown(join)} is the join file of a node; a broker needs one made by 'braidmq add broker'"
            )
        self.process = f"process {os.getpid()} of {sockets.gethostname()[:100]} ({secrets.token_hex(4)})"
        self.endpoints: tuple[str, ...] = ()
        self._nearby = Nearby(self.identity.net, self.identity.authority_key) if local else None
        self._keeper: Keeper | None = None
        self._ledger = self._begin_with(state)
        own = self._newest_certificate()
        self.name = own.name
        self._follows = not bind
        self._told = (own.name, own.endpoints)
        self._bind = bind or _tcp(own.endpoints)
        if not self._bind:
            raise ConfigError(f"{self.name} is found by DNS only: say where to listen, as in --bind tcp://*:5555")
        self._kept = (-1, -1)
        self._keep_at = 0.0
        with room("a broker"):
            self._wake_read, self._wake_write = sockets.socketpair()
        self._wake_write.setblocking(False)
        self._errands: deque[Callable[[float], object]] = deque()
        self._stopping: float | None = None
        self._host = LoopHost(self._wake, _LOG)
        self._brokers: dict[str, Broker] = {}

    def _begin_with(self, state: Path | None) -> NetLedger:
        """Return a ledger with the registry of the join file, or that of the state file if it is newer."""
        manifest = self.identity.manifest
        rows: tuple[tuple[bytes, int], ...] = ()
        if state is not None:
            brokerstate.check_place(state)
            self._keeper = Keeper(state)
            try:
                remembered = brokerstate.load(state, self.identity)
            except (ConfigError, OSError) as error:
                _LOG.warning("state file ignored: %s", error)
            else:
                if remembered is not None:
                    rows = remembered[1]
                    if manifest is None or remembered[0].version > manifest.version:
                        manifest = remembered[0]
        if manifest is None:
            manifest = manifests.nobody(self.identity.net)
        ledger = NetLedger(manifest, self.identity.authority_key, self._on_adopted, unix_time())
        for at in range(0, len(rows), ROWS_MAX):
            ledger.roll.merge(rows[at : at + ROWS_MAX], unix_time())
        return ledger

    def _is_barred(self, principal: str) -> bool:
        return self._core.barred_s(principal, monotonic()) > 0.0

    def _is_early(self, member: Member) -> bool:
        registrar = self._core.registrar
        return registrar is not None and not registrar.core.ready and member.role is Role.NODE

    def _former(self, principal: str) -> str:
        registry = self._ledger.registry
        ended = registry.has_ended(principal)
        return registry.revoked.get(principal, "" if ended is None else ended.name)

    def _is_blind(self) -> bool:
        return not self._ledger.version  # as of a broker that has joined by a code, until it has met another one

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
        pair, former = _keys(self.identity)
        gate = Gate(self._ledger)
        self._listener = Listener(self.settings, pair, gate, os.urandom, self._poller, net=self.identity.net)
        self._listener.change_keys(pair, former)
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
        own, software = address_of(self._newest_certificate()), f"braidmq {__version__}"
        observer = self._observer
        peering = PeeringCore(
            own, self.settings, rng, self._verify_registered, software=software, now=now, observer=observer
        )
        self._core = BrokerCore(
            self.settings,
            self._ledger,
            peering,
            software=software,
            now=now,
            process=self.process,
            observer=observer,
            credentials=self._ledger,
            unix_s=unix_time(),
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
        gate.barred, gate.early, gate.blind = self._is_barred, self._is_early, self._is_blind
        gate.former = self._former
        self._listener.tell = self._on_refused
        self._core.on_surroundings(unix_time(), self._ledger.version, now)
        known = self._ledger.addresses or [address_of(each) for each in self.identity.brokers]
        for address in known:
            self._core.learn(address, now)
        self._registry_at = now + REGISTRY_S

    def run(self) -> None:
        """Serve until `stop` was called and what is under way has ended, or the drain time is over."""
        try:
            while not self._finished():
                drains = self._stopping is not None
                now = self._sockets.serve(self._broker_turn, self._dialer, self._registry_at, once=drains)
                if self._core.leaving:
                    self._begin_drain(now)
                if now >= self._registry_at:
                    self._registry_at = now + REGISTRY_S
                    self._look_at_file()
                    self._look_at_clock(now)
                    self._remember(now)
                    self._core.on_surroundings(unix_time(), self._ledger.version, now)
                    if self._alive is not None:
                        self._alive(now)
            now = monotonic()
            self._core.end(now)
            self._broker_turn.settle(now)
        finally:
            self.close(FLUSH_S_MAX)

    @property
    def status(self) -> str:
        """How it stands, in a few words. It belongs to the thread that serves."""
        others = self._core.peering.peers()[1:]
        nodes = sum(session.member.role is Role.NODE for session in self._core.sessions.values())
        return f"{self.name}: {sum(each.connected for each in others)} of {len(others)} other brokers, {nodes} nodes"

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
        self._remember(math.inf)
        if self._keeper is not None:
            self._keeper.close()
        self._host.end_lookups()
        self._wake_read.close()
        self._wake_write.close()

    def _heard_by(self, listener: Listener) -> ListenerPort:
        """Return what the turn hears the members by."""
        return listener

    def _run_errands(self, now: float) -> None:
        for _ in range(len(self._errands)):  # an errand may ask for another turn first
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

    def _look_at_file(self) -> None:
        """Read the join file again if it has changed: in a thread, as a large registry takes a while."""
        if not self._reading.is_set() and self._watched.has_changed():
            self._reading.set()
            threading.Thread(target=self._read_file, name="braidmq-join", daemon=True).start()

    def _read_file(self) -> None:
        try:
            found, checked = self._load_file()
        except ConfigError as error:
            _LOG.warning("what was is still in force: %s", error)
        else:
            self.call(lambda now: self._take_file(found, checked, now))
        finally:
            self._reading.clear()

    def _load_file(self) -> tuple[JoinFile, Checked | None]:
        """Return what is in the join file, and its registry made ready: of a large one that takes a while, too."""
        found = self._watched.load()
        return found, None if found.manifest is None else Checked.of(found.manifest)

    def _take_file(self, found: JoinFile, checked: Checked | None, now: float) -> None:
        """Take over what is new in the join file: keys, and the registry."""
        known = self.identity
        if (found.net, found.authority_key) != (known.net, known.authority_key):
            _LOG.warning("what was is still in force: %s is the file of another net", self._watched.path)
            return
        if found.certificate.role is not Role.BROKER or found.name not in (self.name, known.name):
            _LOG.warning(
                "what was is still in force: %s is the file of %s; restart this process if it is to be that",
                self._watched.path,
                found.name,
            )
            return
        self.identity = found
        has_new_keys = (found.secret_key, found.old_secret_key) != (known.secret_key, known.old_secret_key)
        if has_new_keys:
            self._listener.change_keys(*_keys(found))
            self._dialer.change_keys(_keys(found)[0])
            _LOG.info("%s has new keys", self.name)
        if checked is None or checked.version <= self._ledger.version:
            if checked is not None and checked.version < self._ledger.version and not has_new_keys:
                _LOG.warning(
                    "registry %d stays in force: %s holds the older registry %d",
                    self._ledger.version,
                    self._watched.path,
                    checked.version,
                )
            return
        self._ledger.install(checked)
        _LOG.info("registry %d is in force, with %d members", checked.version, self._ledger.members_total)
        self._core.on_registry(now)
        if self._core.registrar is not None:
            self._core.registrar.core.on_changed(now)
        self._on_adopted()

    def _newest_certificate(self) -> Certificate:
        """Return this broker's own certificate: that of its join file, or a newer one in the registry in force."""
        own = self.identity.certificate
        found = self._ledger.registry.holder(self.identity.public_key.hex())
        return own if found is None or found.role is not Role.BROKER or found.serial <= own.serial else found

    def _on_adopted(self) -> None:
        """Look anew who may be connected, by the registry that is in force now, and what it says of this broker."""
        self.call(self._review)
        own = self._newest_certificate()
        if (own.name, own.endpoints) == self._told:
            return
        self._told = (own.name, own.endpoints)
        places = _tcp(own.endpoints)
        if own.name != self.name:
            _LOG.warning("%s is registered as %s now: restart it, so that it goes by that name", self.name, own.name)
        elif self._follows and places and set(places) != set(self._bind):
            _LOG.warning(
                "%s is registered at %s now: restart it, so that it listens there", self.name, ", ".join(places)
            )

    def _remember(self, now: float) -> None:
        """Write down what is new of the registry and of those whom tokens have made members."""
        ledger = self._ledger
        newest = (ledger.version, ledger.roll.revision)
        if self._keeper is None or newest == self._kept or not ledger.version:
            return
        if newest[0] != self._kept[0] or now >= self._keep_at:
            self._kept = newest
            self._keep_at = now + ROLL_S
            self._keeper.keep(State(ledger.registry.manifest.blob, tuple(ledger.roll.rows)))

    def _look_at_clock(self, now: float) -> None:
        """See what has expired by the time of the net."""
        registrar = self._core.registrar
        if registrar is None:
            return
        registrar.core.on_clock(unix_time(), now)
        if self._ledger.review(registrar.core.clocks.net_s(now)):
            self._core.on_registry(now)
            self._review(now)

    def _review(self, now: float) -> None:
        """Cut the connections that would not be let in any more, once sessions were told why they end."""
        if self._core.review.left:
            self.call(self._review)
            return
        self._listener.review()
        self._sockets.due = now

    def _verify_registered(self, blob: bytes) -> BrokerAddress:
        """Return the address in a certificate, unless the registry that is in force has dropped or replaced it."""
        address = self._verify(blob)
        registered = self._ledger.registry.certificate(address.name)
        if address.serial <= self._ledger.version and (registered is None or registered.blob != blob):
            raise ProtocolError(f"{address.name} was removed from the registry, or has a newer certificate there")
        return address


def _tcp(endpoints: tuple[str, ...]) -> tuple[str, ...]:
    """Return those endpoints at which a broker can listen."""
    return tuple(endpoint for endpoint in endpoints if endpoint.startswith("tcp://"))


def _keys(identity: JoinFile) -> tuple[KeyPair, KeyPair | None]:
    """Return a broker's keys, and the former ones as long as they hold beside."""
    pair, former = KeyPair(identity.public_key, identity.secret_key), None
    if identity.old_secret_key is not None and identity.old_public_key is not None:
        former = KeyPair(identity.old_public_key, identity.old_secret_key)
    return pair, former
