"""What the holder of a token says about one new member, signed with the token's key instead of the authority's.

On the wire an enrolment is an Ed25519 signature (64 bytes) followed by the MessagePack map of its `Statement`. Unknown
fields of a newer version are skipped. It stands for a certificate, but only together with its invitation, which says
what rights the member has, and only if brokers have admitted it: they count the uses, and know the time. An enrolment
alone proves that the holder of the token said so, be it long after the token ended.
"""

from typing import Final

import msgspec

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role, check_name
from braidmq.trust.certificate import SERIAL_MAX, TIME_MAX_S, Certificate, check_net
from braidmq.trust.curve_key import check_curve_key
from braidmq.trust.invitation import Invitation
from braidmq.trust.signed import SIGNATURE_BYTES, open_signed, sign
from braidmq.wire.nesting import check_nesting

DOMAIN: Final = b"BRAID/1 enrolment\0"

ENROLMENT_BYTES_MAX: Final = 512
"""Largest enrolment with its signature: more than twice what the longest name takes, for fields to come."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What the holder of a token says.

    Attributes:
        net: the net's id, 16 lower-case hex digits.
        invitation: the serial of the invitation that it relies on.
        name: the new member's.
        key: the new member's CURVE public key, 32 bytes.
        made_at: when it was said, in Unix seconds, by the clock of whoever said it.
    """

    net: str
    invitation: int
    name: str
    key: bytes
    made_at: int


class Enrolment(Certificate, frozen=True, kw_only=True):
    """An enrolment that agrees with its invitation; only `verify` makes one. It is read as a certificate is.

    Its `serial` and rights are those of the invitation, its role is that of a node, and it has one key. Its `blob` is
    that of the enrolment, and is no certificate.

    Attributes:
        invitation: what it relies on.
        made_at: when its maker says that it was made, in Unix seconds, not after the end of the invitation.
    """

    invitation: Invitation
    made_at: int

    @property
    def key(self) -> bytes:
        """The member's CURVE public key, 32 bytes."""
        return self.keys[0]

    @property
    def principal(self) -> str:
        """The member's key in lower-case hex."""
        return self.key.hex()


_decoder = msgspec.msgpack.Decoder(Statement)


def issue(statement: Statement, signing_seed: bytes) -> bytes:
    """Return the blob of an enrolment, signed with the token's `signing_seed` (32 bytes).

    Raises:
        ConfigError: the statement breaks the rules.
    """
    _check(statement)
    return sign(DOMAIN, msgspec.msgpack.encode(statement), signing_seed)


def serial_of(blob: bytes) -> int:
    """Return the serial of the invitation that an enrolment names. Nothing is verified.

    Raises:
        ProtocolError: `blob` is no enrolment.
    """
    return _statement(blob[SIGNATURE_BYTES:], len(blob)).invitation


def read(blob: bytes, invitation: Invitation) -> Statement:
    """Return what the holder of a token says in `blob`, be it allowed to or not.

    Raises:
        ProtocolError: `blob` is not an enrolment that was signed with the token of this invitation, or breaks a rule.
    """
    statement = _statement(blob[SIGNATURE_BYTES:], len(blob))
    if statement.net != invitation.net or statement.invitation != invitation.serial:
        raise ProtocolError("the enrolment relies on another invitation")
    open_signed(DOMAIN, blob, invitation.key)
    return statement


def verify(blob: bytes, invitation: Invitation) -> Enrolment:
    """Return the enrolment in `blob`, which may come from anyone.

    Args:
        blob: signature and payload.
        invitation: the one that it must rely on: see `serial_of`.

    Raises:
        ProtocolError: `blob` was not signed with the token of this invitation, breaks a rule, or says what the
            invitation does not allow.
    """
    return enrol(read(blob, invitation), blob, invitation)


def enrol(statement: Statement, blob: bytes, invitation: Invitation) -> Enrolment:
    """Return the enrolment of a statement that was read from `blob`, if its invitation allows it.

    Raises:
        ProtocolError: the invitation does not allow it.
    """
    if not invitation.covers(statement.name):
        raise ProtocolError(f"the token is not for a member with the name {statement.name!r}")
    if statement.made_at > invitation.not_after:
        raise ProtocolError("the enrolment was made after the end of its invitation")
    if statement.key == invitation.curve_key:
        raise ProtocolError("the enrolment is for the key of the token itself")
    return Enrolment(
        net=invitation.net,
        serial=invitation.serial,
        name=statement.name,
        role=Role.NODE,
        keys=(statement.key,),
        calls=invitation.calls,
        serves=invitation.serves,
        observe=invitation.observe,
        blob=blob,
        invitation=invitation,
        made_at=statement.made_at,
    )


def _statement(payload: bytes, size: int) -> Statement:
    if not SIGNATURE_BYTES < size <= ENROLMENT_BYTES_MAX:
        raise ProtocolError(f"an enrolment cannot be {size} bytes long")
    check_nesting(payload, size)
    try:
        statement = _decoder.decode(payload)
        _check(statement)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # a ConfigError is a ValueError
        raise ProtocolError(f"not an enrolment: {error}") from None
    return statement


def _check(statement: Statement) -> None:
    check_net(statement.net)
    if not 1 <= statement.invitation <= SERIAL_MAX:
        raise ConfigError(f"a serial must be from 1 to 2^63 - 1, not {statement.invitation}")
    check_name(statement.name)
    check_curve_key(statement.key)
    if not 1 <= statement.made_at <= TIME_MAX_S:
        raise ConfigError(f"an enrolment must be made between 1970 and the year 9999, not at {statement.made_at}")
