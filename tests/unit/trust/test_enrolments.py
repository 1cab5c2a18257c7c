import pytest

from braidmq.errors import ConfigError, ProtocolError
from braidmq.trust.enrolments import MADE_S_OFF_MAX, OVERUSE, ROWS_MAX, SEEN_S, Enrolments, Outcome, Row
from tests.support.tokens import END, INVITATION, NOW, OTHER_TOKEN, TOKEN, enrol, invite, member_key, other_invite

ROOMY = invite(uses=50)


def known(*invitations, names=(), keys=(), now=NOW):
    found = Enrolments()
    found.use(invitations or (INVITATION,), names, keys, now)
    return found


def principal(number):
    return member_key(number).hex()


def rows_of(enrolments):
    return dict(enrolments.rows_since(0, 10_000)[0])


def names_of(enrolments):
    return [each.name for each, _ in enrolments.members()]


# -- what a token's holder hands in


def test_who_is_admitted_is_a_member_with_the_rights_of_the_invitation():
    enrolments = known()
    outcome, found = enrolments.admit(enrol(1), NOW)
    assert outcome is Outcome.NEW
    assert found is enrolments.enrolment(principal(1)) is enrolments.named("replica-1")
    assert enrolments.member(principal(1)) == found.member
    assert enrolments.member(principal(2)) is enrolments.enrolment(principal(2)) is enrolments.named("x") is None
    assert enrolments.members() == [(found, NOW)]
    assert (enrolments.used(7), enrolments.used(8), len(enrolments)) == (1, 0, 1)
    assert (enrolments.invitation(7), enrolments.invitation(8)) == (INVITATION, None)


def test_who_comes_again_is_known_and_counts_once_even_when_the_token_has_ended():
    enrolments = known(invite(uses=1))
    enrolments.admit(enrol(1), NOW)
    for blob in (enrol(1), enrol(1, made_at=NOW + 1)):
        assert enrolments.admit(blob, END + 1000).outcome is Outcome.KNOWN
    assert enrolments.used(7) == 1
    assert enrolments.members()[0][1] == END + 1000


def test_a_token_makes_no_more_members_than_it_may():
    enrolments = known()
    assert [enrolments.admit(enrol(number), NOW).outcome for number in (1, 2, 3)] == ["new", "new", "used up"]
    assert names_of(enrolments) == ["replica-1", "replica-2"]


def test_a_token_that_has_ended_makes_nobody_a_member_whatever_its_holder_says():
    enrolments = known()
    for made_at in (NOW, END, END + 5):
        assert enrolments.admit(enrol(1, made_at=made_at), END) == (Outcome.EXPIRED, None)
    assert enrolments.admit(enrol(1, made_at=END + 5), NOW).outcome is Outcome.EXPIRED
    assert len(enrolments) == 0
    assert enrolments.admit(enrol(1), END - 1).outcome is Outcome.NEW


def test_what_was_made_long_ago_or_is_said_to_be_is_not_admitted():
    enrolments = known()
    assert enrolments.admit(enrol(1, made_at=NOW - MADE_S_OFF_MAX - 1), NOW).outcome is Outcome.STALE
    assert enrolments.admit(enrol(1, made_at=NOW - MADE_S_OFF_MAX), NOW).outcome is Outcome.NEW


def test_names_that_the_token_is_not_for_are_refused():
    assert known().admit(enrol(1, name="b1"), NOW).outcome is Outcome.WRONG_NAME


def test_names_and_keys_of_others_are_refused():
    token_key = other_invite().curve_key
    enrolments = known(ROOMY, other_invite(), names={"replica-9"}, keys={member_key(9)})
    enrolments.admit(enrol(1), NOW)
    for blob, outcome in (
        (enrol(2, name="replica-9"), Outcome.NAME_TAKEN),
        (enrol(9, name="replica-2"), Outcome.KEY_TAKEN),
        (enrol(2, name="replica-1"), Outcome.NAME_TAKEN),
        (enrol(1, name="replica-2"), Outcome.KEY_TAKEN),
        (enrol(2, key=token_key), Outcome.KEY_TAKEN),
        (enrol(2, key=ROOMY.curve_key), Outcome.KEY_TAKEN),
        (enrol(2, keys=OTHER_TOKEN, invitation=8, name="replica-1"), Outcome.NAME_TAKEN),
        (enrol(1, keys=OTHER_TOKEN, invitation=8, name="replica-2"), Outcome.KEY_TAKEN),
    ):
        assert enrolments.admit(blob, NOW) == (outcome, None)
    assert len(enrolments) == 1


