"""Calls where no worker is, or no such broker; and those that wait for a place."""

from typing import Any

import pytest

from braidmq.core.client.places import SHARE
from braidmq.errors import AccessDenied, AttemptsExhausted, ConfigError, NoBroker, NoWorker, Overloaded
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import Reason
from tests.support.rigs.calls import HOLD_S, error_of, reply_of
from tests.support.rigs.node_rig import WORKER, NodeRig


def provide(rig: NodeRig, *services: str) -> None:
    """Let all brokers tell that these services have workers, and no others."""
    for broker in rig.brokers.values():
        if broker.connected:
            broker.say(control.Services(list(services)))


class TestWait:
    def test_call_waits_for_a_worker_and_goes_there_as_soon_as_there_is_one(self, make: Any) -> None:
        rig = make("a", "b", provides=())
        rig.advance(0.1)
        id_ = rig.call(wait=True, timeout_s=8.0)
        rig.advance(3.0)
        assert not rig.sent()
        rig["b"].say(control.Services(["other"]))
        assert not rig.sent()
        rig["b"].say(control.Services(["echo", "other"]))
        broker, request = rig.attempt()
        assert broker is rig["b"]
        assert request.retry_count == 0
        broker.reply(request)
        assert not reply_of(rig, id_).possible_duplicate

    def test_it_waits_within_its_deadline(self, make: Any) -> None:
        rig = make("a", provides=())
        rig.advance(0.1)
        id_ = rig.call(wait=True, timeout_s=3.0)
        rig.advance(2.9)
        assert id_ not in rig.results
        rig.advance(0.2)
        error = error_of(rig, id_, NoWorker, attempts=0, maybe_executed=False)
        assert "in time" in str(error)

    def test_it_goes_on_waiting_when_its_broker_has_lost_the_worker_meanwhile(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call(wait=True, timeout_s=8.0)
        rig["a"].reject(rig["a"].request(), Reason.NO_WORKER)
        provide(rig)
        rig.advance(3.0)
        assert not rig.sent()
        provide(rig, "echo")
        rig["a"].reply(rig["a"].request())
        assert reply_of(rig, id_)

    @pytest.mark.parametrize(
        ("setting", "seen", "waits"),
        [
            ("known", True, True), ("known", False, False), ("always", False, True), ("always", True, True),
            ("never", True, False), ("never", False, False),
        ],
    )  # fmt: skip
    def test_the_setting_holds_for_calls_that_do_not_say(
        self, make: Any, setting: Any, seen: bool, waits: bool
    ) -> None:
        rig = make("a", provides=("echo",) if seen else (), settings=Settings(wait_for_worker=setting))
        rig.advance(0.1)
        provide(rig)
        id_ = rig.call(timeout_s=8.0)
        for _ in range(10):
            rig.advance(0.2)
            for broker, request in rig.sent():
                broker.reject(request, Reason.NO_WORKER)
        assert (id_ in rig.results) is not waits

    @pytest.mark.parametrize("setting", ["known", "always", "never"])
    @pytest.mark.parametrize("wait", [True, False])
    def test_what_a_call_says_overrides_it(self, make: Any, setting: Any, wait: bool) -> None:
        rig = make("a", settings=Settings(wait_for_worker=setting))
        provide(rig)
        id_ = rig.call(timeout_s=8.0, wait=wait)
        for _ in range(10):
            rig.advance(0.2)
            for broker, request in rig.sent():
                broker.reject(request, Reason.NO_WORKER)
        assert (id_ in rig.results) is not wait

    def test_call_that_names_a_broker_waits_for_a_worker_there(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].say(control.Services([]))
        rig.call(via="a", wait=True)
        rig.advance(0.5)
        assert not rig.sent()
        rig["a"].say(control.Services(["echo"]))
        assert rig.attempt()[0] is rig["a"]

    def test_call_that_was_lost_with_the_only_worker_waits_for_the_next_one_flagged(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call(timeout_s=8.0)
        request = rig["a"].request()
        rig["a"].working(request)
        provide(rig)
        rig["a"].lose(request, sender=WORKER)
        rig.advance(2.0)
        assert not rig.sent()
        provide(rig, "echo")
        request = rig["a"].request()
        rig["a"].reply(request)
        assert reply_of(rig, id_).possible_duplicate

    def test_call_that_was_lost_and_finds_no_other_worker_is_lost(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call(timeout_s=3.0)
        request = rig["a"].request()
        rig["a"].working(request)
        provide(rig)
        rig["a"].lose(request, sender=WORKER)
        rig.advance(3.1)
        error_of(rig, id_, AttemptsExhausted, attempts=1, maybe_executed=True)

    @pytest.mark.parametrize("reason", [Reason.NO_WORKER, Reason.DRAINING])
    @pytest.mark.parametrize("attempts", [1, 3])
    def test_what_met_no_worker_is_no_attempt(self, make: Any, reason: Reason, attempts: int) -> None:
        """A broker says so at once, and tells only later that the service has no worker any more."""
        rig = make("a", "b", settings=Settings(backoff_s_max=0.4))
        id_ = rig.call(timeout_s=30.0, attempts=attempts)
        for _ in range(30):
            for broker, request in rig.sent():
                broker.reject(request, reason)
            rig.advance(0.5)
        assert id_ not in rig.results
        broker, request = rig.attempt()
        broker.reply(request)
        assert not reply_of(rig, id_).possible_duplicate

    def test_call_whose_broker_never_tells_that_it_has_no_worker_ends_as_one_that_waited(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call(timeout_s=3.0)
        for _ in range(80):
            for broker, request in rig.sent():
                broker.reject(request, Reason.NO_WORKER)
            rig.advance(0.04)
        error = error_of(rig, id_, NoWorker, attempts=0, maybe_executed=False)
        assert "in time" in str(error)

    def test_what_this_node_may_not_call_is_not_waited_for(self, make: Any) -> None:
        """Brokers would never list it: the answer is worth more than the wait."""
        rig = make("a", provides=(), calls=("other",))
        rig.advance(0.1)
        id_ = rig.call(wait=True)
        rig["a"].reject(rig["a"].request(), Reason.DENIED)
        error_of(rig, id_, AccessDenied, attempts=1, maybe_executed=False)

    def test_cancelled_call_waits_no_longer(self, make: Any) -> None:
        rig = make("a", provides=())
        rig.advance(0.1)
        rig.cancel(rig.call(wait=True))
        provide(rig, "echo")
        assert not rig.sent()

    def test_all_that_wait_go_on(self, make: Any) -> None:
        rig = make("a", provides=())
        rig.advance(0.1)
        for _ in range(50):
            rig.call(wait=True)
        provide(rig, "echo")
        assert len(rig.sent()) == 50


class TestVia:
    def test_broker_that_is_none_of_the_net_is_told_at_once(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].say(control.Peers([control.Peer(b"a"), control.Peer(b"b")]))
        id_ = rig.call(via="nope")
        error = error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False)
        assert "nope is no broker of this net" in str(error)
        assert "a, b" in str(error)

    def test_it_is_told_when_the_list_comes(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].accepts = False
        id_ = rig.call(via="nope")
        rig.advance(0.1)
        rig["a"].handshake()
        assert id_ not in rig.results
        rig["a"].welcome()
        rig["a"].say(control.Peers([control.Peer(b"a")]))
        rig.advance(0.1)
        error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False)

    def test_broker_that_is_known_and_down_is_waited_for(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].say(control.Peers([control.Peer(b"a"), control.Peer(b"b")]))
        rig["b"].crash()
        id_ = rig.call(via="b", timeout_s=2.0)
        rig.advance(1.9)
        assert id_ not in rig.results
        rig.advance(0.2)
        error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False)


class TestPlaces:
    def test_calls_of_a_slow_service_leave_places_for_others(self, make: Any) -> None:
        rig = make("a", provides=("slow", "quick"))
        for _ in range(300):
            rig.call("slow", timeout_s=60.0)
        assert 220 <= len(rig.sent()) < 256
        for _ in range(20):
            rig.call("quick")
        assert len(rig.sent()) == 20

    @pytest.mark.nightly
    def test_service_with_nothing_on_its_way_goes_on_however_many_others_hang(self, make: Any) -> None:
        slow = [f"slow{number}" for number in range(20)]
        rig = make("a", provides=(*slow, "quick"), settings=Settings(in_flight_max=64))
        for service in slow:
            for _ in range(75):
                rig.call(service, timeout_s=60.0)
        assert len(rig.sent()) <= 64 + 20
        for _ in range(3):
            rig.call("quick")
        for _ in range(3):
            request = rig["a"].request()
            assert request.service == b"quick"
            rig["a"].reply(request)

    def test_large_payloads_of_a_service_leave_room_for_others(self, make: Any) -> None:
        rig = make("a", provides=("slow", "quick"), settings=Settings(in_flight_bytes_max=10_000))
        for _ in range(12):
            rig.call("slow", bytes(1_000), timeout_s=60.0)
        assert len(rig.sent()) == 10
        rig.call("quick", bytes(1_000))
        assert rig["a"].request().service == b"quick"

    def test_services_that_wait_take_turns(self, make: Any) -> None:
        rig = make("a", provides=("one", "two"), settings=Settings(in_flight_max=1))
        for service in ("one", "two"):
            for _ in range(4):
                rig.call(service)
        order = []
        while requests := rig["a"].requests():
            for request in requests:
                order.append(request.service.decode())
                rig["a"].reply(request)
        assert sorted(order[:2]) == sorted(order[2:4]) == sorted(order[4:6]) == sorted(order[6:]) == ["one", "two"]

    def test_small_limits_are_for_one_service_if_there_is_no_other(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=SHARE))
        for _ in range(SHARE):
            rig.call()
        assert len(rig.sent()) == SHARE

    def test_calls_of_handlers_have_places_of_their_own(self, make: Any) -> None:
        """They would wait for the calls that wait for them."""
        rig = make("a", settings=Settings(in_flight_max=2, waiting_max=0))
        for _ in range(2):
            rig.call()
        rig.sent()
        with pytest.raises(Overloaded):
            rig.call()
        for run in (1, 2):  # two handlers, or one that calls itself
            for _ in range(2):
                rig.call(nested=run)
            assert len(rig.sent()) == 2
            with pytest.raises(Overloaded):
                rig.call(nested=run)

    def test_large_call_whose_turn_it_is_does_not_starve_behind_small_ones(self, make: Any) -> None:
        settings = Settings(in_flight_bytes_max=1024, payload_bytes_max=1024)
        rig = make("a", provides=("large", "small"), settings=settings)
        rig.call("large", bytes(300))
        rig.call("small", bytes(300))
        rig.call("large", bytes(900))
        for _ in range(3):
            rig.call("small", bytes(10))
        first, second = rig["a"].requests()
        assert rig.sent() == []
        rig["a"].reply(first)
        assert [request.payload for request in rig["a"].requests()] == [bytes(900)]
        rig["a"].reply(second)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("service", None), ("service", b"echo"), ("service", ""), ("service", 5), ("payload", "text"),
        ("payload", None),
        ("timeout_s", "5"), ("timeout_s", True), ("timeout_s", float("nan")), ("timeout_s", -1), ("timeout_s", 0),
        ("timeout_s", float("inf")), ("timeout_s", 86_401), ("attempts", "3"), ("attempts", 2.0), ("attempts", True),
        ("attempts", 0), ("attempts", 21), ("via", 5), ("via", b"b1"), ("headers", ["k"]), ("headers", "k=v"),
        ("headers", {"k": 1}), ("headers", {1: "v"}), ("wait", "yes"), ("wait", 1),
    ],
)  # fmt: skip
def test_wrong_argument_is_named(make: Any, name: str, value: Any) -> None:
    rig = make("a")
    arguments = {"service": "echo", "payload": b"", name: value}
    with pytest.raises(ConfigError) as caught:
        rig.call(arguments.pop("service"), arguments.pop("payload"), **arguments)
    said = str(caught.value)
    assert name.removesuffix("_s").rstrip("s") in said or "name a service" in said
    assert "\n" not in said
    assert len(rig.client) == 0
    rig.advance(HOLD_S)
    assert not rig.sent()
