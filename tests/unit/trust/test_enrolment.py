import msgspec
import pytest
from nacl.signing import SigningKey

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role
from braidmq.trust import certificate, invitation
from braidmq.trust.certificate import SERIAL_MAX, TIME_MAX_S
from braidmq.trust.enrolment import DOMAIN, ENROLMENT_BYTES_MAX, issue, serial_of, verify
from braidmq.trust.signed import sign
from tests.support.tokens import (
    END,
    INVITATION,
    NOW,
    OTHER_TOKEN,
    SEED,
    TOKEN,
    enrol,
    invite,
    member_key,
    other_invite,
    statement,
)


def test_it_is_read_as_a_certificate_with_the_rights_of_its_invitation():
    blob = enrol(1)
    found = verify(blob, INVITATION)
    assert (found.name, found.key, found.keys, found.made_at) == ("replica-1", member_key(1), (member_key(1),), NOW)
    assert (found.net, found.serial, found.role, found.endpoints) == (INVITATION.net, 7, Role.NODE, ())
    assert (found.calls, found.serves, found.observe) == (INVITATION.calls, INVITATION.serves, True)
    assert (found.blob, found.invitation) == (blob, INVITATION)
    assert found.principals == (found.principal,) == (member_key(1).hex(),)
    assert found.member.may_call("pricing")
    assert not found.member.may_serve("pricing")
    assert serial_of(blob) == 7


def test_the_signature_of_the_token_covers_the_domain_and_the_payload():
    blob = enrol(1)
    SigningKey(TOKEN.signing_seed).verify_key.verify(b"BRAID/1 enrolment\0" + blob[64:], blob[:64])


BROKEN = [
    statement(net="0123456789ABCDEF"),
    statement(invitation=0),
    statement(invitation=SERIAL_MAX + 1),
    statement(name="-x"),
    statement(key=b"k" * 31),
    statement(key=bytes(32)),
    statement(key=member_key(1)[:31] + b"\xff"),
    statement(made_at=0),
    statement(made_at=TIME_MAX_S + 1),
]


@pytest.mark.parametrize("said", BROKEN, ids=repr)
def test_statements_that_break_a_rule_are_neither_issued_nor_accepted(said):
    with pytest.raises(ConfigError):
        issue(said, TOKEN.signing_seed)
    with pytest.raises(ProtocolError):
        verify(sign(DOMAIN, msgspec.msgpack.encode(said), TOKEN.signing_seed), INVITATION)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (statement(name="other"), "not for a member with the name"),
        (statement(name="replica-"), "not for a member with the name"),
        (statement(made_at=END + 1), "after the end"),
        (statement(key=INVITATION.curve_key), "token itself"),
        (statement(net="f" * 16), "another invitation"),
        (statement(invitation=8), "another invitation"),
    ],
)
def test_what_the_invitation_does_not_allow_is_refused(said, why):
    with pytest.raises(ProtocolError, match=why):
        verify(issue(said, TOKEN.signing_seed), INVITATION)


def test_what_was_signed_by_others_or_as_something_else_is_refused():
    payload = msgspec.msgpack.encode(statement())
    for seed in (OTHER_TOKEN.signing_seed, SEED, b"t" * 32):
        with pytest.raises(ProtocolError, match="signature"):
            verify(sign(DOMAIN, payload, seed), INVITATION)
    for domain in (b"", certificate.DOMAIN, invitation.DOMAIN, DOMAIN[:-1]):
        with pytest.raises(ProtocolError, match="signature"):
            verify(sign(domain, payload, TOKEN.signing_seed), INVITATION)
    with pytest.raises(ProtocolError, match="signature"):
        verify(enrol(1), other_invite(serial=7))


def test_the_largest_enrolment_fits_with_room_to_spare():
    longest = statement(name="n" * 63, invitation=SERIAL_MAX, made_at=TIME_MAX_S)
    blob = issue(longest, TOKEN.signing_seed)
    assert len(blob) <= ENROLMENT_BYTES_MAX // 2
    assert verify(blob, invite(prefix="n", serial=SERIAL_MAX, not_after=TIME_MAX_S)).name == "n" * 63


def test_unknown_fields_of_a_newer_version_are_skipped():
    payload = msgspec.msgpack.encode({**msgspec.to_builtins(statement(), builtin_types=[bytes]), "colour": [1]})
    assert verify(sign(DOMAIN, payload, TOKEN.signing_seed), INVITATION).name == "replica-1"


def test_each_flipped_byte_truncation_and_extension_is_refused():
    blob = enrol(1)
    for position in range(len(blob)):
        damaged = bytearray(blob)
        damaged[position] ^= 0x41
        for wrong in (bytes(damaged), blob[:position]):
            with pytest.raises(ProtocolError):
                verify(wrong, INVITATION)
    for more in (b"\0", bytes(ENROLMENT_BYTES_MAX)):
        with pytest.raises(ProtocolError):
            verify(blob + more, INVITATION)


def test_it_is_not_read_before_its_size_is_known_to_be_bounded():
    with pytest.raises(ProtocolError, match="bytes long"):
        serial_of(enrol(1) + bytes(ENROLMENT_BYTES_MAX))
