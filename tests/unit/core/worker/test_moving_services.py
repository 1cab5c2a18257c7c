"""Services that are offered, withdrawn and resized while the node runs, and handlers that do not answer."""

from typing import Any

import pytest

from braidmq.core.worker.credit import REST_S
from braidmq.core.worker.job import Job
from braidmq.core.worker.local_services import WITHDRAWN_MAX, LocalServices
from braidmq.errors import ConfigError
from braidmq.observer import JobEnd, NodeObserver
from braidmq.settings import Settings
from braidmq.wire.control import Demand
from braidmq.wire.envelope import LOST, REJECT, REPLY, Flag, Reason
from tests.support.rigs.jobs import answer_of
from tests.support.rigs.node_rig import NodeRig


def withdraw(rig: NodeRig, service: str = "echo") -> list[Job]:
    begun = rig.core.withdraw(service, rig.now)
    rig.pump()
    return begun


def offer(rig: NodeRig, service: str = "echo", concurrency: int = 4) -> None:
    rig.core.offer(service, concurrency, rig.now)
    rig.pump()


def resize(rig: NodeRig, concurrency: int, service: str = "echo") -> None:
    rig.core.resize(service, concurrency, rig.now)
    rig.pump()


class Ends(NodeObserver):
    def __init__(self) -> None:
        self.ends: list[JobEnd] = []

    def on_job_end(self, id_: bytes, how: JobEnd, took_s: float, now: float) -> None:
        self.ends.append(how)


class TestOffer:
    def test_every_broker_that_is_up_is_told_at_once(self, make: Any) -> None:
        rig = make("a", "b")
        offer(rig, "late", 4)
        assert [rig[name].credit() for name in ("a", "b")] == [2, 2]
        tag = rig["a"].ask(1, service=b"late")
        rig.finish(rig.jobs[0])
        assert answer_of(rig["a"], tag).command == REPLY

    def test_one_that_comes_later_is_told_then(self, make: Any) -> None:
        rig = make("a", connect=False)
        offer(rig, "late", 4)
        rig.advance(0.0)
        assert rig["a"].credit() == 4


