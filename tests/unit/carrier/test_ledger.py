"""The registry at a broker: who was removed, what ends, which tokens there are, and whom they have made."""

import pytest

from braidmq.bounds import DAY_S
from braidmq.carrier.ledger import Checked, NetLedger
from braidmq.members import Standing
from braidmq.trust import enrolment
from braidmq.trust.authority import Authority
from braidmq.trust.enrolment import Statement
from braidmq.trust.joinfile import load
from braidmq.wire.registry_status import ClaimStatus, SeenStatus, TokenStatus
from tests.support.tokens import member_key

NOW = 1_800_000_000


@pytest.fixture
def authority(tmp_path):
    found = Authority.create(tmp_path / "net")
    found._clock = lambda: NOW
    return found


def ledger_of(authority):
    return NetLedger(authority.manifest(), authority.public_key, lambda: None, NOW)


def principal(path):
    return load(path).public_key.hex()


def hand_on(ledger, authority):
    """Bring the newest registry to a ledger as it travels: as a difference."""
    since, data = ledger_of(authority).since(ledger.version)
    checking = ledger.check(data, since)
    while True:
        try:
            next(checking)
        except StopIteration as end:
            ledger.adopt(end.value, "b2", 0.0)
            return


@pytest.mark.parametrize("bring", [hand_on, lambda ledger, authority: ledger.install(Checked.of(authority.manifest()))])
def test_who_is_removed_while_the_broker_runs_is_told_so_and_not_unknown(authority, bring):
    gone = principal(authority.add_node("gone"))
    ledger = ledger_of(authority)
    assert (ledger.standing(gone), ledger.has("gone")) == (Standing.MEMBER, True)
    authority.remove(["gone"])
    bring(ledger, authority)
    assert (ledger.standing(gone), ledger.has("gone"), ledger.member(gone)) == (Standing.REMOVED, False, None)
    assert ledger_of(authority).standing(gone) is Standing.UNKNOWN  # a broker that starts now has never known the key


def test_who_was_removed_and_is_added_again_with_another_key_is_a_member_by_that(authority):
    old = principal(authority.add_node("n1"))
    ledger = ledger_of(authority)
    authority.remove(["n1"])
    hand_on(ledger, authority)
    (authority.directory / "n1.braid").unlink(missing_ok=True)
    new = principal(authority.add_node("n1"))
    hand_on(ledger, authority)
    assert (ledger.standing(old), ledger.standing(new)) == (Standing.REMOVED, Standing.MEMBER)


def test_a_revoked_key_is_told_as_revoked(authority):
    gone = principal(authority.add_node("gone"))
    ledger = ledger_of(authority)
    authority.revoke(["gone"])
    hand_on(ledger, authority)
    assert ledger.standing(gone) is Standing.REVOKED


def test_certificates_that_end_are_told_by_their_ends_once_for_each_member(authority):
    for name, days in (("late", 20), ("soon", 2), ("never", None), ("past", 1)):
        authority.add_node(name, not_after=0 if days is None else NOW + days * DAY_S)
    authority.rotate("soon", overlap_s=DAY_S)  # two keys, and the end of one is no end of the member
    ledger = ledger_of(authority)
    every = [(NOW + 1 * DAY_S, "past"), (NOW + 2 * DAY_S, "soon"), (NOW + 20 * DAY_S, "late")]
    assert ledger.ending(0, NOW + 30 * DAY_S) == every
    assert ledger.ending(NOW + 1 * DAY_S, NOW + 2 * DAY_S) == every[1:2]
    ledger.review(NOW + 1 * DAY_S)
    assert ledger.ending(0, NOW + 30 * DAY_S) == every, "also of those that have ended"
    assert ledger.members_total == 4