def test_an_invitation_that_the_registry_lacks_admits_nobody():
    assert known(other_invite()).admit(enrol(1), NOW).outcome is Outcome.NO_INVITATION
    assert Enrolments().admit(enrol(1), NOW).outcome is Outcome.NO_INVITATION


def test_the_holder_of_a_token_is_known_by_its_key_and_is_no_member():
    enrolments = known(INVITATION, other_invite())
    assert enrolments.token(TOKEN.curve_key.hex()) == INVITATION
    assert enrolments.token(OTHER_TOKEN.curve_key.hex()) == other_invite()
    assert enrolments.token(principal(1)) is enrolments.member(TOKEN.curve_key.hex()) is None
    enrolments.use((other_invite(),), (), (), NOW)
    assert enrolments.token(TOKEN.curve_key.hex()) is None


def test_what_the_token_has_not_signed_is_refused():
    enrolments = known()
    for blob in (b"", bytes(100), enrol(1)[:-1], enrol(1, keys=OTHER_TOKEN)):
        with pytest.raises(ProtocolError):
            enrolments.admit(blob, NOW)
    assert len(enrolments) == 0


# -- what brokers tell each other


def test_brokers_that_tell_each_other_know_the_same():
    one, two = known(ROOMY), known(ROOMY)
    one.admit(enrol(1), NOW)
    two.admit(enrol(2), NOW + 5)
    merged = two.merge(one.rows_since(0)[0], NOW)
    assert merged.changed == {principal(1)}
    assert (merged.overused, merged.clashes, merged.refused, merged.strange) == ((), (), 0, 0)
    assert one.merge(two.rows_since(0)[0], NOW).changed == {principal(2)}
    assert rows_of(one) == rows_of(two) == {enrol(1): NOW, enrol(2): NOW + 5}
    again = one.merge(two.rows_since(0)[0], NOW)
    assert again.changed == frozenset()


def test_a_token_that_was_used_too_often_in_two_parts_is_told_once_and_nobody_is_put_out():
    one, two = known(), known()
    for number in (1, 2):
        one.admit(enrol(number), NOW)
        two.admit(enrol(number + 2), NOW)
    assert one.merge(two.rows_since(0)[0], NOW).overused == (INVITATION,)
    assert one.merge(two.rows_since(0)[0], NOW).overused == ()
    assert (len(names_of(one)), one.used(7)) == (4, 4)
    assert one.admit(enrol(5), NOW).outcome is Outcome.USED_UP


def test_a_name_that_two_parts_gave_away_has_the_older_one_and_is_told():
    one, two = known(ROOMY), known(ROOMY)
    one.admit(enrol(1, name="replica-x", made_at=NOW + 1), NOW + 1)
    two.admit(enrol(2, name="replica-x", made_at=NOW), NOW)
    merged = one.merge(two.rows_since(0)[0], NOW)
    assert merged.clashes == ("replica-x",)
    assert merged.changed == {principal(1), principal(2)}
    assert two.merge(one.rows_since(0)[0], NOW).clashes == ("replica-x",)
    for each in (one, two):
        assert each.named("replica-x").key == member_key(2)
        assert each.member(principal(1)) is None
        assert each.admit(enrol(1, name="replica-x", made_at=NOW + 1), NOW).outcome is Outcome.NAME_TAKEN
        assert each.used(7) == 2


def test_a_key_that_was_given_two_names_has_the_older_one():
    enrolments = known(ROOMY)
    merged = enrolments.merge([Row(enrol(1, name="replica-b"), NOW), Row(enrol(1, made_at=NOW - 1), NOW)], NOW)
    assert merged.clashes == ()
    assert names_of(enrolments) == ["replica-1"]
    assert enrolments.used(7) == 2


