"""What one broker shows to a member that comes to it: each step of the way is taken, and noted. All I/O is here."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from braidmq import __version__
from braidmq.carrier.asking import Asking
from braidmq.cli.doctor.finding import Asked
from braidmq.core.links.link import BrokerAddress, Failure, Open
from braidmq.errors import ProtocolError
from braidmq.host.clock import monotonic, unix_time
from braidmq.host.dns import ResolveError, resolve
from braidmq.members import ECHO_SERVICE, Role
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile
from braidmq.wire import control
from braidmq.wire.bundle import split
from braidmq.wire.envelope import (
    CONTROL_FIRST,
    MAJOR,
    REJECT,
    REPLY,
    REQUEST,
    Envelope,
    Reason,
    command_of,
    decode,
    encode,
    major_of,
    milliseconds,
)
from braidmq.zmtp.handshake import KeyPair

SLICE_S: Final = 0.05
"""How long the system is waited for at one go."""

SERVICES_S_MAX: Final = 0.5
"""How much longer than for its echo a broker is waited for to list a service: it does so within some ticks."""

_ECHO_TAG: Final = 1
_RIGHTS_TAG: Final = 2
_ECHO_BYTES: Final = 16


@dataclass(slots=True)
class Visit:
    """How far a way has led.

    Attributes:
        name: the broker's.
        endpoints: where it is looked for.
        addresses: what these lead to.
        unresolved: why they lead to none.
        address: the one that has led the furthest.
        reached: whether something takes connections there.
        greeted: whether the handshake of CURVE is complete: the broker lets this key in.
        failure: why it has gone no further, as the transport tells it.
        welcome: the broker's answer to HELLO.
        goodbye: its answer, if it refuses a session.
        major: the major version that it speaks, if it is another one.
        ahead_s: by how much its clock is ahead of this one's; None if it does not tell.
        denied: whether it lets this member call the service in question; None if that is not known.
        services: those with a worker there that this member may call.
        brokers: the certificates of the brokers that it lists.
        echo_s: how long its echo took; None if there was none.
        echo_refused: whether it has none, as older brokers.
        is_listed_anew: whether other brokers have told where it is, or which key it has, and the join file is older.
    """

    name: str
    endpoints: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    unresolved: str = ""
    address: str = ""
    reached: bool = False
    greeted: bool = False
    failure: Failure | None = None
    welcome: control.Welcome | None = None
    goodbye: control.Goodbye | None = None
    major: int = MAJOR
    ahead_s: float | None = None
    denied: bool | None = None
    services: frozenset[str] = frozenset()
    brokers: tuple[bytes, ...] = ()
    echo_s: float | None = None
    echo_refused: bool = False
    is_listed_anew: bool = False
    sent_at: float = field(default=0.0, repr=False)
    answered_at: float = field(default=0.0, repr=False)

    @property
    def progress(self) -> tuple[bool, bool]:
        """How far it has led, to be compared."""
        return self.greeted, self.reached


def visit(identity: JoinFile, broker: BrokerAddress, asked: Asked) -> Visit:
    """Go to a broker as the member that a join file names, and return what was met."""
    found = Visit(broker.name, broker.endpoints)
    addresses: list[str] = []
    reasons: list[str] = []
    for endpoint in broker.endpoints:
        try:
            addresses += resolve(endpoint)
        except ResolveError as error:
            reasons.append(str(error))
    found.addresses, found.unresolved = tuple(dict.fromkeys(addresses)), "; ".join(reasons)
    give_up_at = monotonic() + asked.timeout_s
    for index, address in enumerate(found.addresses):
        share_s = (give_up_at - monotonic()) / (len(found.addresses) - index)
        until = monotonic() + max(share_s, SLICE_S)
        for key in filter(None, (broker.key, broker.former_key)):  # it may not have taken its new key yet
            tried = Visit(broker.name, broker.endpoints, found.addresses, found.unresolved, address)
            _Walk(identity, key, asked, tried).take(until)
            if tried.failure is not Failure.OTHER_KEY:
                break
        if index == 0 or tried.progress > found.progress:
            found = tried
        if found.greeted:
            break
    return found


class _Walk:
    """The way to one address, and what is said there."""

    def __init__(self, identity: JoinFile, key: bytes, asked: Asked, found: Visit) -> None:
        self._identity = identity
        self._asked = asked
        self._found = found
        self._key = key
        self._payload = secrets.token_bytes(_ECHO_BYTES)
        self._id = secrets.token_bytes(16)
        self._told_rights = False

    def take(self, until: float) -> None:
        """Go as far as it leads, or until a time."""
        found, identity = self._found, self._identity
        pair = KeyPair(identity.public_key, identity.secret_key)
        target = Open(found.name, found.address, self._key)
        asking = Asking(Settings(), pair, target, net=identity.net)
        is_node = identity.certificate.role is Role.NODE
        try:
            while asking.failure is None and not asking.greeted and monotonic() < until:
                asking.serve(min(SLICE_S, max(0.0, until - monotonic())))
            found.reached, found.greeted, found.failure = asking.reached, asking.greeted, asking.failure
            if not found.greeted:
                found.failure = found.failure or (Failure.MUTE if found.reached else Failure.NO_ANSWER)
            elif is_node:
                asking.send(control.encode_control(control.Hello(f"braidmq {__version__} doctor"), 0))
                self._listen(asking, until)
        finally:
            asking.close()

    def _listen(self, asking: Asking, until: float) -> None:
        found = self._found
        while asking.failure is None and not self._is_done and monotonic() < until:
            asking.serve(min(SLICE_S, max(0.0, until - monotonic())))
            for message in _messages(asking):
                if major_of(message) != MAJOR:
                    found.major = major_of(message)
                    return
                self._hear(asking, message)
                if found.goodbye is not None:
                    return
            if found.answered_at and monotonic() > found.answered_at + SERVICES_S_MAX:
                return
        found.failure = asking.failure

    @property
    def _is_done(self) -> bool:
        """Whether all is known that was asked."""
        found, service = self._found, self._asked.service
        has_listed = bool(found.brokers) and (not service or service in found.services or found.denied is True)
        return bool(found.answered_at) and self._told_rights and has_listed

    def _hear(self, asking: Asking, message: bytes) -> None:
        found = self._found
        try:
            if command_of(message) < CONTROL_FIRST:
                self._hear_answer(decode(message))
                return
            received = control.decode_control(message)
        except ProtocolError:
            found.failure = Failure.NONSENSE
            return
        if isinstance(received, control.Welcome):
            found.welcome = received
            if received.time_ms:
                found.ahead_s = received.time_ms / 1000.0 - unix_time()
            self._ask(asking)
        elif isinstance(received, control.Goodbye) and found.welcome is None:
            found.goodbye = received
        elif isinstance(received, control.Services):
            found.services = frozenset(received.available)
        elif isinstance(received, control.Peers):
            found.brokers = tuple(peer.certificate for peer in received.brokers if peer.state != "dead")

    def _ask(self, asking: Asking) -> None:
        """Ask for the echo; and for the service with no time left, which runs nothing and tells whether it may."""
        found, service = self._found, self._asked.service
        found.sent_at = monotonic()
        time_ms = milliseconds(self._asked.timeout_s)
        asking.send(
            encode(
                Envelope(
                    REQUEST,
                    self._id,
                    tag=_ECHO_TAG,
                    time_ms=time_ms,
                    service=ECHO_SERVICE.encode(),
                    payload=self._payload,
                )
            )
        )
        member = self._identity.certificate.member
        self._told_rights = not service or (member.may_serve(service) and not member.may_call(service))
        if not self._told_rights:
            asking.send(encode(Envelope(REQUEST, self._id[::-1], tag=_RIGHTS_TAG, service=service.encode())))

    def _hear_answer(self, answer: Envelope) -> None:
        found = self._found
        if answer.tag == _ECHO_TAG and answer.command == REPLY and answer.payload == self._payload:
            found.answered_at = monotonic()
            found.echo_s = found.answered_at - found.sent_at
        elif answer.tag == _ECHO_TAG and answer.command == REJECT:
            found.answered_at = monotonic()
            found.echo_refused = True
        elif answer.tag == _RIGHTS_TAG and answer.command == REJECT:
            self._told_rights = True
            found.denied = answer.code == Reason.DENIED


def _messages(asking: Asking) -> Iterator[bytes]:
    """Yield what has come, and forget it."""
    frames, asking.frames = asking.frames, []
    for frame in frames:
        yield from split(frame)[0]
