"""Registries of the simulated net: a difference makes what was signed, and nobody else makes one."""

import random

import msgspec
import pytest

from braidmq.errors import ProtocolError
from braidmq.lab.simulation.edition import REMOVALS_MAX, Authority, Edition, read, sign
from braidmq.lab.simulation.hostile_registry import Forger
from braidmq.lab.simulation.ledger import Ledger, Papers
from braidmq.lab.simulation.registry import address_of, principal_of
from braidmq.members import Member, Role
from braidmq.wire.registry import CertificateIs, RegistryWanted


def authority_of(*names):
    """Return the authority of a net of a broker and some nodes."""
    return Authority([Member("b0", Role.BROKER), *(Member(name, Role.NODE) for name in names)], lambda edition: None)


@pytest.fixture
def authority():
    made = authority_of("c0", "w0")
    made.change(add=[Member("b1", Role.BROKER)])
    made.change(remove=["w0"])
    made.change(add=[Member("c0", Role.NODE, calls=("s",))])
    return made


def test_a_difference_from_any_version_makes_the_newest_registry(authority):
    for base in authority.editions:
        since, data = authority.newest.since(base.version)
        assert since == base.version
        assert read(data, base).blob == authority.newest.blob
    assert read(authority.newest.blob, None).blob == authority.newest.blob
    assert authority.newest.member(principal_of("c0")).calls == ("s",)
    assert authority.newest.member(principal_of("w0")) is None


def test_whoever_has_missed_too_many_removals_gets_all_of_it():
    names = [f"n{number}" for number in range(REMOVALS_MAX + 2)]
    authority = authority_of(*names)
    for name in names:
        authority.change(remove=[name])
    since, data = authority.newest.since(1)
    assert (since, data) == (0, authority.newest.blob)
    assert authority.newest.since(authority.newest.version - 1)[0]


def test_a_difference_from_another_base_is_refused(authority):
    _, data = authority.newest.since(3)
    with pytest.raises(ProtocolError, match="signature"):
        read(data, authority.editions[0])


def test_nobody_else_makes_one(authority):
    payload = msgspec.structs.replace(authority.newest.payload, version=9)
    forged = bytes(16) + msgspec.msgpack.encode(payload)
    other_net = sign(msgspec.structs.replace(payload, net="another net"))
    for blob in (forged, other_net, b"", b"\xff" * 40):
        with pytest.raises(ProtocolError):
            read(blob, None)


@pytest.mark.parametrize("seed", range(50))
def test_whatever_a_liar_hands_on_makes_no_newer_registry(authority, seed):
    forger = Forger(authority, random.Random(seed))
    ledger = Ledger(authority.editions[1], lambda source: None)
    parts = forger.parts(RegistryWanted(ledger.version, 0, 4))
    data = b"".join(part.data for part in parts)
    try:
        found = read(data, ledger.edition if parts and parts[0].since else None)
    except ProtocolError:
        return
    assert found.blob in [each.blob for each in authority.editions]


class TestPapers:
    def test_a_broker_that_the_list_has_no_more_is_left_and_its_older_certificate_too(self, authority):
        taken = []
        papers = Papers("c0", taken.append)
        assert not papers.lacks(address_of("b0"))
        papers.take_roster(authority.newest.roster[1])
        assert [each.name for each in papers.addresses] == ["b0", "b1"]
        assert papers.lacks(address_of("b1", 1))
        assert not papers.lacks(address_of("b1", 2))
        assert papers.lacks(address_of("b2", 2))
        assert not papers.lacks(address_of("b2", 3))
        with pytest.raises(ProtocolError, match="removed"):
            papers.verify(address_of("b2", 2).certificate)
        assert not papers.take_roster(authority.editions[0].roster[1])
        assert taken == [2]

    def test_only_its_own_certificate_is_taken_and_only_if_it_is_newer(self, authority):
        papers = Papers("c0", lambda version: None)
        serial, blob = authority.newest.certificate(principal_of("c0"))
        assert papers.take_certificate(CertificateIs(blob))
        assert not papers.take_certificate(CertificateIs(blob))
        assert papers.serial == serial == 4
        for other in (authority.newest.certificate(principal_of("b0"))[1], authority.newest.roster[1], b"forged"):
            with pytest.raises(ProtocolError):
                papers.take_certificate(CertificateIs(other))


def test_every_edition_is_told_of_as_it_is_issued():
    told: list[Edition] = []
    authority = Authority([Member("b0", Role.BROKER)], told.append)
    authority.change(add=[Member("c0", Role.NODE)])
    assert told == authority.editions
    assert [each.version for each in told] == [1, 2]
    assert [each.roster[0] for each in told] == [1, 1]
