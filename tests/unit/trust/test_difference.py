"""From an older manifest and the difference comes exactly the newer one, or nothing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role
from braidmq.trust import certificate, invitation, manifest, roster
from braidmq.trust.certificate import Claims
from braidmq.trust.invitation import Terms
from braidmq.trust.manifest import DOMAIN, Extras, Manifest, Removal, Revocation
from braidmq.trust.signed import SIGNATURE_BYTES, sign
from braidmq.trust.token_keys import TokenKeys

NET = "0123456789abcdef"
SEED = b"s" * 32
AUTHORITY = bytes(SigningKey(SEED).verify_key)
KEPT = 3
"""Removals that the histories of these tests keep."""


def member(name, serial, key, role=Role.NODE):
    endpoints = ("tcp://h:1",) if role is Role.BROKER else ()
    return certificate.issue(
        Claims(net=NET, serial=serial, name=name, role=role, keys=(key,), endpoints=endpoints), SEED
    )


def differing(new: Manifest, since: int) -> bytes:
    found = new.difference(since)
    assert found is not None
    return found


def history(changes):
    """Return the manifests of a net after each of `changes`: (name, what), as an authority would issue them."""
    members: dict[str, certificate.Certificate] = {}
    removals: tuple[Removal, ...] = ()
    since, listed = 0, None
    found = [manifest.issue(NET, 0, (), SEED)]
    for version, (name, what) in enumerate(changes, 1):
        if what == "remove":
            if members.pop(name, None) is not None:
                removals = (*removals, Removal(version, name))
        else:
            key = version.to_bytes(2) * 16
            members[name] = member(name, version, key, Role.BROKER if what == "broker" else Role.NODE)
        while len(removals) > KEPT:
            since, removals = removals[0].version, removals[1:]
        brokers = tuple(each for each in members.values() if each.role is Role.BROKER)
        if listed is None or set(listed.brokers) != set(brokers):
            listed = roster.issue(NET, version, brokers, SEED)
        extras = Extras(removals=removals, removals_since=since)
        found.append(manifest.issue(NET, version, members.values(), SEED, extras=extras, roster=listed))
    return found


CHANGES = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(("node", "node", "broker", "remove"))), max_size=14
)


@given(CHANGES, st.data())
def test_the_difference_makes_the_newer_one_of_the_older_one(changes, data):
    manifests = history(changes)
    new = manifests[-1]
    old = data.draw(st.sampled_from(manifests))
    difference = new.difference(old.version)
    if difference is None:
        assert old.version < new.extras.removals_since
        return
    assert manifest.verify(difference, AUTHORITY, NET, old) == new


@given(CHANGES.filter(bool), st.data())
def test_a_difference_from_another_manifest_is_refused(changes, data):
    manifests = history(changes)
    new = manifests[-1]
    old = data.draw(st.sampled_from(manifests[:-1]))
    difference = new.difference(old.version)
    if difference is None:
        return
    other = manifest.issue(NET, old.version, (member("stranger", old.version or 1, b"x" * 32),), SEED)
    with pytest.raises(ProtocolError):
        manifest.verify(difference, AUTHORITY, NET, other)


def test_a_difference_is_small():
    many = [member(f"n{number:04}", 1, number.to_bytes(2) * 16) for number in range(1_000)]
    old = manifest.issue(NET, 1, many, SEED)
    new = manifest.issue(NET, 2, (*many, member("x", 2, b"x" * 32)), SEED)
    assert len(differing(new, 1)) < 500 < len(new.blob)
    assert manifest.verify(differing(new, 1), AUTHORITY, NET, old) == new


def test_no_difference_from_before_what_is_told_of_nor_from_what_is_to_come():
    extras = Extras(removals=(Removal(6, "a"),), removals_since=5)
    new = manifest.issue(NET, 7, (), SEED, extras=extras)
    assert new.difference(4) is None
    assert new.difference(8) is None
    assert new.difference(5) is not None


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_a_difference(data):
    with pytest.raises(ProtocolError):
        manifest.verify(data, AUTHORITY, NET, manifest.issue(NET, 1, (), SEED))


def test_the_signature_of_a_difference_is_that_of_the_whole():
    old, new = history([("a", "node"), ("b", "node")])[1:]
    difference = differing(new, old.version)
    assert difference[:SIGNATURE_BYTES] == new.blob[:SIGNATURE_BYTES]
    changed = difference[:-1] + bytes([difference[-1] ^ 1])
    with pytest.raises(ProtocolError):
        manifest.verify(changed, AUTHORITY, NET, old)
    other = SigningKey(b"t" * 32).sign(DOMAIN + new.blob[SIGNATURE_BYTES:]).signature
    with pytest.raises(ProtocolError, match="signature"):
        manifest.verify(other + difference[SIGNATURE_BYTES:], AUTHORITY, NET, old)


def test_what_it_says_beside_comes_along():
    keys = TokenKeys.of(b"t" * 32)
    terms = Terms(
        net=NET, serial=2, key=keys.key, curve_key=keys.curve_key, uses=1, not_after=2_000_000_000, name="replica"
    )
    invited = invitation.issue(terms, SEED)
    extras = Extras(revoked=(Revocation(2, b"k" * 32, "gone"),), invitations=(invited.blob,))
    old = manifest.issue(NET, 1, (), SEED)
    new = manifest.issue(NET, 2, (), SEED, extras=extras)
    assert manifest.verify(differing(new, 1), AUTHORITY, NET, old).extras == extras
    assert manifest.verify(new.blob, AUTHORITY, NET).extras == extras
    assert new.invited() == (invited,)


def test_the_limits_of_what_it_says_beside_hold_for_issuer_and_reader():
    many = Extras(removals=tuple(Removal(1, "a") for _ in range(manifest.REMOVALS_MAX + 1)))
    with pytest.raises((ConfigError, msgspec.ValidationError)):
        manifest.issue(NET, 1, (), SEED, extras=many)
    payload = {"net": NET, "version": 1, "certificates": [], "removals": [[1, "a"]] * (manifest.REMOVALS_MAX + 1)}
    with pytest.raises(ProtocolError):
        manifest.verify(sign(DOMAIN, msgspec.msgpack.encode(payload), SEED), AUTHORITY, NET)


def test_names_that_are_not_in_their_order_are_refused():
    blobs = [member("b", 1, b"b" * 32).blob, member("a", 1, b"a" * 32).blob]
    payload = {"net": NET, "version": 1, "certificates": blobs}
    with pytest.raises(ProtocolError, match="sorted"):
        manifest.verify(sign(DOMAIN, msgspec.msgpack.encode(payload), SEED), AUTHORITY, NET)


def test_a_roster_that_is_not_the_manifests_is_refused():
    broker = member("b", 1, b"b" * 32, Role.BROKER)
    with pytest.raises(ConfigError, match="list of brokers"):
        manifest.issue(NET, 1, (), SEED, roster=roster.issue(NET, 1, (broker,), SEED))
    forged = roster.Roster(NET, 1, (broker,), b"s" * 64, b"")
    signed = manifest.issue(NET, 1, (broker,), SEED, roster=forged)
    with pytest.raises(ProtocolError, match="roster"):
        manifest.verify(signed.blob, AUTHORITY, NET)


def test_the_check_of_a_large_one_lets_others_have_turns():
    many = [member(f"n{number:04}", 1, number.to_bytes(2) * 16) for number in range(2_000)]
    whole = manifest.issue(NET, 1, many, SEED)
    turns = sum(1 for _ in manifest.checked(whole.blob, AUTHORITY, NET))
    assert turns >= 2_000 // manifest.SLICE


def test_a_manifest_from_before_has_no_roster_and_can_be_differed_from():
    payload = {"net": NET, "version": 3, "certificates": [member("a", 3, b"a" * 32).blob]}
    before = manifest.verify(sign(DOMAIN, msgspec.msgpack.encode(payload), SEED), AUTHORITY, NET)
    assert isinstance(before, Manifest)
    assert before.roster is None
    assert before.difference(2) is not None


def test_a_difference_that_nobody_has_signed_is_read_in_slices():
    base = manifest.issue(NET, 1, (), SEED)
    blobs = [member(f"n{number}", 2, number.to_bytes(2) * 16).blob for number in range(1, 3 * manifest.SLICE + 2)]
    forged = bytes(SIGNATURE_BYTES) + msgspec.msgpack.encode({"net": NET, "version": 2, "certificates": blobs})
    checking = manifest.checked(forged, AUTHORITY, NET, base)
    for _ in range(3):
        next(checking)
    with pytest.raises(ProtocolError, match="signature"):
        list(checking)
