"""The harness that tries the promises: what it sees is what has happened, and what it started ends with it."""

import json
import signal
from time import monotonic

import pytest

from faults.promises.__main__ import main
from faults.promises.jobs import THREAD
from faults.promises.net import PromiseNet
from faults.promises.orders import Ask
from faults.promises.promise import Evidence
from tests.support.nights import nightly_but


@pytest.fixture
def net(tmp_path):
    with PromiseNet(tmp_path) as opened:
        opened.open(2, ["w1", "w2", "caller"])
        yield opened
    assert not any(child.running for child in opened.children.values())


@pytest.mark.nightly
def test_a_call_to_which_nothing_happens_runs_once(capsys):
    assert main(["second-run-none", "--runs", "1", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)["promises"]
    assert (row["verdict"], row["runs"], row["why"]) == ("met", 1, "")
    assert row["counts"] == {
        "calls": 1, "runs": 1, "failed": 0, "lost": 0, "wrong": 0, "unflagged": 0, "untold": 0, "run twice": 0,
        "ended twice": 0,
    }  # fmt: skip


PROMISES = ["second-run-kill-broker", "second-run-hold-caller", "deadline-kill-caller"]


@pytest.mark.nightly
@pytest.mark.parametrize("name", nightly_but({"second-run-kill-broker"}, PROMISES))
def test_promise_is_kept(capsys, name):
    assert main([name, "--runs", "1", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)["promises"]
    assert (row["verdict"], row["runs"]) == ("met", 1)


@pytest.mark.nightly
def test_what_a_killed_worker_has_begun_is_known(net):
    net.start_worker("w1", 4)
    net.ready(1)
    caller = net.start_caller("caller")
    caller.begin("held", Ask(gated=True), count=2)
    net.wait_for_runs("held", 2)
    net.start_worker("w2", 4)
    net.ready(2)
    net.kill("w1")
    net.open_gate("w2")
    evidence = Evidence()
    net.end(evidence, 20.0)
    net.judge(evidence)
    runs = {(each.key, each.worker, each.possible_duplicate) for each in net.begun}
    assert runs == {(f"held{n}", worker, again) for n in (0, 1) for worker, again in (("w1", False), ("w2", True))}
    assert {(each.key, each.worker) for each in net.over} == {("held0", "w2"), ("held1", "w2")}
    assert (evidence.counts["run twice"], evidence.counts["unflagged"], evidence.counts["failed"]) == (2, 0, 0)


@pytest.mark.nightly
@pytest.mark.parametrize("when", nightly_but({"sent"}, ("made", "sent", "answered")))
def test_a_stall_lasts_as_long_as_it_is_asked_for(net, when):
    net.start_worker("w1", 4)
    net.ready(1)
    caller = net.start_caller("caller")
    began = monotonic()
    caller.begin("c", Ask(), count=3, stall_s=0.4, when=when)
    assert caller.wait(20.0) == 0
    ends = sorted(call.ends[0][0] - began for call in net.calls)
    assert (ends[1] - ends[0] if when == "answered" else ends[0]) >= 0.4
    assert [call.outcome.key for call in sorted(net.calls, key=lambda call: call.key)] == ["c0", "c1", "c2"]


@pytest.mark.nightly
def test_calls_are_driven_paced_and_cancelled(net):
    net.start_worker("w1", 64)
    net.ready(1)
    caller = net.start_caller("caller")
    caller.drive("d", Ask(), in_flight=3, for_s=20.0, count=20)
    caller.pace("p", Ask(), rate=100.0, for_s=0.1)
    assert caller.wait(20.0) == 0
    assert sorted(call.key for call in net.calls) == sorted(
        [f"d{number}" for number in range(20)] + [f"p{number}" for number in range(10)]
    )
    caller.begin("hung", Ask(gated=True), count=2)
    net.wait_for_runs("hung", 2)
    caller.cancel("hung")
    assert caller.wait(20.0) == 0
    given_up = [call for call in net.calls if call.key.startswith("hung")]
    assert [(call.outcome, call.given_up_at is not None) for call in given_up] == [(None, True)] * 2
    evidence = Evidence()
    net.judge(evidence)
    assert (evidence.counts["calls"], evidence.counts["lost"], evidence.counts["failed"]) == (32, 0, 0)


@pytest.mark.nightly
def test_a_worker_tells_whether_its_handler_was_stopped(net):
    net.start_worker("w1", 4)
    net.ready(1)
    caller = net.start_caller("caller")
    caller.begin("late", Ask(work_s=3600.0, timeout_s=0.5))
    caller.begin("short", Ask())
    assert caller.wait(20.0) == 0
    net.children["w1"].end(signal.SIGTERM)
    assert {each.key: each.stopped for each in net.over} == {"late0": True, "short0": False}
    [late] = net.runs("late")
    assert 0.0 < late.deadline - late.started <= 0.5


@pytest.mark.nightly
def test_handlers_in_threads_write_down_all_that_they_run(net):
    net.start_worker("w1", 16, service=THREAD)
    net.ready(1, service=THREAD)
    caller = net.start_caller("caller")
    caller.begin("t", Ask(THREAD), count=200)
    assert caller.wait(20.0) == 0
    assert {each.key for each in net.begun} == {each.key for each in net.over} == {f"t{n}" for n in range(200)}
    evidence = Evidence()
    net.judge(evidence)
    assert (evidence.counts["calls"], evidence.counts["failed"]) == (200, 0)


def test_an_unknown_promise_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["second-run", "--runs", "1"])
    assert "there is no promise second-run; --list shows all" in capsys.readouterr().err
