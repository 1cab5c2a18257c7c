"""What a node does about its own certificate, as brokers hand it on."""

from typing import Any

import pytest

from braidmq.core.links.link import BrokerAddress
from braidmq.core.links.lists import LIST_BYTES_MAX, LIST_BYTES_PER_S, PAPER_BYTES_EACH
from braidmq.errors import ProtocolError
from braidmq.members import Member, Role
from braidmq.wire.kinds import Control
from braidmq.wire.registry import CertificateIs, RosterIs
from tests.support.rigs.node_rig import address


class Papers:
    """Papers whose certificates are numbers."""

    def __init__(self) -> None:
        self.member = Member("node", Role.NODE)
        self.blob = b""
        self.invitation = b""
        self.serial = 0
        self.roster = 0
        self.not_after = 0
        self.addresses: list[BrokerAddress] = []
        self.looked_at = 0

    def lacks(self, address: BrokerAddress) -> bool:
        if address.serial > self.roster:
            return False
        return all(each.name != address.name or each.serial > address.serial for each in self.addresses)

    def take_roster(self, roster: bytes) -> bool:
        self.looked_at += 1
        return False

    def take_certificate(self, message: CertificateIs) -> bool:
        self.looked_at += 1
        if not message.certificate.isdigit():
            raise ProtocolError("not signed")
        newer = int(message.certificate) > self.serial
        self.serial = max(self.serial, int(message.certificate))
        return newer


@pytest.mark.parametrize("had", [0, 7], ids=["new", "known from another broker"])
def test_a_broker_that_knows_of_other_rights_is_told_what_is_served(make: Any, had: int) -> None:
    papers = Papers()
    rig = make("a", "b", serves={"echo": 4}, papers=papers)
    papers.serial = had
    before = rig["a"].credit(), rig["b"].credit()
    rig["a"].say(CertificateIs(b"7"))
    assert (rig["a"].credit(), rig["b"].credit()) == (before[0], None)
    assert papers.serial == 7


def test_a_certificate_that_nobody_has_signed_changes_nothing(make: Any) -> None:
    papers = Papers()
    rig = make("a", serves={"echo": 4}, papers=papers)
    rig["a"].credit()
    rig["a"].say(CertificateIs(b"forged"))
    assert rig["a"].credit() is None
    assert any("not signed" in line for line in rig.warnings)


@pytest.mark.parametrize("paper", [RosterIs(b"1"), CertificateIs(b"1")])
def test_signatures_are_checked_at_a_pace_that_costs_nobody_else_much(make: Any, paper: Control) -> None:
    papers = Papers()
    rig = make("a", papers=papers)
    rig.advance(4.0)
    for _ in range(40):
        for _ in range(50):
            rig["a"].say(paper)
        rig.advance(0.05)
    assert papers.looked_at >= LIST_BYTES_MAX / PAPER_BYTES_EACH - 1
    assert papers.looked_at <= (LIST_BYTES_MAX + 2.5 * LIST_BYTES_PER_S) / PAPER_BYTES_EACH + 1


def test_the_newest_paper_counts_in_the_end(make: Any) -> None:
    papers = Papers()
    rig = make("a", papers=papers)
    for serial in range(1, 501):
        rig["a"].say(CertificateIs(b"%d" % serial))
    rig.advance(1.0)
    assert papers.serial == 500


def test_a_list_that_comes_with_the_join_file_has_newer_certificates_of_brokers_that_stay(make: Any) -> None:
    papers = Papers()
    rig = make("a", "b", papers=papers)
    papers.roster, papers.addresses = 3, [address("a", serial=2)]
    rig.advance(1.0)
    assert [(each.name, each.address.serial) for each in rig.core.links.links.values()] == [("a", 2)]
    assert [line for line in rig.log if "no longer a broker" in line] == [
        "b is no longer a broker of this net, says its list of brokers 3"
    ]
