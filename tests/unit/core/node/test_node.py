from typing import Any

import pytest

from braidmq.core.links.link import Failure, LinkState
from braidmq.wire import control
from braidmq.wire.envelope import PREFIX_BYTES, REPLY, WORKING
from tests.support.rigs.jobs import answer_of
from tests.support.rigs.node_rig import NODE


class TestFrames:
    def test_messages_of_a_bundle_are_taken_one_by_one(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        rig["a"].say(control.Heartbeat(), control.Services([]), control.Demand("echo", 1))
        assert rig["a"].link.services == frozenset()

    def test_broker_that_begins_with_another_major_version_is_left_at_once(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].accepts = False
        rig.advance(0.1)
        rig["a"].handshake()
        rig["a"].say_bytes(b"\0\0\0\x0d\x20\x23\0\0\0\0\0\0\x80")
        assert rig["a"].link.failure is Failure.VERSION
        assert rig.core.refused

    def test_other_major_version_is_told_and_skipped(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say_bytes(b"\0\0\0\x0d\x20\x23\0\0\0\0\0\0\x80")
        assert any("major version 2" in line for line in rig.log)

    def test_minor_version_is_taken(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say_bytes(b"\0\0\0\x0d\x15\x23\0\0\0\0\0\0\x80")
        assert not any("version" in line for line in rig.log)

    @pytest.mark.parametrize("command", [0, 7, 31, 51, 200, 255])
    def test_unknown_command_is_skipped(self, make: Any, command: int) -> None:
        rig = make("a")
        rig["a"].say_bytes(PREFIX_BYTES.to_bytes(4) + bytes((0x10, command)) + bytes(PREFIX_BYTES - 6))
        assert rig["a"].link.state is LinkState.UP

    @pytest.mark.parametrize("frame", [b"", b"\0", b"\xff" * 40, b"\0\0\0\x0c" + bytes(4), bytes(12)])
    def test_frame_that_is_no_bundle_is_told(self, make: Any, frame: bytes) -> None:
        rig = make("a")
        rig["a"].say_bytes(frame)
        assert any("no bundle" in line for line in rig.log)

    def test_messages_before_the_broken_one_count(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say_bytes(control.encode_control(control.Goodbye("draining"), 0) + b"\xff\xff\xff\xff")
        assert rig["a"].link.state is LinkState.DRAINING


class TestForgottenBrokers:
    def test_a_job_of_a_broker_that_is_forgotten_ends_and_gives_its_place_back(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1)
        rig.core.links.forget(rig["a"].link, rig.now)
        rig.advance(1.0)
        rig.finish(rig.jobs[0])
        request = rig["b"].ask(2)
        rig.finish(rig.jobs[1])
        assert answer_of(rig["b"], request).payload == b"pong"


def test_a_broker_with_a_name_that_the_node_had_before_is_one_like_any_other(make: Any) -> None:
    rig = make("a", NODE)
    assert rig[NODE].link.state is LinkState.UP


def test_what_a_bridge_tells_of_itself_comes_to_every_broker_also_to_one_that_comes_later(make: Any) -> None:
    rig = make("a", "b")
    rig["b"].die()
    told = [control.Bridging(control.BridgeStatus("majordomo", peers)) for peers in (1, 2)]
    for each in told:
        rig.core.tell_of_bridge(each, rig.now)
    rig.advance(0.3)
    assert rig["a"].take(control.Bridging) == told
    assert rig["b"].take(control.Bridging) == told[1:]


class TestDrain:
    def test_every_broker_is_told(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        rig.core.drain(rig.now)
        rig.pump()
        for broker in rig.brokers.values():
            assert broker.take(control.Goodbye) == [control.Goodbye("draining")]

    def test_broker_that_comes_later_is_told_too(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        rig["b"].die()
        rig.core.drain(rig.now)
        rig.advance(0.3)
        assert rig["b"].take(control.Goodbye)[0] == control.Goodbye("draining")

    def test_is_over_when_every_broker_has_noted_it(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        rig.core.drain(rig.now)
        for broker in rig.brokers.values():
            assert not rig.core.idle
            broker.say(control.Goodbye("noted"))
        assert rig.core.idle

    def test_of_a_node_without_services_waits_for_no_broker(self, make: Any) -> None:
        rig = make("a")
        rig.core.drain(rig.now)
        assert rig.core.idle

    def test_waits_for_calls_and_jobs(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        rig.call()
        rig["a"].ask(1)
        rig.core.drain(rig.now)
        rig["a"].say(control.Goodbye("noted"))
        rig["a"].reply(rig["a"].request())
        assert not rig.core.idle
        rig.finish(rig.jobs[0])
        assert rig.core.idle


class TestObserve:
    def test_asks_every_broker_that_is_up(self, make: Any) -> None:
        rig = make("a", "b")
        rig["b"].crash()
        rig.core.observe(rig.now)
        rig.pump()
        assert len(rig["a"].take(control.Status)) == 1
        rig["a"].say(control.Report(broker="a"))
        assert rig.core.reports == {"a": control.Report(broker="a")}

    def test_forgets_older_reports(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(control.Report(broker="a"))
        rig.core.observe(rig.now)
        assert not rig.core.reports


def test_client_and_worker_share_a_link(make: Any) -> None:
    rig = make("a", serves={"echo": 4})
    id_ = rig.call()
    request = rig["a"].request()
    tag = rig["a"].ask(1, sender=NODE.encode())
    rig.finish(rig.jobs[0], b"pong")
    (answer,) = rig["a"].take(REPLY)
    assert answer.tag == tag
    rig["a"].reply(request, answer.payload)
    assert rig.results[id_].payload == b"pong"


def test_next_deadline_is_never_late(make: Any) -> None:
    rig = make("a", serves={"echo": 4})
    rig.call(timeout_s=0.02)
    rig["a"].ask(1, working_ms=10)
    due = rig.core.next_deadline()
    assert due <= min(rig.client.next_deadline(), rig.worker.next_deadline(), rig.core.links.next_deadline())
    rig.advance(0.05)
    assert rig["a"].take(WORKING)
    assert len(rig.results) == 1
