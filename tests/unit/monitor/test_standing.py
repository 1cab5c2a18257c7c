from braidmq.monitor.finding import Finding, Kind
from braidmq.monitor.standing import ENDED_S, STANDING_MAX, Standing

DEAD = Finding(Kind.BROKER_DEAD, ("b2",), "b2 is dead")
NOTHING = ([], [])


def test_a_finding_begins_once_and_ends_once():
    standing = Standing()
    assert standing.look([DEAD], 10.0) == ([DEAD], [])
    assert standing.look([DEAD], 11.0) == NOTHING
    assert standing.look([], 12.0) == NOTHING
    assert standing.look([], 11.0 + ENDED_S) == ([], [DEAD])
    assert standing.look([], 20.0) == NOTHING


def test_one_that_comes_and_goes_is_the_same():
    standing = Standing()
    standing.look([DEAD], 10.0)
    for second in range(1, 10):
        assert standing.look([DEAD] if second % 2 else [], 10.0 + second) == NOTHING
    assert standing.since_s(DEAD, 19.0) == 10.0


def test_it_stands_since_the_brokers_say_so():
    standing, known = Standing(), DEAD._replace(since_s=12.0)
    standing.look([known], 100.0)
    assert standing.since_s(known, 100.0) == 88.0
    standing.look([known._replace(since_s=13.0, what="b2 is dead for 13 s")], 101.0)
    assert standing.since_s(known, 101.0) == 88.0


def test_it_stands_for_longer_if_somebody_knows_better():
    standing = Standing()
    standing.look([DEAD], 100.0)
    standing.look([DEAD._replace(since_s=60.0)], 101.0)
    assert standing.since_s(DEAD, 101.0) == 41.0


def test_what_ends_is_told_as_it_was_last():
    standing, later = Standing(), DEAD._replace(what="b2 is dead for 1 s")
    standing.look([DEAD], 10.0)
    standing.look([later], 11.0)
    assert standing.look([], 20.0).ended == [later]


def test_findings_of_others_are_others():
    standing, other = Standing(), DEAD._replace(who=("b3",))
    standing.look([DEAD], 10.0)
    assert standing.look([DEAD, other], 11.0).began == [other]


def test_refusals_are_one_finding_whoever_is_refused():
    standing = Standing()
    standing.look([Finding(Kind.REFUSED, ("mallory",), "b1 refuses mallory")], 10.0)
    assert standing.look([Finding(Kind.REFUSED, ("trudy",), "b1 refuses trudy")], 11.0) == NOTHING


def test_what_is_remembered_is_bounded():
    standing = Standing()
    many = [DEAD._replace(who=(f"b{number}",)) for number in range(STANDING_MAX + 1)]
    assert len(standing.look(many, 10.0).began) == STANDING_MAX
    assert standing.since_s(many[-1], 12.0) == 12.0
