import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role
from braidmq.trust import certificate, manifest, roster
from braidmq.trust.certificate import Claims

NET = "0123456789abcdef"
SEED = b"s" * 32
AUTHORITY = bytes(SigningKey(SEED).verify_key)


def member(name, role=Role.BROKER):
    endpoints = ("tcp://h:1",) if role is Role.BROKER else ()
    return certificate.issue(
        Claims(net=NET, serial=1, name=name, role=role, keys=(name[0].encode() * 32,), endpoints=endpoints), SEED
    )


A, B, NODE = member("a"), member("b"), member("n", Role.NODE)


def test_what_was_issued_verifies_as_it_was():
    issued = roster.issue(NET, 4, (B, A), SEED)
    assert roster.verify(issued.blob, AUTHORITY, NET) == issued
    assert issued.brokers == (A, B)


def test_it_is_rebuilt_from_its_brokers_and_its_signature():
    issued = roster.issue(NET, 4, (A, B), SEED)
    assert roster.rebuild(NET, 4, (B, A), issued.signature) == issued


def test_it_is_for_one_net_of_one_authority_and_no_manifest():
    blob = roster.issue(NET, 4, (A,), SEED).blob
    with pytest.raises(ProtocolError, match="net"):
        roster.verify(blob, AUTHORITY, "f" * 16)
    with pytest.raises(ProtocolError, match="signature"):
        roster.verify(roster.issue(NET, 4, (A,), b"t" * 32).blob, AUTHORITY, NET)
    with pytest.raises(ProtocolError, match="signature"):
        roster.verify(manifest.issue(NET, 4, (A,), SEED).blob, AUTHORITY, NET)


def test_it_names_brokers_and_each_once():
    with pytest.raises(ConfigError, match="node"):
        roster.issue(NET, 1, (NODE,), SEED)
    with pytest.raises(ConfigError, match="twice"):
        roster.issue(NET, 1, (A, A), SEED)
    with pytest.raises(ConfigError, match="version"):
        roster.issue(NET, 0, (A,), SEED)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data):
    with pytest.raises(ProtocolError):
        roster.verify(data, AUTHORITY, NET)


@given(st.data())
def test_every_changed_byte_is_refused(data):
    blob = roster.issue(NET, 4, (A, B), SEED).blob
    at = data.draw(st.integers(0, len(blob) - 1))
    changed = blob[:at] + bytes([blob[at] ^ data.draw(st.integers(1, 255))]) + blob[at + 1 :]
    with pytest.raises(ProtocolError):
        roster.verify(changed, AUTHORITY, NET)
