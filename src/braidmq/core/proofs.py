"""Replies that their workers prove: no broker on the way can forge, change, swap or replay one.

A caller puts its CURVE key into its requests, by which it asks for a proof. The worker answers with a tag: a MAC over
the request as it saw it and the reply, keyed with what X25519 makes of the caller's key and its own. The worker's
certificate travels beside it, so that nobody in between has to be believed; or its enrolment, if a token has made it a
member, with the invitation that this relies on. The caller makes the same tag of the
request as it was sent. A broker that has put another key into the request gets a tag that the caller does not accept.

What a broker says in its own name (REJECT, LOST, WORKING) is not proved: it can delay a call, not answer it.
"""

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from braidmq.errors import ProtocolError
from braidmq.members import Member
from braidmq.wire.envelope import Envelope
from braidmq.wire.extension import Field, field_of, metadata_of, pack_field

DOMAIN: Final = b"BRAID/1 reply\0"
"""What each tag begins with, so that none is valid for anything else that is ever keyed with the same secret."""

KEY_BYTES: Final = 32
"""Length of a CURVE key."""

TAG_BYTES: Final = 16
"""Length of a tag: half of a SHA-256. Whoever forges one has one guess in 2^128 for each attempt of a call."""

CALLERS_MAX: Final = 4_096
"""Callers whose secrets a worker keeps, some hundred bytes each. One that was forgotten costs a multiplication of
X25519 again, about 30 us. Each has one key at a time, so that a caller with many keys spends its own place only."""

WORKERS_MAX: Final = 1_024
"""Workers that a caller knows. One that was forgotten costs a check of its certificate, about 100 us in all."""

CERTIFICATES_MAX: Final = 2
"""Valid certificates of one worker that are known by sight: while it is given a new one, some of its processes still
have the last one."""

_SIZES: Final = struct.Struct("!BBBBHI")


@dataclass(frozen=True, slots=True)
class Certified:
    """A member as its certificate or its enrolment describes it.

    Attributes:
        member: who it is, and what it may do.
        serial: the number of the certificate, or of the invitation that the enrolment relies on.
        keys: its CURVE public keys, 32 bytes each.
        made_at: when the enrolment was made, in Unix seconds, as its maker says; 0 for a certificate.
        chosen: whether the member has chosen its name, of those that an invitation is for: somebody who is registered
            may have it, too.
    """

    member: Member
    serial: int
    keys: tuple[bytes, ...]
    made_at: int = 0
    chosen: bool = False

    @property
    def order(self) -> tuple[bool, int, int]:
        """Of two that describe a member of one name, the one with the larger order counts.

        What the authority says of a name counts more than what is said by whoever has chosen it. Else the larger serial
        replaces the lower one, and of one invitation, which can make a member of that name anew, the later enrolment.
        """
        return not self.chosen, self.serial, self.made_at


@dataclass(frozen=True, slots=True)
class Keyring:
    """What a node proves and checks with; its secret key stays with the shell that made this.

    Attributes:
        certificate: its own, or its enrolment, as it travels.
        public_key: the one of its keys that it uses, 32 bytes.
        agree: returns the secret that it shares with the owner of a public key. Raises ProtocolError if that is none.
        verify: returns what is in a certificate, or in an enrolment and its invitation. Raises ProtocolError if neither
            this net's authority nor whoever it has invited has signed it.
        invitation: that of its enrolment; empty if it has a certificate.
    """

    certificate: bytes
    public_key: bytes
    agree: Callable[[bytes], bytes]
    verify: Callable[[bytes, bytes], Certified]
    invitation: bytes = b""


class Prover:
    """A worker's side.

    Args:
        keyring: this node's.
        name: this node's.
    """

    __slots__ = ("_invitation", "_keyring", "_name", "_secrets")

    def __init__(self, keyring: Keyring, name: str) -> None:
        self._keyring = keyring
        self._name = name.encode()
        self._invitation = pack_field(Field.INVITATION, keyring.invitation) if keyring.invitation else b""
        self._secrets: dict[bytes, tuple[bytes, bytes]] = {}

    def prove(self, request: Envelope, code: int, payload: bytes) -> bytes:
        """Return the extension block of a reply; empty if the request asks for no proof."""
        try:
            asked = field_of(request.extension, Field.PROOF)
            if asked is None or len(asked) != KEY_BYTES:
                return b""
            secret = self._secret_of(request.sender, asked)
            metadata = metadata_of(request.extension)
        except ProtocolError:
            return b""
        tag = tag_of(
            secret, request.id, request.service, request.sender, self._name, code, metadata, request.payload, payload
        )
        return pack_field(Field.PROOF, tag + self._keyring.certificate) + self._invitation

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self._secrets) <= CALLERS_MAX

    def _secret_of(self, caller: bytes, key: bytes) -> bytes:
        known = self._secrets.get(caller)
        if known is not None and known[0] == key:
            return known[1]
        secret = self._keyring.agree(key)
        if known is None and len(self._secrets) >= CALLERS_MAX:
            del self._secrets[next(iter(self._secrets))]
        self._secrets[caller] = (key, secret)
        return secret


