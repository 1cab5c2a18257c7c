"""What operators ask of a broker, and what others get who ask the same."""

import pytest

from braidmq.core.broker import operations
from braidmq.core.broker.operations import OUT_KEPT_S, TOLD_MAX
from braidmq.members import Role
from braidmq.wire.control import Goodbye
from braidmq.wire.envelope import REJECT, Outcome, Reason
from braidmq.wire.operation import (
    DENIED,
    DONE,
    DRAIN,
    NOTHING,
    PUT_BACK,
    REFUSED,
    TAKE_OUT,
    Operate,
    Operated,
    OperationStatus,
    Withheld,
)
from tests.support.rigs.broker_rig import BROKER, FakeMember, Rig


def operator(rig: Rig, name: str = "ops") -> FakeMember:
    return rig.connect(name, operate=True)


class TestTheRight:
    @pytest.mark.parametrize("action", [DRAIN, TAKE_OUT, PUT_BACK, "explode"])
    def test_who_does_not_have_it_gets_nothing(self, action: str) -> None:
        rig = Rig()
        rig.peer("b2")
        worker, other = rig.worker("w"), rig.connect("other", calls=("*",), serves=("*",), observe=True)
        outcome, text = other.operate(action, BROKER if action == DRAIN else "w", force=True)
        assert (outcome, text) == (DENIED, "other may not operate")
        assert not rig.core.leaving
        assert not worker.of(Withheld)
        other.request()
        assert worker.requests()

    def test_that_is_counted_logged_and_told(self) -> None:
        rig = Rig()
        other, watcher = rig.connect("other"), rig.connect("watcher", observe=True)
        other.operate(TAKE_OUT, "w")
        assert rig.counters["refused_operate"] == rig.counters["denied"] == 1
        assert rig.logged("1 operations were refused since this was told last, the newest one to other")
        report = watcher.status()
        (row,) = [row for row in report.refusals if row.kind == "operate"]
        assert (row.who, row.what) == ("other", "take-out w")
        assert report.brokers[0].operations == []

    def test_brokers_do_not_have_it(self) -> None:
        rig = Rig()
        peer = rig.connect("b2", role=Role.BROKER, operate=True)
        rig.worker("w")
        assert peer.operate(TAKE_OUT, "w")[0] == DENIED

    def test_that_was_taken_away_holds_at_once(self) -> None:
        rig = Rig()
        ops = operator(rig)
        rig.worker("w")
        rig.register("ops")
        rig.change_registry()
        rig.advance(0.1)
        assert ops.operate(TAKE_OUT, "w")[0] == DENIED

    def test_flood_of_who_does_not_have_it_is_a_line_a_minute(self) -> None:
        rig = Rig()
        other = rig.connect("other")
        for number in range(1_000):
            other.operate(TAKE_OUT, "w", number=number)
        assert rig.logged("operations were refused") == 1


class TestDrain:
    def test_broker_is_to_drain_and_says_until_when(self) -> None:
        rig = Rig()
        rig.peer("b2")
        ops = operator(rig)
        outcome, text = ops.operate(DRAIN, BROKER)
        assert outcome == DONE
        assert text == f"it takes no new requests, and ends within {rig.settings.drain_s:g} s"
        assert rig.core.leaving
        assert rig.logged(f"ops has asked to drain {BROKER}: it takes no new requests")
        rig.drain()
        assert not rig.core.leaving, "it is told once"
        assert ops.of(Goodbye) == [Goodbye("draining")]
        assert ops.operate(DRAIN, BROKER) == (DONE, "it drains already")

    def test_last_broker_drains_only_by_force(self) -> None:
        rig = Rig()
        peer = rig.peer("b2")
        peer.lose()
        rig.advance(rig.settings.dead_after_s + 5.0, heartbeats=True)
        ops = operator(rig)
        outcome, text = ops.operate(DRAIN, BROKER)
        assert outcome == REFUSED
        assert "last broker" in text
        assert not rig.core.leaving
        assert ops.operate(DRAIN, BROKER, force=True)[0] == DONE
        assert rig.core.leaving

    def test_another_brokers_name_is_refused(self) -> None:
        rig = Rig()
        rig.peer("b2")
        assert operator(rig).operate(DRAIN, "b2", force=True) == (REFUSED, f"this is {BROKER}, and not b2")
        assert not rig.core.leaving


