import msgspec
import pytest
from nacl.signing import SigningKey

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import check_name
from braidmq.trust import certificate
from braidmq.trust.certificate import PATTERNS_MAX, SERIAL_MAX, TIME_MAX_S
from braidmq.trust.invitation import (
    DOMAIN,
    IDLE_S_MAX,
    INVITATION_BYTES_MAX,
    INVITATIONS_MAX,
    PREFIX_BYTES_MAX,
    USES_MAX,
    USES_TOTAL_MAX,
    Terms,
    check_invitations,
    issue,
    verify,
)
from braidmq.trust.signed import sign
from braidmq.trust.token_keys import TokenKeys
from tests.support.tokens import AUTHORITY, INVITATION, NET, SEED, TERMS, invite, member_key, other_invite


def change(**changes):
    return msgspec.structs.replace(TERMS, **changes)


@pytest.mark.parametrize("terms", [TERMS, change(prefix="", name="one", calls=(), serves=(), observe=False, idle_s=0)])
def test_what_was_issued_verifies_as_it_was(terms):
    issued = issue(terms, SEED)
    verified = verify(issued.blob, AUTHORITY, NET)
    assert verified == issued
    assert {name: getattr(verified, name) for name in Terms.__struct_fields__} == msgspec.structs.asdict(terms)


def test_the_signature_covers_the_domain_and_the_payload():
    SigningKey(SEED).verify_key.verify(b"BRAID/1 invitation\0" + INVITATION.blob[64:], INVITATION.blob[:64])


BROKEN = [
    change(net="0123456789ABCDEF"),
    change(serial=0),
    change(serial=SERIAL_MAX + 1),
    change(key=b"k" * 31),
    change(curve_key=b"k" * 31),
    change(curve_key=bytes(32)),
    change(uses=0),
    change(uses=USES_MAX + 1),
    change(not_after=0),
    change(not_after=TIME_MAX_S + 1),
    change(idle_s=-1),
    change(idle_s=IDLE_S_MAX + 1),
    change(prefix=""),
    change(name="both"),
    change(prefix="-x"),
    change(prefix="p" * (PREFIX_BYTES_MAX + 1)),
    change(prefix="", name="a b"),
    change(prefix="", name="n" * 64),
    change(calls=("a b",)),
    change(serves=("*a",)),
    change(calls=("a",) * (PATTERNS_MAX + 1)),
    change(serves=("a",) * (PATTERNS_MAX + 1)),
]


@pytest.mark.parametrize("terms", BROKEN, ids=repr)
def test_terms_that_break_a_rule_are_neither_issued_nor_accepted(terms):
    with pytest.raises(ConfigError):
        issue(terms, SEED)
    with pytest.raises(ProtocolError):
        verify(sign(DOMAIN, msgspec.msgpack.encode(terms), SEED), AUTHORITY, NET)


def test_the_largest_invitation_that_the_rules_allow_fits():
    patterns = tuple("p" * 126 + "*" for _ in range(PATTERNS_MAX))
    terms = change(
        serial=SERIAL_MAX, uses=USES_MAX, not_after=TIME_MAX_S, idle_s=IDLE_S_MAX, calls=patterns, serves=patterns,
        prefix="p" * PREFIX_BYTES_MAX,
    )  # fmt: skip
    blob = issue(terms, SEED).blob
    assert len(blob) <= INVITATION_BYTES_MAX
    assert verify(blob, AUTHORITY, NET).uses == USES_MAX


def test_another_net_or_authority_or_kind_of_document_is_refused():
    with pytest.raises(ProtocolError, match="is for net"):
        verify(INVITATION.blob, AUTHORITY, "f" * 16)
    with pytest.raises(ProtocolError, match="signature"):
        verify(INVITATION.blob, bytes(SigningKey(b"x" * 32).verify_key), NET)
    for domain in (b"", certificate.DOMAIN, DOMAIN[:-1]):
        with pytest.raises(ProtocolError, match="signature"):
            verify(sign(domain, msgspec.msgpack.encode(TERMS), SEED), AUTHORITY, NET)


def test_unknown_terms_of_a_newer_version_are_skipped():
    payload = msgspec.msgpack.encode({**msgspec.to_builtins(TERMS, builtin_types=[bytes]), "colour": {"deep": [1]}})
    assert verify(sign(DOMAIN, payload, SEED), AUTHORITY, NET).prefix == "replica-"


def test_each_flipped_byte_truncation_and_extension_is_refused():
    blob = INVITATION.blob
    for position in range(len(blob)):
        damaged = bytearray(blob)
        damaged[position] ^= 0x41
        for wrong in (bytes(damaged), blob[:position]):
            with pytest.raises(ProtocolError):
                verify(wrong, AUTHORITY, NET)
    for more, said in ((b"\0", "signature"), (bytes(INVITATION_BYTES_MAX), "bytes long")):
        with pytest.raises(ProtocolError, match=said):
            verify(blob + more, AUTHORITY, NET)


def test_a_prefix_covers_what_is_longer_and_a_name_itself_only():
    assert INVITATION.covers("replica-1")
    for name in ("replica-", "replica", "Replica-1", "x-replica-1"):
        assert not INVITATION.covers(name)
    one = invite(prefix="", name="one")
    assert one.covers("one")
    assert not one.covers("one1")


def test_names_are_made_of_keys_and_differ_as_they_do():
    names = {INVITATION.name_for(member_key(number)) for number in range(50)}
    assert len(names) == 50
    longest = invite(prefix="p" * PREFIX_BYTES_MAX)
    for invitation in (INVITATION, longest):
        name = invitation.name_for(member_key(1))
        assert name == invitation.name_for(member_key(1)) == check_name(name)
        assert invitation.covers(name)
    assert invite(prefix="", name="one").name_for(member_key(1)) == "one"


def test_invitations_stand_side_by_side_unless_they_share_something_or_are_too_many():
    assert check_invitations(iter((INVITATION, other_invite())), {member_key(1)}) == (INVITATION, other_invite())
    for second, said in (
        (other_invite(serial=7), "one serial"),
        (other_invite(key=INVITATION.key), "share a key"),
        (other_invite(curve_key=INVITATION.curve_key), "share a key"),
    ):
        with pytest.raises(ConfigError, match=said):
            check_invitations((INVITATION, second))
    with pytest.raises(ConfigError, match="key of a member"):
        check_invitations((INVITATION,), {INVITATION.curve_key})
    tokens = [TokenKeys.of(number.to_bytes(32)) for number in range(INVITATIONS_MAX + 1)]
    many = [invite(serial=1 + number, key=token.key, curve_key=token.curve_key) for number, token in enumerate(tokens)]
    check_invitations(many[:-1])
    with pytest.raises(ConfigError, match=f"{INVITATIONS_MAX} are allowed"):
        check_invitations(many)
    greedy = [msgspec.structs.replace(each, uses=USES_MAX) for each in many[: USES_TOTAL_MAX // USES_MAX]]
    check_invitations(greedy)
    with pytest.raises(ConfigError, match="together"):
        check_invitations([*greedy, many[-1]])
