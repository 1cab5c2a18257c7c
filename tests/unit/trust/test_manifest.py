import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role
from braidmq.trust import certificate
from braidmq.trust.certificate import Claims
from braidmq.trust.manifest import DOMAIN, MANIFEST_BYTES_MAX, issue, verify
from braidmq.trust.signed import sign

NET = "0123456789abcdef"
SEED = b"s" * 32
AUTHORITY = bytes(SigningKey(SEED).verify_key)


def node(name, key, net=NET, seed=SEED):
    return certificate.issue(Claims(net=net, serial=1, name=name, role=Role.NODE, keys=(key * 32,)), seed)


BROKER = certificate.issue(
    Claims(net=NET, serial=2, name="b", role=Role.BROKER, keys=(b"b" * 32,), endpoints=("tcp://h:1",)), SEED
)
A, C = node("a", b"a"), node("c", b"c")


def signed(net, version, blobs):
    return sign(DOMAIN, msgspec.msgpack.encode({"net": net, "version": version, "certificates": blobs}), SEED)


def test_what_was_issued_verifies_as_it_was():
    issued = issue(NET, 3, (C, BROKER, A), SEED)
    assert verify(issued.blob, AUTHORITY, NET) == issued
    assert issued.certificates == (A, BROKER, C)
    assert issued.brokers == (BROKER,)
    assert issued.version == 3


def test_the_signature_covers_the_domain_and_the_payload():
    blob = issue(NET, 0, (), SEED).blob
    SigningKey(SEED).verify_key.verify(b"BRAID/1 manifest\0" + blob[64:], blob[:64])


def test_names_and_keys_must_be_unique():
    for pair in ((A, node("a", b"x")), (A, node("x", b"a"))):
        with pytest.raises(ConfigError):
            issue(NET, 1, pair, SEED)
        with pytest.raises(ProtocolError):
            verify(signed(NET, 1, [each.blob for each in pair]), AUTHORITY, NET)


def test_a_certificate_of_another_net_is_refused_although_the_manifest_is_signed():
    stranger = node("x", b"x", net="f" * 16)
    with pytest.raises(ProtocolError, match="certificate"):
        verify(signed(NET, 1, [A.blob, stranger.blob]), AUTHORITY, NET)


@pytest.mark.parametrize("version", [-1, 2**63, 2**64 - 1, "1", None, 1.5])
def test_a_version_out_of_bounds_is_refused(version):
    with pytest.raises(ProtocolError):
        verify(signed(NET, version, []), AUTHORITY, NET)


def test_another_net_or_authority_is_refused():
    blob = issue(NET, 1, (A,), SEED).blob
    for other in (blob, issue(NET, 0, (), SEED).blob):
        with pytest.raises(ProtocolError, match="for net"):
            verify(other, AUTHORITY, "f" * 16)
    with pytest.raises(ProtocolError, match="signature"):
        verify(blob, bytes(SigningKey(b"t" * 32).verify_key), NET)


def test_a_certificate_is_not_a_manifest():
    with pytest.raises(ProtocolError, match="signature"):
        verify(A.blob, AUTHORITY, NET)


def test_each_flipped_byte_and_truncation_is_refused():
    blob = issue(NET, 1, (A, BROKER), SEED).blob
    for position in range(len(blob)):
        damaged = bytearray(blob)
        damaged[position] ^= 0x01
        for bad in (bytes(damaged), blob[:position]):
            with pytest.raises(ProtocolError):
                verify(bad, AUTHORITY, NET)


def test_a_manifest_beyond_the_limit_is_refused_before_its_signature_is_checked():
    with pytest.raises(ProtocolError, match="bytes long"):
        verify(bytes(MANIFEST_BYTES_MAX + 1), AUTHORITY, NET)


@given(st.binary(max_size=300))
def test_any_bytes_raise_only_protocol_error(blob):
    with pytest.raises(ProtocolError):
        verify(blob, AUTHORITY, NET)
    with pytest.raises(ProtocolError):
        verify(sign(DOMAIN, blob, SEED), AUTHORITY, NET)
    with pytest.raises(ProtocolError):
        verify(signed(NET, 1, [blob]), AUTHORITY, NET)
