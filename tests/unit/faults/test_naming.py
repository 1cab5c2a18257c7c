"""What an eye has told of a fault is judged: rightly and soon, late, never, wrongly, or without any fault."""

from braidmq.core.broker.broker import TICK_S
from braidmq.monitor.finding import Kind
from faults import metronome as metronomes
from faults import naming
from faults.expected import EXPECTED, Expected
from faults.eye import Glance, Told
from faults.judging import NEVER, Seen, judge
from faults.metronome import Metronome
from faults.naming import NAMED_S_MAX, Named, summed_up
from faults.scenarios import SCENARIOS
from tests.support.processes import wait_until

KILLED = Expected((Kind.BROKER_DEAD,), follows=(Kind.BROKER_NEW,))
BEGAN = 100.0


def told(kind, *who, wrong=True, what="it is so", why="as is seen"):
    return Told(kind, wrong, who, what, why, "do something")


def glance(at, *findings):
    return Glance("as it is", list(findings), at)


def judged(*after, expected=KILLED, hurt=("b1",), before=(), is_starved=lambda _at: False):
    return judge(expected, hurt, before, after, BEGAN, is_starved=is_starved)


def row(*seen, expected=KILLED):
    return summed_up(Named("row", "a fault", [str(kind) for kind in expected.kinds], ""), seen)


def test_every_row_of_the_matrix_has_its_expectation_and_there_are_no_others():
    assert list(EXPECTED) == [*SCENARIOS, *(each.name for each in naming.calm(1.0))]


def test_a_row_without_any_kind_says_why():
    assert all(expected.kinds or expected.note for expected in EXPECTED.values())


def test_a_fault_is_named_by_the_first_finding_of_its_kind_and_victim():
    first, second = (
        told(Kind.BROKER_DEAD, "b1", what="b1 is dead"),
        told(Kind.BROKER_DEAD, "b1", what="b1 is still dead"),
    )
    seen = judged(glance(100.5), glance(101.5, first), glance(102.5, second), glance(103.5))
    assert (seen.named_s, seen.sentence) == (1.5, "b1 is dead: as is seen")
    assert (seen.over_s, seen.false_alarms, seen.strange) == (2.5, [], [])
    assert row(seen).verdict == "named"


def test_one_that_names_somebody_else_does_not_name_it_and_is_strange():
    seen = judged(glance(101.0, told(Kind.BROKER_DEAD, "b2", what="b2 is dead", why="")))
    assert seen.named_s == NEVER
    assert seen.strange == ["broker-dead (b2): b2 is dead"]
    assert row(seen).verdict == "not named"


def test_victims_may_be_fixed():
    expected = Expected((Kind.OVERLOAD,), who=("s",))
    assert judged(glance(101.0, told(Kind.OVERLOAD, "s")), expected=expected, hurt=()).named_s == 1.0
    assert judged(glance(101.0, told(Kind.OVERLOAD, "b1")), expected=expected).named_s == NEVER


def test_what_follows_from_a_fault_is_not_strange_and_all_else_is_told_once():
    seen = judged(
        glance(101.0, told(Kind.BROKER_DEAD, "b1"), told(Kind.BROKER_NEW, "b1", wrong=False)),
        glance(102.0, told(Kind.TWIN, "b3", what="for 1 s")),
        glance(103.0, told(Kind.TWIN, "b3", what="for 2 s")),
    )
    assert seen.strange == ["twin (b3): for 1 s: as is seen"]
    assert row(seen).verdict == "named wrongly"


def test_a_finding_before_the_fault_is_a_false_alarm():
    seen = judged(
        glance(101.0, told(Kind.BROKER_DEAD, "b1")), before=[glance(99.0, told(Kind.SLOW, "b1", wrong=False))]
    )
    assert seen.false_alarms == ["slow (b1): it is so: as is seen"]
    assert row(seen).verdict == "false alarm"


def test_where_nothing_is_to_be_found_every_finding_is_a_false_alarm():
    nothing = Expected((), note="calm")
    assert row(judged(glance(101.0), expected=nothing), expected=nothing).verdict == "quiet"
    seen = judged(glance(101.0, told(Kind.BROKER_NEW, "b1", wrong=False)), expected=nothing)
    found = row(seen, expected=nothing)
    assert (found.verdict, found.figures) == ("false alarm", {"over_s": 0.0})


def test_the_worst_run_counts():
    runs = [
        Seen(1.0, "soon", 9.0, [], []),
        Seen(NAMED_S_MAX + 0.1, "late", 3.0, [], []),
        Seen(2.0, "soon", 1.0, [], []),
    ]
    found = row(*runs)
    assert (found.verdict, found.sentence, found.figures) == ("late", "late", {"named_s": 5.1, "over_s": 9.0})
    assert row(*runs, Seen(NEVER, "")).verdict == "not named"


def test_newer_rows_take_the_place_of_older_ones_in_the_order_of_the_matrix(tmp_path):
    naming.write(
        tmp_path, [Named("calm", "nothing", [], ""), Named("kill-worker", "a", [], "", figures={"named_s": NEVER})]
    )
    naming.write(tmp_path, [Named("kill-broker", "b", [], "", figures={"named_s": 1.0})])
    naming.write(tmp_path, [Named("calm", "nothing", [], "", "false alarm")])
    found = naming.read(tmp_path)
    assert [(each.name, each.verdict) for each in found] == [
        ("kill-broker", "named"), ("kill-worker", "named"), ("calm", "false alarm"),
    ]  # fmt: skip
    assert found[1].figures["named_s"] == NEVER


def test_that_brokers_are_slow_is_no_false_alarm_where_the_machine_itself_stood_still():
    calm, slow = Expected((), note="calm"), glance(101.0, told(Kind.SLOW, "b1", wrong=False))
    assert row(judged(slow, expected=calm), expected=calm).verdict == "false alarm"
    starved_until_101 = {"expected": calm, "is_starved": lambda at: at <= 101.0}
    found = row(judged(slow, before=[slow], **starved_until_101), expected=calm)
    assert (found.verdict, found.starved) == ("quiet", ["slow (b1): it is so: as is seen"])
    later = glance(102.0, told(Kind.SLOW, "b1", wrong=False))
    assert row(judged(later, **starved_until_101), expected=calm).verdict == "false alarm"
    dead = glance(101.0, told(Kind.BROKER_DEAD, "b1"))
    assert row(judged(dead, **starved_until_101), expected=calm).verdict == "false alarm"


def test_a_metronome_misses_no_beat_of_a_machine_that_has_time_and_notes_one_that_has_not(monkeypatch):
    times = iter([TICK_S, 2 * TICK_S, 2 * TICK_S + 1.0])
    monkeypatch.setattr(metronomes, "monotonic", lambda: next(times, 9.0))
    with Metronome() as metronome:
        wait_until(lambda: metronome.missed(0.0, 2.0), "it is late once")
    assert metronome.missed(0.0, 2.0) == 1
    assert not metronome.is_out_of_time(2.0), "once is nothing"