class Asked(Protocol):
    """What a reply is checked by: the call that it answers."""

    @property
    def id(self) -> bytes:
        """Its id."""

    @property
    def service(self) -> bytes:
        """The service that was called."""

    @property
    def extension(self) -> bytes:
        """The extension block that it was sent with."""

    @property
    def payload(self) -> bytes:
        """What it was sent with."""


class Checker:
    """A caller's side.

    Attributes:
        field: what its requests carry to ask for proofs.

    Args:
        keyring: this node's.
        name: this node's.
    """

    __slots__ = ("_keyring", "_name", "_workers", "field")

    def __init__(self, keyring: Keyring, name: str) -> None:
        self.field = pack_field(Field.PROOF, keyring.public_key)
        self._keyring = keyring
        self._name = name.encode()
        self._workers: dict[bytes, _Worker] = {}

    def flaw_of(self, call: Asked, reply: Envelope) -> str:
        """Return why a reply to a call does not count; empty if its worker has proved it."""
        try:
            proof = field_of(reply.extension, Field.PROOF)
            if proof is None:
                return "it has no proof; its worker is too old to give one, or somebody has taken it off"
            invitation = field_of(reply.extension, Field.INVITATION) or b""
            worker = self._worker_of(reply.sender, proof[TAG_BYTES:], invitation)
            metadata = metadata_of(call.extension)
        except ProtocolError as error:
            return str(error)
        if not worker.member.may_serve(call.service.decode()):
            return "its worker may not provide the service"
        tag = proof[:TAG_BYTES]
        for secret in worker.secrets:
            expected = tag_of(
                secret, call.id, call.service, self._name, reply.sender, reply.code, metadata, call.payload,
                reply.payload,
            )  # fmt: skip
            if hmac.compare_digest(tag, expected):
                return ""
        return "its proof is for another request or reply, or not its worker's"

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self._workers) <= WORKERS_MAX
        for name, worker in self._workers.items():
            assert worker.member.name.encode() == name
            assert 1 <= len(worker.certificates) <= CERTIFICATES_MAX

    def _worker_of(self, name: bytes, certificate: bytes, invitation: bytes) -> "_Worker":
        """Return what is known of a worker, by the newest certificate or enrolment that was ever seen of it.

        Raises:
            ProtocolError: it is not valid, or not that worker's.
        """
        known = self._workers.get(name)
        seen = certificate, invitation
        if known is not None and seen in known.certificates:
            return known
        certified = self._keyring.verify(certificate, invitation)
        member = certified.member
        if member.name.encode() != name:
            raise ProtocolError(f"it comes with the certificate of {member.name}")
        if known is not None and certified.order < known.order:
            known.see(seen)
            return known
        worker = _Worker(certified, [self._keyring.agree(key) for key in certified.keys])
        worker.see(seen)
        if known is None and len(self._workers) >= WORKERS_MAX:
            del self._workers[next(iter(self._workers))]
        self._workers[name] = worker
        return worker


class _Worker:
    """A worker that a caller has met."""

    __slots__ = ("certificates", "member", "order", "secrets")

    def __init__(self, certified: Certified, secrets: list[bytes]) -> None:
        self.member = certified.member
        self.order = certified.order
        self.secrets = secrets
        self.certificates: list[tuple[bytes, bytes]] = []  # each with its invitation, if it is an enrolment

    def see(self, certificate: tuple[bytes, bytes]) -> None:
        self.certificates.append(certificate)
        del self.certificates[:-CERTIFICATES_MAX]


def tag_of(
    secret: bytes,
    id_: bytes,
    service: bytes,
    caller: bytes,
    worker: bytes,
    code: int,
    headers: bytes,
    request: bytes,
    reply: bytes,
) -> bytes:
    """Return the tag of a reply: see docs/protocol.md, "Proofs". All but the last part have a known length."""
    sizes = _SIZES.pack(len(service), len(caller), len(worker), code, len(headers), len(request))
    mac = hmac.new(secret, DOMAIN + sizes + id_ + service + caller + worker + headers, "sha256")
    mac.update(request)
    mac.update(reply)
    return mac.digest()[:TAG_BYTES]
