import pytest

from attacks.figures import Phases, kinds, of_calls, of_processes, tally
from attacks.watch import Usage
from braidmq.lab.simulation.record import Call, Error, Reply

PHASES = Phases(0.0, 10.0, 20.0, 30.0)


def call(started, outcome, took_s=0.01, key="k"):
    ends = [] if outcome is None else [(started + took_s, outcome)]
    return Call(key, "c1", started, started + 5.0, 3, ends=ends)


def reply(key="k", broker="b1"):
    return Reply(key, "w1", b"", possible_duplicate=False, retry_count=0, broker=broker)


def error(kind="Overloaded"):
    return Error(kind, 1, maybe_executed=False)


def test_each_call_is_counted_as_what_it_became():
    calls = [call(0, reply()), call(0, reply(), took_s=1.5), call(0, error()), call(0, None), call(0, reply("other"))]
    found = tally(calls)
    assert (found.offered, found.good, found.late, found.errors, found.lost) == (5, 1, 2, 1, 1)
    assert found.share == 0.2


def test_goodput_lost_is_measured_against_the_calm_before():
    calm = [call(at, reply()) for at in range(9)]
    attacked = [call(10 + number, reply() if number < 6 else error()) for number in range(8)]
    found = of_calls([*calm, *attacked], PHASES)
    assert found["goodput_lost"] == pytest.approx(0.25)
    assert found["errors"] == 0.25
    assert found["lost_afterwards"] == 0.0
    assert found["calls"] == 8


def test_what_does_not_come_back_is_lost_afterwards():
    found = of_calls([call(25.0, error()), call(26.0, reply()), call(21.0, error())], PHASES)
    assert found["lost_afterwards"] == 0.5


def test_a_reply_to_another_payload_is_forged_unless_its_broker_is_hostile():
    calls = [call(11, reply("x")), call(25, reply("")), call(12, reply("x", broker="rogue")), call(13, reply())]
    found = of_calls(calls, PHASES, ("rogue",))
    assert (found["forged"], found["forged_by_hostile_broker"]) == (2, 1)


def test_latencies_are_those_of_replies_during_the_attack():
    calls = [
        call(1, reply(), 0.9),
        *(call(11, reply(), number / 100) for number in range(1, 101)),
        call(12, error(), 4.0),
    ]
    found = of_calls(calls, PHASES)
    assert found["p50_ms"] == pytest.approx(510)
    assert found["p99_ms"] == pytest.approx(1000)
    assert found["worst_ms"] == pytest.approx(1000)


def test_without_any_calls_nothing_is_lost():
    found = of_calls([], PHASES)
    assert (found["goodput_lost"], found["errors"], found["forged"], found["lost_afterwards"]) == (0.0, 0.0, 0, 0.0)


def test_all_is_lost_where_nothing_was_good_before():
    assert of_calls([call(1, error()), call(11, reply())], PHASES)["goodput_lost"] == 1.0


def test_errors_are_counted_by_kind():
    calls = [call(11, error()), call(12, error("NoWorker")), call(13, error()), call(14, None), call(1, error("Early"))]
    assert kinds(calls, PHASES) == {"Overloaded": 2, "NoWorker": 1, "no end": 1}


def test_processes_are_told_apart_by_what_they_are():
    before = {"b1": Usage(50, 1.0), "w1": Usage(40, 1.0)}
    after = {"b1": Usage(90, 3.0), "b2": Usage(70, 0.5), "w1": Usage(60, 9.0)}
    found = of_processes(before, after, ["b1", "b2", "b3"], {"b1": "one\ntwo\n", "w1": "x" * 2048})
    assert found == {
        "broker_rss_mib": 90, "node_rss_mib": 60, "broker_cpu_s": 2.5, "log_lines": 2, "log_kib": 2.0,
    }  # fmt: skip
