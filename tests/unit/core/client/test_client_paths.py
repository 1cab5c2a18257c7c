"""Which broker a call goes over."""

from typing import Any

import pytest

from braidmq.core.links.link import Failure, LinkState
from braidmq.errors import NoBroker
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import LOST
from tests.support.rigs.calls import error_of, flagged, reply_of
from tests.support.rigs.node_rig import address, answer_to


class TestPaths:
    def test_brokers_that_report_the_service_are_preferred(self, make: Any) -> None:
        rig = make("a", "b", "c", provides=())
        rig["b"].say(control.Services(["echo"]))
        for _ in range(20):
            rig.call()
        assert len(rig["b"].requests()) == 20

    def test_any_broker_is_asked_if_none_reports_the_service(self, make: Any) -> None:
        rig = make("a", "b", provides=("other",))
        for _ in range(20):
            rig.call()
        assert rig["a"].requests()
        assert rig["b"].requests()

    def test_broker_that_lost_its_workers_is_left(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].say(control.Services([]))
        for _ in range(20):
            rig.call()
        assert not rig["a"].requests()

    def test_the_cheaper_of_two_paths_is_taken(self, make: Any) -> None:
        rig = make("a", "b")
        for latency_s, name in ((0.1, "a"), (0.001, "b")):
            rig.call(via=name)
            request = rig[name].request()
            rig.advance(latency_s)
            rig[name].reply(request)
        for _ in range(20):
            rig.call()
        assert not rig["a"].requests()

    def test_equal_paths_share_the_load(self, make: Any) -> None:
        rig = make("a", "b")
        for _ in range(100):
            rig.call()
        assert abs(len(rig["a"].requests()) - len(rig["b"].requests())) <= 2

    def test_one_of_two_random_paths_is_taken_so_that_none_is_swamped(self, make: Any) -> None:
        rig = make("a", "b", "c", "d")
        for _ in range(200):
            rig.call()
        assert all(30 <= len(broker.requests()) <= 70 for broker in rig.brokers.values())

    def test_via_pins_the_path(self, make: Any) -> None:
        rig = make("a", "b")
        for _ in range(20):
            rig.call(via="b")
        assert len(rig["b"].requests()) == 20

    def test_via_waits_for_its_broker(self, make: Any) -> None:
        rig = make("a", "b")
        rig["b"].accepts = False
        rig["b"].die()
        rig.call(via="b")
        rig.advance(1.0)
        assert not rig.sent()
        rig["b"].welcome()
        assert rig.attempt()[0].name == "b"

    def test_via_a_broker_that_is_not_known_says_so(self, make: Any) -> None:
        rig = make("a")
        rig.add(address("down")).refusal = Failure.UNREACHABLE
        id_ = rig.call(via="nowhere", timeout_s=0.5)
        rig.advance(0.6)
        error = str(error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False))
        assert "nowhere is not known" in error
        assert "down" not in error

    def test_suspect_broker_gets_nothing_new(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].beats = False
        rig.advance(1.8)
        assert rig["a"].link.state is LinkState.SUSPECT
        for _ in range(20):
            rig.call()
        assert not rig["a"].requests()

    def test_draining_broker_gets_nothing_new(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].say(control.Goodbye("draining"))
        for _ in range(20):
            rig.call()
        assert not rig["a"].requests()

    def test_draining_broker_still_answers_what_it_has(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        request = rig["a"].request()
        rig["a"].say(control.Goodbye("draining"))
        rig["a"].reply(request)
        assert not reply_of(rig, id_).possible_duplicate

    def test_path_that_is_silent_since_the_attempt_is_suspected_at_once(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].beats = False
        rig.advance(0.3)
        rig.call(via="a")
        rig.advance(1.02)
        assert rig["a"].link.state is LinkState.SUSPECT
        assert rig["b"].link.state is LinkState.UP

    def test_path_that_is_heard_is_not_suspected_for_a_silent_worker(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(via="a")
        rig.advance(1.05)
        assert rig["a"].link.state is LinkState.UP

    def test_only_broker_gets_no_retry_while_it_is_suspect(self, make: Any) -> None:
        rig = make("a")
        rig["a"].beats = False
        rig.advance(0.1)
        rig.call()
        rig.call()
        rig["a"].requests()
        rig.advance(1.3)
        assert rig["a"].link.state is LinkState.SUSPECT
        assert not rig["a"].requests()
        rig["a"].say(control.Heartbeat())
        assert all(flagged(request) for request in rig["a"].requests())

    @pytest.mark.parametrize("reason", ["draining", "no-session"])
    def test_broker_that_says_goodbye_gets_nothing_new_from_the_same_frame_on(self, make: Any, reason: Any) -> None:
        rig = make("a", "b", settings=Settings(backoff_s=0.001))
        rig["b"].say(control.Goodbye("draining"))
        rig.call()
        request = rig["a"].request()
        rig["a"].accepts = False
        rig["a"].say(control.Goodbye(reason), answer_to(request, LOST))
        assert not rig.sent()


class TestUnread:
    def test_new_calls_avoid_a_path_whose_answers_wait_behind_much(self, make: Any) -> None:
        rig = make("a", "b")
        rig.core.on_unread("a", 1024 * 1024)
        for _ in range(20):
            rig.call()
        assert not rig["a"].requests()
        assert len(rig["b"].requests()) == 20

    def test_the_only_path_is_taken_all_the_same(self, make: Any) -> None:
        rig = make("a")
        rig.core.on_unread("a", 1024 * 1024)
        rig.call()
        assert rig["a"].requests()

    def test_a_path_that_was_read_counts_as_before(self, make: Any) -> None:
        rig = make("a", "b")
        rig.core.on_unread("a", 1024 * 1024)
        rig.core.on_unread("a", 0)
        for _ in range(20):
            rig.call()
        assert rig["a"].requests()