def test_the_older_one_has_the_name_whatever_token_it_came_with():
    enrolments = known(ROOMY, other_invite())
    older = enrol(2, keys=OTHER_TOKEN, invitation=8, name="replica-1", made_at=NOW - 1)
    enrolments.merge([Row(enrol(1), NOW), Row(older, NOW)], NOW)
    assert enrolments.named("replica-1").key == member_key(2)


def test_a_name_that_somebody_had_who_was_gone_for_too_long_is_no_clash():
    enrolments = known(ROOMY)
    enrolments.admit(enrol(1, name="replica-x"), NOW + 801)
    merged = enrolments.merge([Row(enrol(2, name="replica-x"), NOW)], NOW + 801)
    assert (merged.clashes, merged.changed) == ((), frozenset())


def test_of_two_enrolments_that_say_the_same_the_lesser_one_stays_with_the_later_sight():
    older, newer = enrol(1, made_at=NOW - 5), enrol(1, made_at=NOW)
    for order in ([Row(older, NOW), Row(newer, NOW + 9)], [Row(newer, NOW + 9), Row(older, NOW)]):
        enrolments = known(invite(uses=1))
        for row in order:
            enrolments.merge([row], NOW)
        assert rows_of(enrolments) == {older: NOW + 9}
        assert enrolments.enrolment(principal(1)).blob == older


def test_more_than_several_parts_can_have_admitted_is_not_kept():
    enrolments = known(invite(uses=1))
    blobs = [enrol(number) for number in sorted(range(1, OVERUSE + 3), key=member_key)]
    enrolments.merge([Row(blob, NOW) for blob in reversed(blobs)], NOW)
    assert len(enrolments) == enrolments.used(7) == OVERUSE
    assert set(rows_of(enrolments)) == set(blobs[:OVERUSE])


def test_rows_that_are_none_are_counted_and_the_others_are_kept():
    enrolments = known()
    rows = [
        Row(b"garbage", NOW),
        Row(enrol(1, keys=OTHER_TOKEN), NOW),
        Row(enrol(1, name="other"), NOW),
        Row(enrol(1, made_at=END + 1), NOW),
        Row(enrol(1), -1),
        Row(enrol(1), 2**62),
        Row(enrol(2, keys=OTHER_TOKEN, invitation=8), NOW),
        Row(enrol(2), NOW),
    ]
    merged = enrolments.merge(rows, NOW)
    assert (merged.refused, merged.strange) == (6, 1)
    assert names_of(enrolments) == ["replica-2"]


def test_too_many_rows_at_a_time_are_refused():
    enrolments = known()
    with pytest.raises(ProtocolError, match=f"{ROWS_MAX} are allowed"):
        enrolments.merge([Row(enrol(1), NOW)] * (ROWS_MAX + 1), NOW)
    assert len(enrolments) == 0
    enrolments.merge([Row(enrol(1), NOW)] * ROWS_MAX, NOW)
    assert len(enrolments) == 1


def test_what_has_changed_is_told_in_parts_and_only_that():
    enrolments = known(ROOMY)
    for number in range(1, 8):
        enrolments.admit(enrol(number), NOW)
    told, revision = [], 0
    while True:
        rows, further = enrolments.rows_since(revision, 3)
        if further == revision:
            break
        assert len(rows) <= 3
        told += rows
        revision = further
    assert told == [Row(enrol(number), NOW) for number in range(1, 8)]
    assert rows == []
    assert revision == enrolments.revision
    enrolments.seen(principal(3), NOW + 500)
    assert enrolments.rows_since(revision) == ([Row(enrol(3), NOW + 500)], revision + 1)


# -- who was gone


def test_a_member_that_was_gone_for_too_long_is_none_any_more_and_counts_as_a_use():
    enrolments = known(invite(uses=1))
    enrolments.admit(enrol(1), NOW)
    assert enrolments.expire(NOW + 800) == frozenset()
    assert enrolments.expire(NOW + 801) == {principal(1)}
    assert enrolments.member(principal(1)) is enrolments.named("replica-1") is None
    assert enrolments.admit(enrol(2), NOW + 801).outcome is Outcome.USED_UP
    assert not enrolments.seen(principal(1), NOW + 801)