def test_tokens_are_told_with_their_uses_and_the_members_that_they_made(authority):
    authority.add_broker("b1", ["tcp://h:1"])
    token, _ = authority.invite(prefix="replica-", uses=3, ttl_s=900)
    authority.invite(name="machine")
    ledger = ledger_of(authority)
    assert ledger.tokens(NOW + 60)[0] == TokenStatus(token.serial, "replica-*", 3, 0, 840)
    assert ledger.tokens(NOW + 60)[1].names == "machine"
    said = Statement(net=authority.net, invitation=token.serial, name="replica-1", key=member_key(1), made_at=NOW)
    assert ledger.roll.admit(enrolment.issue(said, token.keys.signing_seed), NOW).new
    assert ledger.tokens(NOW + 1_000)[0] == TokenStatus(token.serial, "replica-*", 3, 1, -100)
    assert ledger.enrolled(NOW + 50, 9) == ([SeenStatus("replica-1", 50, token.serial)], 1)
    assert ledger.enrolled(NOW + 50, 0) == ([], 1)
    assert (ledger.has("replica-1"), ledger.has("replica-2")) == (True, False)


@pytest.fixture
def enrolled(authority):
    """Return a token, and the enrolments of two members that it has made, by name."""
    authority.add_broker("b1", ["tcp://h:1"])
    token, _ = authority.invite(prefix="replica-", uses=4, ttl_s=900)
    said = [
        Statement(
            net=authority.net, invitation=token.serial, name=f"replica-{number}", key=member_key(number), made_at=NOW
        )
        for number in (1, 2)
    ]
    return token, {each.name: enrolment.issue(each, token.keys.signing_seed) for each in said}


def test_who_claims_a_name_by_a_token_is_told_also_when_it_is_no_member(authority, enrolled):
    token, blobs = enrolled
    ledger = ledger_of(authority)
    other = Statement(net=authority.net, invitation=token.serial, name="replica-1", key=member_key(3), made_at=NOW + 1)
    clash = enrolment.issue(other, token.keys.signing_seed)
    ledger.roll.merge([(blob, NOW) for blob in (clash, *blobs.values())], NOW)
    every = [ClaimStatus(blobs["replica-1"], 50), ClaimStatus(clash, 50)]
    assert ledger.claims("replica-1", NOW + 50, 9) == every
    assert ledger.claims("replica-1", NOW + 50, 1) == every[:1]
    assert ledger.claims("replica-3", NOW + 50, 9) == []
    authority.add_node("replica-1")
    hand_on(ledger, authority)
    assert ledger.claims("replica-1", NOW + 50, 9) == every
    assert ledger.member(member_key(1).hex()) is None


def test_a_member_that_a_token_has_made_is_none_once_its_key_is_revoked_and_stays_so(authority, enrolled):
    _, blobs = enrolled
    ledger = ledger_of(authority)
    for blob in blobs.values():
        assert ledger.roll.admit(blob, NOW).new
    gone, kept = (member_key(number).hex() for number in (1, 2))
    invited = authority.manifest().invited()[0]
    authority.revoke([], [enrolment.verify(blobs["replica-1"], invited)])
    hand_on(ledger, authority)
    began = ledger_of(authority)  # a broker that starts with what it has kept
    began.roll.merge(ledger.roll.rows, NOW)
    met = ledger_of(authority)  # one that has never heard of the enrolment until it meets one that was away
    met.roll.merge([(blob, NOW) for blob in blobs.values()], NOW)
    for each in (ledger, began, met):
        for told in (blobs["replica-1"], *blobs.values()):
            each.roll.merge([(told, NOW + 9)], NOW + 9)
        assert (each.member(gone), each.standing(gone), each.has("replica-1")) == (None, Standing.REVOKED, False)
        assert each.standing(kept) is Standing.MEMBER
        assert not each.roll.admit(blobs["replica-1"], NOW).new
        assert "until it was revoked" in each.roll.admit(blobs["replica-1"], NOW).refusal
        assert [row.name for row in each.enrolled(NOW, 9)[0]] == ["replica-2"]
        assert each.tokens(NOW)[0].used == 2
