"""How a machine becomes a member, without anybody copying a secret: it makes its key itself, and gets its certificate.

Either the net's operator registers the key that it shows (a request), or a token lets it certify itself. Both ways end
the same: a broker lets the key in, and hands over the certificate and the list of brokers, which are verified here.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from braidmq import __version__
from braidmq.carrier.asking import Asking
from braidmq.core.links.link import Failure, Open
from braidmq.errors import NoBroker, NotRegistered, ProtocolError
from braidmq.host.clock import monotonic
from braidmq.host.dns import ResolveError, resolve
from braidmq.settings import Settings
from braidmq.trust import enrolment as enrolments
from braidmq.trust import roster as rosters
from braidmq.trust.certificate import Certificate
from braidmq.trust.codes import BrokerPlace, Netcode, Token
from braidmq.trust.enrolment import Statement
from braidmq.trust.joinfile import certified
from braidmq.trust.roster import Roster
from braidmq.wire import control
from braidmq.wire.bundle import split
from braidmq.wire.kinds import Control
from braidmq.wire.registry import CertificateIs, Enrol, Enrolled, RosterIs
from braidmq.zmtp.handshake import KeyPair

VISIT_S_MAX: Final = 2.0
"""How long one broker may take for all that is asked of it, before another one is asked."""

PAUSE_S: Final = 0.5
"""From one round of all brokers to the next, while somebody waits to be registered."""

_SLICE_S: Final = 0.05
"""How soon a wait is looked at again."""

_UNKNOWN: Final = (Failure.NOT_REGISTERED, Failure.REMOVED)
"""A key of which a broker says so may be registered yet, or again."""

_FINAL: Final = (Failure.REVOKED, Failure.EXPIRED)
"""For a key of which a broker says so it is waited in vain, as long as nothing but waiting is done."""

_SETTINGS: Final = Settings()
_SOFTWARE: Final = f"braidmq {__version__}"


class Unregistered(NotRegistered):
    """The brokers do not know a key, or not any more: it can be registered."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What a new member gets.

    Attributes:
        certificate: its own, verified.
        roster: the list of the net's brokers, verified.
        broker: who has handed them over.
    """

    certificate: Certificate
    roster: Roster
    broker: str


class _Visit:
    """One conversation with one broker."""

    def __init__(self, net: str, place: BrokerPlace, pair: KeyPair, give_up_at: float) -> None:
        self._net = net
        self.failure: str = ""
        self.refused: Failure | None = None
        self._place = place
        self._pair = pair
        self._give_up_at = min(give_up_at, monotonic() + VISIT_S_MAX)

    def messages(self, *said: Control) -> Iterator[Control]:
        """Say some messages, HELLO first, and yield what comes back until the broker ends, or time is up."""
        for endpoint in self._place.endpoints:
            try:
                addresses = resolve(endpoint)
            except ResolveError as error:
                self.failure = str(error)
                continue
            for address in addresses:
                yield from self._at(address, said)

    def _at(self, address: str, said: tuple[Control, ...]) -> Iterator[Control]:
        target = Open(self._place.name, address, self._place.key)
        asking = Asking(_SETTINGS, self._pair, target, net=self._net)
        greeted = False
        try:
            while asking.failure is None and monotonic() < self._give_up_at:
                asking.serve(_SLICE_S)
                if asking.greeted and not greeted:
                    greeted = True
                    for message in said:
                        asking.send(control.encode_control(message, 0))
                frames, asking.frames = asking.frames, []
                for frame in frames:
                    yield from _controls(frame)
            self.refused = asking.failure if asking.failure in (*_UNKNOWN, *_FINAL) else None
            self.failure = _said(asking.failure)
        finally:
            asking.close()


def _said(failure: Failure | None) -> str:
    """Return what a failure means to whoever has a code, and no join file yet."""
    if failure is None:
        return "it does not answer in time"
    if failure is Failure.OTHER_KEY:
        return "what answers there has another key than this code says: get a new code (`braidmq code`)"
    if failure is Failure.OTHER_NET:
        return "what answers there is a broker of another net than this code's"
    return failure.value


def _controls(frame: bytes) -> Iterator[Control]:
    messages, _intact = split(frame)
    for message in messages:
        try:
            received = control.decode_control(message)
        except ProtocolError:
            continue
        if received is not None:
            yield received


def await_certificate(
    netcode: Netcode, pair: KeyPair, timeout_s: float | None, on_wait: Callable[[str], object]
) -> Admission:
    """Ask the brokers of a net until one of them lets a key in, and return what it hands over.

    Args:
        netcode: where the net is.
        pair: the keys of the new member.
        timeout_s: how long to ask, in seconds; None for as long as it takes.
        on_wait: is told after each round in vain why, in one line.

    Raises:
        Unregistered: the key is not registered, and time is up.
        NotRegistered: it was revoked or has expired, so that waiting for it is in vain, or a broker that says so is all
            that there is.
        NoBroker: no broker can be reached, and time is up; the text says why for each.
    """
    give_up_at = float("inf") if timeout_s is None else monotonic() + timeout_s
    while True:
        failures: dict[str, str] = {}
        refused: list[Failure] = []
        for place in netcode.brokers:
            visit = _Visit(netcode.net, place, pair, give_up_at)
            found = _certificate_at(netcode, visit, pair, place.name)
            if found is not None:
                return found
            failures[place.name] = visit.failure
            refused += [] if visit.refused is None else [visit.refused]
        why = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
        waits = any(each in _UNKNOWN for each in refused)
        if refused and not waits:
            raise NotRegistered(refused[0].value)
        if monotonic() + PAUSE_S >= give_up_at:
            if waits:
                raise Unregistered("this key is not registered yet: give the request code to the net's operator")
            raise NoBroker(f"no broker of the net can be reached: {why}")
        on_wait("waiting for the net's operator" if waits else why)
        time.sleep(PAUSE_S)


def _certificate_at(netcode: Netcode, visit: _Visit, pair: KeyPair, broker: str) -> Admission | None:
    certificate: Certificate | None = None
    roster: Roster | None = None
    for message in visit.messages(control.Hello(_SOFTWARE, asks=True)):
        try:
            if isinstance(message, CertificateIs):
                certificate = _own(message, netcode, pair)
            elif isinstance(message, RosterIs):
                roster = rosters.verify(message.roster, netcode.authority_key, netcode.net)
            elif isinstance(message, control.Goodbye):
                lacks = "its registry has no list of brokers yet: publish a change" if certificate is not None else ""
                visit.failure = lacks or message.text or message.reason
                return None
        except ProtocolError as error:
            visit.failure = str(error)
            return None
        if certificate is not None and roster is not None:
            return Admission(certificate, roster, broker)
    return None


def _own(message: CertificateIs, netcode: Netcode, pair: KeyPair) -> Certificate:
    found = certified(message.certificate, message.invitation, netcode.authority_key, netcode.net)
    if pair.public not in found.keys:
        raise ProtocolError(f"it hands over the certificate of another key, that of {found.name}")
    return found


def use_token(token: Token, public_key: bytes, name: str, timeout_s: float) -> None:
    """Let a token make a member.

    Args:
        token: says where the net is, and lets its holder in.
        public_key: the CURVE public key of the new member, 32 bytes.
        name: the new member's.
        timeout_s: how long to try, in seconds.

    Raises:
        NotRegistered: the token is refused; the text says why and what to do.
        NoBroker: no broker can be reached; the text says why for each.
    """
    keys = token.keys
    statement = Statement(
        net=token.netcode.net, invitation=token.serial, name=name, key=public_key, made_at=int(time.time())
    )
    enrol = Enrol(enrolments.issue(statement, keys.signing_seed))
    pair = KeyPair(keys.curve_key, keys.curve_secret_key)
    give_up_at = monotonic() + timeout_s
    while True:
        failures: dict[str, str] = {}
        unknown = 0
        for place in token.netcode.brokers:
            visit = _Visit(token.netcode.net, place, pair, give_up_at)
            for message in visit.messages(control.Hello(_SOFTWARE), enrol):
                if isinstance(message, Enrolled):
                    if message.refused:
                        raise NotRegistered(f"the token is refused: {message.refused}")
                    return
            failures[place.name] = visit.failure
            unknown += visit.refused in _UNKNOWN
        if unknown == len(failures):
            raise NotRegistered("the brokers do not know this token: it was withdrawn, or is not published yet")
        if monotonic() + PAUSE_S >= give_up_at:
            why = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
            raise NoBroker(f"no broker of the net can be reached: {why}")
        time.sleep(PAUSE_S)