class TestWithdrawal:
    def test_brokers_are_told_and_what_has_begun_goes_on(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        tag = rig["a"].ask(1)
        (begun,) = withdraw(rig)
        assert [rig[name].credit() for name in ("a", "b")] == [0, 0]
        assert begun is rig.jobs[0]
        assert begun.running
        rig.finish(begun)
        assert answer_of(rig["a"], tag).command == REPLY
        assert not begun.running

    def test_what_was_handed_out_and_has_not_begun_goes_back_as_not_run(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        rig.begins = False
        tag = rig["a"].ask(1)
        assert not withdraw(rig), "it has not begun"
        assert not rig.begin(rig.jobs[0])
        answer = answer_of(rig["a"], tag)
        assert (answer.command, answer.code) == (REJECT, Reason.DRAINING)
        assert (len(rig.worker), rig.worker.executed) == (0, 0)

    def test_what_waits_for_a_place_goes_back_as_not_run(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        running, waiting = rig["a"].ask(1), rig["b"].ask(2)
        assert not rig["b"].answers()
        withdraw(rig)
        answer = answer_of(rig["b"], waiting)
        assert (answer.command, answer.code) == (REJECT, Reason.DRAINING)
        rig.finish(rig.jobs[0])
        assert answer_of(rig["a"], running).command == REPLY

    def test_a_copy_joins_what_still_runs(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        one = rig["a"].ask(1)
        withdraw(rig)
        two = rig["b"].ask(1, retry_count=1, flags=Flag.POSSIBLE_DUPLICATE)
        rig.finish(rig.jobs[0])
        assert [answer_of(rig["a"], one).command, answer_of(rig["b"], two).command] == [REPLY, REPLY]

    def test_what_was_on_its_way_finds_another_worker_and_later_there_is_none(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        withdraw(rig)
        assert answer_of(rig["a"], rig["a"].ask(1)).code == Reason.DRAINING
        rig.advance(2 * rig.settings.dead_after_s + 1.1)
        assert answer_of(rig["a"], rig["a"].ask(2)).code == Reason.NO_WORKER
        assert not rig.worker.services

    def test_brokers_hear_no_more_of_it(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        withdraw(rig)
        rig["a"].credit(), rig["b"].credit()
        rig["a"].say(Demand("echo", 9))
        rig["a"].ask(1)
        rig["b"].die()
        rig.advance(3.0)
        assert [rig[name].credit() for name in ("a", "b")] == [None, None]

    def test_it_may_be_offered_again_while_it_still_runs(self, make: Any) -> None:
        rig = make("a", serves={"echo": 2})
        rig["a"].ask(1), rig["a"].ask(2)
        begun = withdraw(rig)
        offer(rig, "echo", 3)
        assert rig["a"].credit() == 3
        rig["a"].ask(3)
        assert len(rig.jobs) == 3, "the places that are taken count"
        assert begun == rig.jobs[:2]
        assert all(job.running for job in begun)
        assert withdraw(rig) == rig.jobs, "a later withdrawal is of all that runs"

    def test_what_is_asked_to_stop_is_stopped_once(self, make: Any) -> None:
        rig = make("a", serves={"echo": 2, "other": 2})
        rig["a"].ask(1), rig["a"].ask(2, service=b"other")
        begun = withdraw(rig)
        for _ in range(2):
            rig.worker.stop(begun)
            rig.pump()
        assert rig.stopped == rig.jobs[:1]

    def test_what_began_after_it_was_offered_again_is_not_stopped_with_what_ran_before(self, make: Any) -> None:
        rig = make("a", serves={"echo": 2})
        rig["a"].ask(1), rig["a"].ask(2)
        begun = withdraw(rig)
        offer(rig, "echo", 4)
        rig["a"].ask(3)
        rig.finish(rig.jobs[0])
        withdraw(rig)
        rig.worker.stop(begun)
        rig.pump()
        assert rig.stopped == [rig.jobs[1]], "one has ended, and one is of a later offer"

    def test_while_the_node_drains_brokers_need_not_be_told(self, make: Any) -> None:
        rig = make("a", serves={"echo": 2})
        rig.core.drain(rig.now)
        rig.pump()
        rig["a"].credit()
        withdraw(rig)
        assert rig["a"].credit() is None
        assert not rig.core.idle, "requests may be on their way"

    def test_what_is_not_offered_is_refused(self, make: Any) -> None:
        rig = make("a", serves={"echo": 2})
        for change in (rig.core.withdraw, lambda service, now: rig.core.resize(service, 3, now)):
            with pytest.raises(ConfigError, match="other is not offered"):
                change("other", rig.now)
        with pytest.raises(ConfigError, match="between 1 and 10000"):
            rig.core.resize("echo", 0, rig.now)

    def test_services_that_have_gone_are_bounded(self) -> None:
        local = LocalServices(Settings())
        for number in range(WITHDRAWN_MAX + 9):
            local.offer(f"s{number}", 1)
            local.withdraw(f"s{number}", 0.0)
        local.validate_state()
        assert len(local.withdrawn) == WITHDRAWN_MAX


class TestResize:
    def test_more_places_are_told_and_filled(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1), rig["b"].ask(2)
        assert len(rig.jobs) == 1
        resize(rig, 4)
        assert [rig[name].credit() for name in ("a", "b")] == [2, 2]
        assert len(rig.jobs) == 2

    def test_fewer_places_stop_nothing_and_begin_nothing(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        for number in range(4):
            rig["a"].ask(number)
        resize(rig, 1)
        assert rig["a"].credit() == 1
        for job in rig.jobs[:3]:
            rig.finish(job)
        rig["a"].ask(7)
        assert len(rig.jobs) == 4
        rig.finish(rig.jobs[3])
        assert len(rig.jobs) == 5
        rig.advance(3.1)
        (service,) = rig.worker.services
        assert (service.concurrency, service.most) == (1, 1)


class TestNotRun:
    def test_it_goes_back_as_if_it_had_never_begun(self, make: Any) -> None:
        ends = Ends()
        rig = make("a", "b", serves={"echo": 4}, observer=ends)
        tag = rig["a"].ask(1)
        rig.core.decline(rig.jobs[0], rig.now)
        rig.pump()
        answer = answer_of(rig["a"], tag)
        assert (answer.command, answer.code, answer.flags) == (REJECT, Reason.BUSY, 0)
        assert (rig.worker.executed, len(rig.worker.cache), ends.ends) == (0, 0, [JobEnd.GIVEN_BACK])
        rig["b"].ask(1)
        assert len(rig.jobs) == 2, "nothing is remembered of it"

    def test_its_broker_is_told_of_places_a_moment_later(self, make: Any) -> None:
        """At once it would send the same request again, and no other worker had a chance."""
        rig = make("a", serves={"echo": 4})
        rig["a"].credit()
        rig["a"].ask(1), rig["a"].ask(2)
        rig.core.decline(rig.jobs[0], rig.now)
        rig.finish(rig.jobs[1])
        rig.advance(0.8 * REST_S)
        assert rig["a"].credit() is None
        rig.advance(0.4 * REST_S)
        assert rig["a"].credit() == 4

    def test_all_copies_go_back(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        one, two = rig["a"].ask(1), rig["b"].ask(1, retry_count=1, flags=Flag.POSSIBLE_DUPLICATE)
        rig.core.decline(rig.jobs[0], rig.now)
        rig.pump()
        assert [answer_of(rig["a"], one).command, answer_of(rig["b"], two).command] == [REJECT, REJECT]

    def test_of_one_that_has_lost_its_place_nobody_hears(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig["a"].ask(1, time_ms=100)
        rig.advance(1.0)
        assert [each.command for each in rig["a"].answers()] == [LOST]
        rig.core.decline(rig.jobs[0], rig.now)
        rig.pump()
        assert not rig["a"].answers()


class TestUnknown:
    def test_it_is_lost_and_a_retry_may_run_here(self, make: Any) -> None:
        ends = Ends()
        rig = make("a", "b", serves={"echo": 4}, observer=ends)
        tag = rig["a"].ask(1)
        rig.core.disown(rig.jobs[0], rig.now)
        rig.pump()
        assert answer_of(rig["a"], tag).command == LOST
        assert ends.ends == [JobEnd.LOST]
        rig["b"].ask(1, retry_count=1, flags=Flag.POSSIBLE_DUPLICATE)
        assert len(rig.jobs) == 2

    def test_its_place_is_free_again(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1), rig["b"].ask(2)
        rig.core.disown(rig.jobs[0], rig.now)
        rig.pump()
        assert len(rig.jobs) == 2