class TestTakeOut:
    def test_node_gets_no_new_work_and_others_do(self) -> None:
        rig = Rig()
        ops, client = operator(rig), rig.client()
        out, other = rig.worker("out", credit=8), rig.worker("other", credit=8)
        assert ops.operate(TAKE_OUT, "out") == (DONE, "it gets no new work there")
        assert out.of(Withheld) == [Withheld("ops", out=True)]
        for _ in range(8):
            client.request()
        assert (len(out.requests()), len(other.requests())) == (0, 8)
        assert rig.logged("ops has asked to take-out out: it gets no new work there")

    def test_what_it_has_goes_on(self) -> None:
        rig = Rig()
        ops, client, worker = operator(rig), rig.client(), rig.worker()
        client.request()
        request = worker.request_in()
        assert ops.operate(TAKE_OUT, "worker") == (DONE, "it gets no new work there; 1 requests are with it")
        worker.reply(request)
        assert client.answer() == (2, Outcome.RESULT)

    def test_service_that_has_nobody_else_has_no_worker_at_once(self) -> None:
        rig = Rig()
        ops, client = operator(rig), rig.client()
        rig.worker()
        ops.operate(TAKE_OUT, "worker")
        client.request()
        assert client.answer() == (REJECT, Reason.NO_WORKER)

    def test_grants_are_taken_up_when_it_is_put_back_and_not_before(self) -> None:
        rig = Rig()
        ops, client, worker = operator(rig), rig.client(), rig.worker(credit=2)
        ops.operate(TAKE_OUT, "worker")
        rig.advance(10.0, heartbeats=True)
        worker.ready("echo", 3)
        worker.ready("new", 1)
        client.request()
        client.request("new")
        assert not worker.requests()
        assert ops.operate(PUT_BACK, "worker") == (DONE, "it gets work there again")
        assert worker.of(Withheld) == [Withheld("ops")]
        for service in ("echo", "echo", "echo", "new"):
            client.request(service)
        assert len(worker.requests()) == 4

    def test_service_that_it_has_withdrawn_meanwhile_stays_so(self) -> None:
        rig = Rig()
        ops, client, worker = operator(rig), rig.client(), rig.worker()
        ops.operate(TAKE_OUT, "worker")
        worker.ready("echo", 0)
        ops.operate(PUT_BACK, "worker")
        client.request()
        assert client.answer() == (REJECT, Reason.NO_WORKER)

    def test_service_that_it_may_not_serve_any_more_stays_away(self) -> None:
        rig = Rig()
        ops, client = operator(rig), rig.client()
        worker = rig.worker()
        ops.operate(TAKE_OUT, "worker")
        rig.register("worker")
        rig.change_registry()
        rig.advance(0.1)
        ops.operate(PUT_BACK, "worker")
        assert not rig.counters["denied"], "it has not asked for that again"
        client.request()
        assert client.answer() == (REJECT, Reason.NO_WORKER)
        assert not worker.requests()

    def test_all_connections_of_the_node_are_out(self) -> None:
        rig = Rig()
        ops, client = operator(rig), rig.client()
        rig.worker("w", instance=b"1" * 8)
        rig.worker("w", instance=b"2" * 8)
        ops.operate(TAKE_OUT, "w")
        client.request()
        assert client.answer() == (REJECT, Reason.NO_WORKER)

    def test_process_that_comes_back_is_still_out_and_another_one_is_not(self) -> None:
        rig = Rig()
        ops, client = operator(rig), rig.client()
        worker = rig.worker("w", instance=b"1" * 8)
        ops.operate(TAKE_OUT, "w")
        worker.disconnect()
        again = rig.worker("w", instance=b"1" * 8)
        client.request()
        assert client.answer() == (REJECT, Reason.NO_WORKER)
        again.disconnect()
        another = rig.worker("w", instance=b"2" * 8)
        client.request()
        assert another.requests()

    def test_it_is_forgotten_some_time_after_its_last_session(self) -> None:
        rig = Rig()
        ops = operator(rig)
        worker = rig.worker("w", instance=b"1" * 8)
        ops.operate(TAKE_OUT, "w")
        worker.disconnect()
        rig.advance(OUT_KEPT_S + 1.0, heartbeats=True)
        assert ops.operate(PUT_BACK, "w") == (NOTHING, "w was not taken out there")

    def test_node_that_is_not_there_is_nobody(self) -> None:
        rig = Rig()
        rig.connect("b2", role=Role.BROKER)
        ops = operator(rig)
        assert ops.operate(TAKE_OUT, "nobody") == (NOTHING, "no node nobody is connected there")
        assert ops.operate(TAKE_OUT, "b2")[0] == NOTHING
        assert ops.operate(PUT_BACK, "nobody") == (NOTHING, "nobody was not taken out there")

    def test_reports_tell_who_is_out_by_whom_and_what_was_done(self) -> None:
        rig = Rig()
        ops, watcher = operator(rig), rig.connect("watcher", observe=True)
        rig.worker("w")
        ops.operate(TAKE_OUT, "w")
        rig.advance(1.0, heartbeats=True)
        report = watcher.status()
        (row,) = [row for row in report.nodes if row.name == "w"]
        assert (row.out_by, row.out_ms) == ("ops", pytest.approx(1_000, abs=100))
        (done,) = report.brokers[0].operations
        assert done == OperationStatus(TAKE_OUT, "w", "ops", done.ago_ms)
        assert done.ago_ms == pytest.approx(1_000, abs=100)

    def test_report_has_the_latest_operations(self) -> None:
        rig = Rig()
        ops = operator(rig)
        rig.worker("w")
        for number in range(TOLD_MAX):
            ops.operate(PUT_BACK if number % 2 else TAKE_OUT, "w")
        ops.operate(TAKE_OUT, "w")
        rows = rig.core.report(rig.now).brokers[0].operations
        assert len(rows) == TOLD_MAX
        assert rows[0].action == TAKE_OUT

    def test_so_many_are_out_at_one_time_and_no_more(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr(operations, "OUT_MAX", 1)
        rig = Rig()
        ops = operator(rig)
        rig.worker("w1"), rig.worker("w2")
        assert ops.operate(TAKE_OUT, "w1")[0] == ops.operate(TAKE_OUT, "w1")[0] == DONE
        assert ops.operate(TAKE_OUT, "w2")[0] == REFUSED

    def test_node_that_was_renamed_meanwhile_is_put_back_by_its_new_name(self) -> None:
        rig = Rig()
        ops, client, worker = operator(rig), rig.client(), rig.worker("old")
        ops.operate(TAKE_OUT, "old")
        renamed = rig.registry.members["key-of-old"].__class__("new", Role.NODE, serves=("*",))
        rig.registry.members["key-of-old"] = renamed
        rig.change_registry()
        rig.advance(0.1)
        worker.name = b"new"
        assert ops.operate(PUT_BACK, "new")[0] == DONE
        client.request()
        assert worker.requests()


def test_unknown_action_of_a_newer_version_is_refused() -> None:
    rig = Rig()
    assert operator(rig).operate("explode", "w") == (REFUSED, "it does not know how")


def test_what_cannot_be_a_name_is_nobodys_and_reaches_no_terminal() -> None:
    rig = Rig()
    ops = operator(rig)
    for name in ("\x1b[2J", "x" * 63):
        assert ops.operate(TAKE_OUT, name)[0] == NOTHING
        rig.connect("other").operate(TAKE_OUT, name)
    assert not any("\x1b" in str(event) for event in rig.events)


@pytest.mark.parametrize(
    "operate",
    [
        Operate(1, "x" * 256, "w"),
        Operate(1, TAKE_OUT, ""),
        Operate(1, TAKE_OUT, "x" * 64),
        Operate(2**32, TAKE_OUT, "w"),
    ],
)
def test_what_is_out_of_bounds_is_an_offence(operate: Operate) -> None:
    rig = Rig()
    ops = operator(rig)
    ops.control(operate)
    assert rig.counters["malformed"] == 1
    assert not ops.of(Operated)