def test_a_member_that_is_seen_stays_and_others_are_told_now_and_then():
    enrolments = known()
    enrolments.admit(enrol(1), NOW)
    assert not enrolments.seen(principal(1), NOW + 99)
    assert enrolments.seen(principal(1), NOW + 100)
    assert not enrolments.seen(principal(1), NOW + 150)
    assert not enrolments.seen(principal(2), NOW + 150)
    assert enrolments.expire(NOW + 900) == frozenset()
    assert enrolments.expire(NOW + 901) == {principal(1)}


def test_a_member_that_may_be_gone_for_ever_stays_and_is_noted_each_hour():
    enrolments = known(invite(idle_s=0))
    enrolments.admit(enrol(1), NOW)
    assert enrolments.expire(NOW + 10**9) == frozenset()
    assert not enrolments.seen(principal(1), NOW + SEEN_S - 1)
    assert enrolments.seen(principal(1), NOW + SEEN_S)


def test_who_was_seen_elsewhere_in_time_is_back():
    one, two = known(), known()
    one.admit(enrol(1), NOW)
    two.merge(one.rows_since(0)[0], NOW)
    two.seen(principal(1), NOW + 700)
    one.expire(NOW + 801)
    assert one.merge(two.rows_since(0)[0], NOW + 801).changed == {principal(1)}
    assert names_of(one) == ["replica-1"]


def test_who_is_told_of_after_it_was_gone_for_too_long_is_no_member():
    enrolments = known()
    assert enrolments.merge([Row(enrol(1), NOW)], NOW + 801).changed == frozenset()
    assert (enrolments.used(7), names_of(enrolments)) == (1, [])


def test_the_name_of_who_was_gone_for_too_long_is_free():
    enrolments = known(ROOMY)
    enrolments.admit(enrol(1, name="replica-x"), NOW)
    enrolments.expire(NOW + 801)
    assert enrolments.admit(enrol(2, name="replica-x", made_at=NOW + 801), NOW + 801).outcome is Outcome.NEW
    assert enrolments.named("replica-x").key == member_key(2)


def test_who_was_gone_for_too_long_comes_back_while_the_token_lasts_and_takes_no_further_use():
    enrolments = known(invite(uses=1, not_after=END + 1000))
    enrolments.admit(enrol(1), NOW)
    enrolments.expire(NOW + 801)
    assert enrolments.admit(enrol(1), END + 1000).outcome is Outcome.EXPIRED
    assert enrolments.admit(enrol(1), END + 999).outcome is Outcome.KNOWN
    assert (names_of(enrolments), enrolments.used(7)) == (["replica-1"], 1)


# -- what the registry says


def test_the_registry_has_the_better_word_on_names_and_keys():
    enrolments = known(ROOMY)
    for number in (1, 2, 3):
        enrolments.admit(enrol(number), NOW)
    assert enrolments.use((ROOMY,), {"replica-1"}, {member_key(2)}, NOW) == {principal(1), principal(2)}
    assert names_of(enrolments) == ["replica-3"]
    later = enrol(4, name="replica-2", made_at=NOW + 1)
    assert enrolments.admit(later, NOW).outcome is Outcome.NEW  # the key is revoked, not the name
    assert enrolments.used(7) == 4
    assert enrolments.use((ROOMY,), (), (), NOW) == {principal(1), principal(2), principal(4)}  # the older one is back
    assert enrolments.named("replica-2").key == member_key(2)


def test_a_registry_that_ends_both_who_has_the_name_and_who_has_the_key_lets_the_third_one_in():
    rows = [enrol(1, name="replica-a", made_at=NOW - 1), enrol(2, name="replica-a"), enrol(2, made_at=NOW - 1)]
    for order in (rows, rows[::-1]):
        enrolments = known(ROOMY)
        enrolments.merge([Row(blob, NOW) for blob in order], NOW)
        assert names_of(enrolments) == ["replica-2", "replica-a"]
        assert enrolments.use((ROOMY,), {"replica-2"}, {member_key(1)}, NOW) == {principal(1), principal(2)}
        assert enrolments.named("replica-a") is enrolments.enrolment(principal(2)) is not None


