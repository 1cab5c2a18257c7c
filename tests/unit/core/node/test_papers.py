"""What a node does about its own certificate, as brokers hand it on."""

from typing import Any

import pytest

from braidmq.core.links.link import BrokerAddress
from braidmq.errors import ProtocolError
from braidmq.members import Member, Role
from braidmq.wire.registry import CertificateIs


class Papers:
    """Papers whose certificates are numbers."""

    def __init__(self) -> None:
        self.member = Member("node", Role.NODE)
        self.blob = b""
        self.serial = 0
        self.roster = 0
        self.not_after = 0

    def lacks(self, address: BrokerAddress) -> bool:
        return False

    def take_roster(self, roster: bytes) -> list[BrokerAddress]:
        return []

    def take_certificate(self, message: CertificateIs) -> bool:
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
