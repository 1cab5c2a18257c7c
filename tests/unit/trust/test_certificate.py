import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role
from braidmq.trust import manifest
from braidmq.trust.certificate import (
    CERTIFICATE_BYTES_MAX,
    DOMAIN,
    ENDPOINTS_MAX,
    PATTERNS_MAX,
    SERIAL_MAX,
    Claims,
    issue,
    verify,
)
from braidmq.trust.signed import sign

NET = "0123456789abcdef"
SEED = b"s" * 32
AUTHORITY = bytes(SigningKey(SEED).verify_key)
NODE = Claims(
    net=NET,
    serial=7,
    name="orders",
    role=Role.NODE,
    keys=(b"k" * 32,),
    calls=("pricing",),
    serves=("o.*",),
    observe=True,
)
BROKER = Claims(net=NET, serial=8, name="b1", role=Role.BROKER, keys=(b"b" * 32,), endpoints=("tcp://h:5550",))


def change(claims, **changes):
    return msgspec.structs.replace(claims, **changes)


@pytest.mark.parametrize("claims", [NODE, BROKER, change(NODE, keys=(b"k" * 32, b"l" * 32))])
def test_what_was_issued_verifies_as_it_was(claims):
    issued = issue(claims, SEED)
    verified = verify(issued.blob, AUTHORITY, NET)
    assert verified == issued
    assert {name: getattr(verified, name) for name in Claims.__struct_fields__} == msgspec.structs.asdict(claims)


def test_the_signature_covers_the_domain_and_the_payload():
    blob = issue(NODE, SEED).blob
    SigningKey(SEED).verify_key.verify(b"BRAID/1 certificate\0" + blob[64:], blob[:64])


def test_it_tells_principals_and_the_member():
    certificate = issue(change(NODE, keys=(b"\xab" * 32, b"\x00" * 32)), SEED)
    assert certificate.principals == ("ab" * 32, "00" * 32)
    assert certificate.member.name == "orders"
    assert certificate.member.may_call("pricing")
    assert certificate.member.may_serve("o.1")
    assert not certificate.member.may_serve("pricing")
    assert certificate.member.observe


BROKEN = [
    change(NODE, net="0123456789ABCDEF"),
    change(NODE, net=""),
    change(NODE, serial=0),
    change(NODE, serial=SERIAL_MAX + 1),
    change(NODE, name="-x"),
    change(NODE, name="x" * 64),
    change(NODE, keys=()),
    change(NODE, keys=(b"k" * 31,)),
    change(NODE, keys=(b"k" * 33,)),
    change(NODE, keys=(b"k" * 32, b"k" * 32)),
    change(NODE, keys=(b"k" * 32, b"l" * 32, b"m" * 32)),
    change(NODE, calls=("a b",)),
    change(NODE, serves=("*a",)),
    change(NODE, calls=("a",) * (PATTERNS_MAX + 1)),
    change(NODE, endpoints=("tcp://h:1",)),
    change(BROKER, endpoints=()),
    change(BROKER, endpoints=("tcp://*:1",)),
    change(BROKER, endpoints=tuple(f"tcp://h:{port}" for port in range(1, ENDPOINTS_MAX + 2))),
    change(BROKER, calls=("a",)),
    change(BROKER, serves=("a",)),
]


@pytest.mark.parametrize("claims", BROKEN, ids=repr)
def test_claims_that_break_a_rule_are_neither_issued_nor_accepted(claims):
    with pytest.raises(ConfigError):
        issue(claims, SEED)
    with pytest.raises(ProtocolError):
        verify(sign(DOMAIN, msgspec.msgpack.encode(claims), SEED), AUTHORITY, NET)


def test_the_largest_certificate_that_the_rules_allow_fits():
    patterns = tuple("p" * 126 + "*" for _ in range(PATTERNS_MAX))
    keys = (b"k" * 32, b"l" * 32)
    host = ".".join(["h" * 63] * 3 + ["h" * 61])
    endpoints = tuple(f"tcp://{host}:{65_535 - n}" for n in range(ENDPOINTS_MAX))
    node = change(NODE, name="n" * 63, serial=SERIAL_MAX, keys=keys, calls=patterns, serves=patterns)
    for claims in (node, change(BROKER, endpoints=endpoints)):
        blob = issue(claims, SEED).blob
        assert len(blob) <= CERTIFICATE_BYTES_MAX
        assert verify(blob, AUTHORITY, NET).name == claims.name


def test_another_net_or_authority_is_refused():
    blob = issue(NODE, SEED).blob
    with pytest.raises(ProtocolError, match="for net"):
        verify(blob, AUTHORITY, "f" * 16)
    with pytest.raises(ProtocolError, match="signature"):
        verify(blob, bytes(SigningKey(b"t" * 32).verify_key), NET)
    with pytest.raises(ProtocolError):
        verify(blob, b"short", NET)


def test_what_was_signed_as_something_else_is_refused():
    payload = msgspec.msgpack.encode(NODE)
    for domain in (b"", manifest.DOMAIN, DOMAIN[:-1]):
        with pytest.raises(ProtocolError, match="signature"):
            verify(sign(domain, payload, SEED), AUTHORITY, NET)


def test_unknown_claims_of_a_newer_version_are_skipped():
    payload = msgspec.msgpack.encode({**msgspec.to_builtins(NODE, builtin_types=[bytes]), "colour": {"deep": [1]}})
    assert verify(sign(DOMAIN, payload, SEED), AUTHORITY, NET).name == "orders"


@pytest.mark.parametrize("claims", [NODE, BROKER])
def test_each_flipped_byte_is_refused(claims):
    blob = issue(claims, SEED).blob
    for position in range(len(blob)):
        for mask in (0x01, 0x20, 0x80, 0xFF):
            damaged = bytearray(blob)
            damaged[position] ^= mask
            with pytest.raises(ProtocolError):
                verify(bytes(damaged), AUTHORITY, NET)


def test_each_truncation_and_extension_is_refused():
    blob = issue(NODE, SEED).blob
    for length in range(len(blob)):
        with pytest.raises(ProtocolError):
            verify(blob[:length], AUTHORITY, NET)
    with pytest.raises(ProtocolError):
        verify(blob + b"\0", AUTHORITY, NET)
    with pytest.raises(ProtocolError, match="bytes long"):
        verify(blob + bytes(CERTIFICATE_BYTES_MAX), AUTHORITY, NET)


@given(st.binary(max_size=300))
def test_any_bytes_raise_only_protocol_error(blob):
    with pytest.raises(ProtocolError):
        verify(blob, AUTHORITY, NET)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.binary(max_size=200)
    | anything.map(msgspec.msgpack.encode)
    | st.fixed_dictionaries({}, optional=dict.fromkeys(Claims.__struct_fields__, anything)).map(
        lambda odd: msgspec.msgpack.encode({**msgspec.to_builtins(NODE, builtin_types=[bytes]), **odd})
    )
)
def test_even_signed_garbage_raises_only_protocol_error(payload):
    try:
        certificate = verify(sign(DOMAIN, payload, SEED), AUTHORITY, NET)
    except ProtocolError:
        return
    assert certificate.net == NET


def test_signed_text_that_is_not_utf8_and_deep_nesting_raise_only_protocol_error():
    for payload in (b"\x81\xa3net\xa2\xff\xfe", b"\x81\xa1x" + b"\x91" * 20_000 + b"\xc0", b"\x91" * 20_000):
        with pytest.raises(ProtocolError):
            verify(sign(DOMAIN, payload, SEED), AUTHORITY, NET)
