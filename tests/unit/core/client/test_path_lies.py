"""One bad broker of three: whatever it answers, calls go on over the others."""

from typing import Any

import pytest

from braidmq.messages import Reply
from braidmq.wire import control
from braidmq.wire.envelope import Envelope, Progress, Reason
from tests.support.nights import cases
from tests.support.rigs.liars import LIAR, LiarRig, Lie
from tests.support.rigs.node_rig import WORKER, Broker

ERRORS_MAX = 0.01


def refuses(reason: int) -> Lie:
    return lambda broker, request: broker.reject(request, reason, retry_after_ms=0xFFFFFFFF)


def says(progress: Progress) -> Lie:
    return lambda broker, request: broker.working(request, progress)


def loses(broker: Broker, request: Envelope) -> None:
    broker.lose(request)


def is_silent(broker: Broker, request: Envelope) -> None:
    pass


def answers_others(broker: Broker, request: Envelope) -> None:
    broker.reply(request, b"forged", tag=request.tag ^ 1)
    broker.reply(request, b"forged", id=bytes(16))


def sends_nonsense(broker: Broker, request: Envelope) -> None:
    broker.say_bytes(b"\0\0\0\1nonsense")


def hangs_up(broker: Broker, request: Envelope) -> None:
    if broker.connected:
        broker.die()


LIES = {
    **{reason.name: refuses(reason) for reason in Reason},
    "unknown reason": refuses(99),
    "RUNNING": says(Progress.RUNNING),
    "QUEUED": says(Progress.QUEUED),
    "SILENT": says(Progress.SILENT),
    "unknown progress": lambda broker, request: broker.working(request, 99),  # type: ignore[arg-type]
    "LOST": loses,
    "silence": is_silent,
    "answers to others": answers_others,
    "nonsense": sends_nonsense,
    "hangs up": hangs_up,
}


@pytest.mark.parametrize("answer_s", [0.005, 0.2])
@cases("lie", LIES.values(), ids=LIES, one_in=3)
def test_calls_go_on_whatever_one_broker_of_three_does(make: Any, lie: Lie, answer_s: float) -> None:
    net = LiarRig(make("b1", LIAR, "b3"), lie, answer_s=answer_s)
    net.run(6.0)
    net.rest(5.5)
    assert len(net.began) == 600
    assert len(net.failed) <= ERRORS_MAX * len(net.began)


@pytest.mark.parametrize("lie", [says(Progress.RUNNING), says(Progress.QUEUED), is_silent])
def test_calls_of_a_slow_service_go_on_though_one_broker_answers_nothing(make: Any, lie: Lie) -> None:
    net = LiarRig(make("b1", LIAR, "b3"), lie, answer_s=0.7)
    net.run(3.0, every=10)
    assert net.asked[LIAR] < 0.2 * len(net.began), "what is not answered makes its path dearer"
    net.run(9.0, every=20)
    net.rest(5.5)
    assert net.failed == []


def sometimes(lie: Lie) -> Lie:
    """Lie to every other request, and answer the rest."""

    def tell(broker: Broker, request: Envelope) -> None:
        if request.tag % 2:
            lie(broker, request)
        else:
            broker.reply(request, request.id)

    return tell


@pytest.mark.parametrize("lie", [refuses(Reason.BUSY), refuses(Reason.DENIED), loses, is_silent])
def test_calls_go_on_though_one_broker_lies_to_some_only(make: Any, lie: Lie) -> None:
    net = LiarRig(make("b1", LIAR, "b3"), sometimes(lie))
    net.run(6.0)
    net.rest(5.5)
    assert len(net.failed) <= ERRORS_MAX * len(net.began)


def test_calls_go_on_though_one_broker_takes_no_payload(make: Any) -> None:
    rig = make("b1", LIAR, "b3", connect=False)
    rig[LIAR].payload_bytes_max = 0
    rig.advance(0.0)
    net = LiarRig(rig, is_silent)
    net.run(6.0)
    net.rest(0.5)
    assert net.failed == []
    assert net.asked[LIAR] == 0


@pytest.mark.parametrize("lie", [refuses(Reason.BUSY), refuses(Reason.DENIED), loses, says(Progress.RUNNING)])
def test_calls_go_on_between_two_brokers_one_of_which_lies(make: Any, lie: Lie) -> None:
    net = LiarRig(make("b1", LIAR), lie)
    net.run(6.0)
    net.rest(5.5)
    assert len(net.failed) <= ERRORS_MAX * len(net.began)


