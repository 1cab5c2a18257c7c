"""What brokers tell of who claims a name by a token is believed as far as it is signed, and about that name."""

import pytest

from braidmq.trust import manifest as manifests
from braidmq.trust.claims import verified
from braidmq.trust.manifest import Extras, Revocation
from tests.support.tokens import (
    INVITATION,
    MEMBER,
    NET,
    NOW,
    OTHER_TOKEN,
    SEED,
    enrol,
    member_key,
    other_invite,
)

OTHER = other_invite(prefix="machine-")
MANIFEST = manifests.issue(
    NET,
    9,
    (MEMBER,),
    SEED,
    extras=Extras(revoked=(Revocation(8, member_key(9), "replica-9"),), invitations=(INVITATION.blob, OTHER.blob)),
)


def keys_of(name, *blobs):
    return [each.enrolment.key for each in verified(MANIFEST, name, [(blob, 5) for blob in blobs])]


def test_what_a_token_of_the_registry_has_signed_for_the_name_is_a_claim():
    (claim,) = verified(MANIFEST, "replica-1", [(enrol(1), 5)])
    assert (claim.enrolment.name, claim.enrolment.key, claim.enrolment.serial) == ("replica-1", member_key(1), 7)
    assert claim.ago_s == 5


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"x" * 200, id="garbage"),
        pytest.param(enrol(2), id="another name"),
        pytest.param(enrol(1, keys=OTHER_TOKEN), id="signed with another token"),
        pytest.param(enrol(1, keys=OTHER_TOKEN, invitation=8), id="a token that is not for the name"),
        pytest.param(enrol(1, invitation=5), id="a token that the registry does not have"),
        pytest.param(enrol(1, net="f" * 16), id="another net"),
        pytest.param(enrol(1)[:-1] + bytes((enrol(1)[-1] ^ 1,)), id="changed"),
        pytest.param(enrol(1, key=MEMBER.keys[0]), id="the key of a registered member"),
        pytest.param(enrol(1, key=OTHER_TOKEN.curve_key), id="the key of a token"),
        pytest.param(enrol(1, key=member_key(9)), id="a key that was revoked"),
    ],
)
def test_nothing_else_is(blob):
    assert keys_of("replica-1", blob) == []
    assert keys_of("replica-1", blob, enrol(1)) == [member_key(1)]


def test_each_key_is_one_claim_the_best_first_and_seen_as_late_as_anybody_says():
    later, sooner = enrol(1, made_at=NOW + 1), enrol(1)
    clash = enrol(2, name="replica-1", made_at=NOW - 1)
    for told in ([(later, 3), (sooner, 7), (clash, 9)], [(clash, 9), (sooner, 7), (later, 3)]):
        first, second = verified(MANIFEST, "replica-1", told)
        assert (first.enrolment.key, first.ago_s) == (member_key(2), 9)
        assert (second.enrolment.blob, second.ago_s) == (sooner, 3)