def test_the_other_name_of_a_key_takes_over_when_a_certificate_has_the_first_one():
    enrolments = known(ROOMY)
    enrolments.merge([Row(enrol(1, made_at=NOW - 1), NOW), Row(enrol(1, name="replica-b"), NOW)], NOW)
    assert names_of(enrolments) == ["replica-1"]
    assert enrolments.use((ROOMY,), {"replica-1"}, (), NOW) == {principal(1)}
    assert names_of(enrolments) == ["replica-b"]
    assert enrolments.use((ROOMY,), (), (), NOW) == {principal(1)}
    assert names_of(enrolments) == ["replica-1"]


def test_the_key_of_a_new_token_is_no_members():
    enrolments = known()
    enrolments.merge([Row(enrol(1, key=OTHER_TOKEN.curve_key), NOW)], NOW)
    assert enrolments.use((INVITATION, other_invite()), (), (), NOW) == {OTHER_TOKEN.curve_key.hex()}


def test_members_go_with_their_invitation():
    enrolments = known(INVITATION, other_invite())
    enrolments.admit(enrol(1), NOW)
    enrolments.admit(enrol(2, keys=OTHER_TOKEN, invitation=8), NOW)
    assert enrolments.use((other_invite(),), (), (), NOW) == {principal(1)}
    assert rows_of(enrolments) == {enrol(2, keys=OTHER_TOKEN, invitation=8): NOW}
    assert enrolments.merge([Row(enrol(1), NOW)], NOW).strange == 1


def test_the_other_name_of_a_key_takes_over_when_the_invitation_of_the_first_one_goes():
    enrolments = known(INVITATION, other_invite())
    other = enrol(1, keys=OTHER_TOKEN, invitation=8, name="replica-b")
    enrolments.merge([Row(enrol(1, made_at=NOW - 1), NOW), Row(other, NOW)], NOW)
    assert names_of(enrolments) == ["replica-1"]
    assert enrolments.use((other_invite(),), (), (), NOW) == {principal(1)}
    assert names_of(enrolments) == ["replica-b"]


def test_a_token_that_is_ended_early_keeps_its_members_and_new_rights_are_theirs():
    enrolments = known(ROOMY)
    enrolments.admit(enrol(1), NOW)
    enrolments.admit(enrol(2, made_at=NOW + 10), NOW)
    ended = invite(uses=50, not_after=NOW + 5, calls=())
    assert enrolments.use((ended,), (), (), NOW + 20) == {principal(1), principal(2)}
    assert names_of(enrolments) == ["replica-1"]
    assert not enrolments.member(principal(1)).may_call("pricing")
    assert enrolments.enrolment(principal(1)).invitation == ended
    assert enrolments.admit(enrol(3), NOW + 5).outcome is Outcome.EXPIRED


def test_other_terms_with_fewer_uses_bound_what_is_kept():
    enrolments = known(ROOMY)
    for number in range(1, OVERUSE + 4):
        enrolments.admit(enrol(number), NOW)
    enrolments.use((invite(uses=1),), (), (), NOW)
    assert len(enrolments) == enrolments.used(7) == len(names_of(enrolments)) == OVERUSE


def test_another_token_with_the_serial_of_an_old_one_takes_over_nobody():
    enrolments = known()
    enrolments.admit(enrol(1), NOW)
    enrolments.use((other_invite(serial=7),), (), (), NOW)
    assert len(enrolments) == 0


def test_invitations_that_cannot_stand_side_by_side_change_nothing():
    enrolments = known()
    enrolments.admit(enrol(1), NOW)
    with pytest.raises(ConfigError):
        enrolments.use((INVITATION, other_invite(key=TOKEN.key)), {"replica-1"}, (), NOW)
    assert names_of(enrolments) == ["replica-1"]