class TestEjection:
    def test_is_told_and_so_is_its_end(self, make: Any) -> None:
        net = LiarRig(make("b1", LIAR, "b3"), refuses(Reason.BUSY))
        net.run_until_ejected()
        assert net.rig.warnings == ["b2 refuses what others take: no new calls for 1 s"]
        net._lie = lambda broker, request: broker.reply(request, request.id)
        net.run(3.0)
        assert net.rig.log[-1] == "b2 takes calls again"
        before = net.asked[LIAR]
        net.run(3.0)
        assert net.asked[LIAR] - before > 60, "it takes its part"
        assert net.failed == []

    @pytest.mark.nightly
    def test_grows_with_each_relapse_and_its_bound_is_kept(self, make: Any) -> None:
        net = LiarRig(make("b1", LIAR, "b3"), refuses(Reason.BUSY))
        net.run(100.0, every=8)
        times = [float(text.split(" for ")[1].removesuffix(" s")) for text in net.rig.warnings]
        assert times[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
        assert set(times[6:]) <= {30.0}
        assert net.asked[LIAR] < 15, "it costs one call now and then"

    @pytest.mark.nightly
    def test_shrinks_after_good_behaviour(self, make: Any) -> None:
        net = LiarRig(make("b1", LIAR, "b3"), refuses(Reason.BUSY))
        net.run_until_ejected(level=3)
        link = net.rig[LIAR].link
        level = link.health.level
        net._lie = lambda broker, request: broker.reply(request, request.id)
        net.run(100.0, every=10)
        assert link.health.level <= level - 2

    def test_never_hits_the_last_path(self, make: Any) -> None:
        rig = make("b1", LIAR)
        net = LiarRig(rig, refuses(Reason.BUSY))
        net.run_until_ejected()
        rig["b1"].crash()
        net._lie = lambda broker, request: broker.reply(request, request.id)
        net.run(1.0)
        assert net.failed == []

    def test_hits_nobody_where_all_refuse_and_there_are_few_further_attempts(self, make: Any) -> None:
        rig = make("b1", "b2", "b3")
        calls = attempts = 0
        for _ in range(1_000):
            rig.call()
            calls += 1
            for broker, request in rig.sent():
                attempts += 1
                broker.reject(request)
            rig.advance(0.01)
        assert rig.warnings == []
        assert attempts <= 1.1 * calls + 10 + 10, "the ratio, the tokens at first and those of ten seconds"

    def test_hits_nobody_where_some_calls_are_refused_everywhere(self, make: Any) -> None:
        rig = make("b1", "b2", "b3")
        for number in range(2_000):
            rig.call()
            for broker, request in rig.sent():
                if number % 3:
                    broker.reject(request)
                else:
                    broker.reply(request)
            rig.advance(0.01)
        assert rig.warnings == []

    def test_hits_no_broker_that_drains_or_has_just_lost_its_workers(self, make: Any) -> None:
        for reason in (Reason.DRAINING, Reason.NO_WORKER):
            rig = make("b1", "b2", "b3")
            for _ in range(90):
                rig.call()
            leaving, given = rig["b1"], rig["b1"].requests()
            if reason == Reason.DRAINING:
                leaving.say(control.Goodbye("draining"))
            for request in given:
                leaving.reject(request, reason)
            for broker, request in rig.sent():
                broker.reply(request)
            rig.advance(0.1)
            assert len(given) > 10
            assert rig.warnings == []

    def test_does_not_keep_a_call_from_the_broker_that_it_names(self, make: Any) -> None:
        rig = make("b1", LIAR, "b3")
        net = LiarRig(rig, refuses(Reason.BUSY))
        net.run_until_ejected()
        id_ = rig.call(via=LIAR)
        broker, _request = next(each for each in rig.sent() if each[1].id == id_)
        assert broker.name == LIAR


class TestLongCalls:
    def test_are_no_fault_of_a_path_that_answers_others(self, make: Any) -> None:
        rig = make("b1", "b2", provides=("echo", "slow"))
        slow = [rig.call("echo", timeout_s=30.0) for _ in range(8)]
        held = rig.sent()
        for _ in range(200):
            id_ = rig.call()
            for broker, request in rig.sent():
                if request.id == id_:
                    broker.reply(request)
            for broker, request in held:
                broker.working(request)
            rig.advance(0.05)
        assert rig.warnings == []
        for broker, request in held:
            broker.reply(request)
        assert all(not rig.results[id_].possible_duplicate for id_ in slow)

    def test_are_no_fault_of_a_path_where_nobody_is_faster(self, make: Any) -> None:
        rig = make("b1", "b2", provides=("echo", "slow"))
        for _ in range(6):
            rig.call("slow", timeout_s=30.0)
        held = rig.sent()
        for _ in range(100):
            id_ = rig.call("echo")
            for broker, request in rig.sent():
                if request.id == id_:
                    broker.reply(request)
            for broker, request in held:
                broker.working(request)
            rig.advance(0.05)
        assert rig.warnings == []

    def test_are_no_fault_of_a_path_where_nobody_is_answered(self, make: Any) -> None:
        rig = make("b1", "b2")
        for _ in range(8):
            rig.call(timeout_s=30.0)
        held = rig.sent()
        for _ in range(40):
            for broker, request in held:
                broker.working(request)
            rig.advance(0.1)
        assert rig.warnings == []
        assert not rig.sent()

    def test_are_no_fault_of_a_path_where_others_are_not_much_faster(self, make: Any) -> None:
        net = LiarRig(make("b1", LIAR), says(Progress.RUNNING), answer_s=0.4)
        net.run(2.2, every=10)
        assert net.asked[LIAR] > 3
        assert net.rig.warnings == []

    def test_that_a_path_claims_for_ever_are_sent_to_the_worker_that_is_said_to_run_them(self, make: Any) -> None:
        net = LiarRig(make("b1", LIAR, "b3"), says(Progress.RUNNING))
        rig = net.rig
        ids = [rig.call() for _ in range(20)]
        net.run_until_ejected()
        rig.brokers[LIAR].inbox.clear()
        net.rest(1.0)
        again = [reply for id_ in ids if isinstance(reply := rig.results[id_], Reply) and reply.retry_count]
        assert len(again) > 3
        assert all(reply.possible_duplicate and reply.broker != LIAR for reply in again)
        assert set(net.addressed_to) == {WORKER}
