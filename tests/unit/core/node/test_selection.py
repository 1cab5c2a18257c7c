"""A node in a net of more brokers than it connects to."""

from typing import Any

import pytest

from braidmq.core.client.sending import SEEK_PAUSE_S
from braidmq.core.links.link import Failure, LinkState
from braidmq.core.node.rendezvous import choose
from braidmq.core.node.selection import (
    PATHS_PER_SERVICE,
    REVIEW_S,
    SEEK_AGAIN_S,
    SEEK_RETRY_S,
    SEEK_S_MAX,
    SOUGHT_MAX,
    SOUGHT_S,
)
from braidmq.errors import DeadlineExceeded
from braidmq.messages import Reply
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import REPLY, Reason
from braidmq.wire.gossip import Paths, Seek
from tests.support.rigs.node_rig import NODE, Broker, NodeRig, address

NAMES = [f"b{number}" for number in range(12)]
CONNECTED = 3
SETTINGS = Settings(brokers_connected_max=CONNECTED, reconnect_s=0.1, reconnect_s_max=0.2, timeout_s=30.0)


def net(make: Any, *, provides: tuple[str, ...] = (), **options: Any) -> NodeRig:
    """Return a node that knows twelve brokers and is connected to three, none of which has a worker."""
    rig: NodeRig = make(*NAMES, settings=SETTINGS, provides=provides, **options)
    rig.advance(1.0)
    return rig


def connected(rig: NodeRig) -> set[str]:
    return {name for name, link in rig.core.links.links.items() if link.open}


def opened(rig: NodeRig) -> set[str]:
    return {name for name, broker in rig.brokers.items() if broker.opened}


def chosen(rig: NodeRig) -> set[str]:
    return choose(NODE, rig.core.links.links.values(), CONNECTED, (), rig.now)


def sought(rig: NodeRig) -> list[tuple[Broker, Seek]]:
    """Return the SEEKs that have come to any broker, and forget them."""
    return [(broker, seek) for broker in rig.brokers.values() for seek in broker.take(Seek)]


def outside(rig: NodeRig) -> list[Broker]:
    """The brokers that the node has not chosen."""
    return [broker for name, broker in rig.brokers.items() if name not in chosen(rig)]


def find(rig: NodeRig, *brokers: Broker, service: str = "echo") -> None:
    """Let a SEEK be answered with these brokers, whose workers have just come."""
    for broker in brokers:
        broker.services = [service]
    (asked,) = {asked.name for asked, _seek in sought(rig)}
    rig[asked].say(Paths(service, [broker.name for broker in brokers]))


def searched_in_vain(make: Any) -> NodeRig:
    """Return a net in which nobody has answered a search, a while ago."""
    rig = net(make)
    rig.call(attempts=1)
    rig.advance(SEEK_S_MAX + 3 * SEEK_PAUSE_S)
    rig.attempt()
    sought(rig)
    rig.advance(SEEK_S_MAX)
    return rig


def found(rig: NodeRig, service: str = "echo") -> Broker:
    """Call once, and return the broker that was found and connected for that."""
    rig.call(service)
    broker = outside(rig)[0]
    find(rig, broker, service=service)
    rig.advance(0.2)
    (request,) = broker.requests()
    broker.reply(request)
    return broker


class TestChoice:
    def test_small_net_is_connected_to_whole(self, make: Any) -> None:
        rig = make(*NAMES[:CONNECTED], settings=SETTINGS)
        rig.advance(0.1)
        assert connected(rig) == set(NAMES[:CONNECTED])
        assert not rig.core.selection.partial

    def test_as_many_as_allowed_are_connected_in_a_larger_one_and_no_other_is_opened(self, make: Any) -> None:
        rig = net(make)
        assert rig.core.selection.partial
        assert connected(rig) == opened(rig) == chosen(rig)
        assert len(connected(rig)) == CONNECTED

    def test_brokers_that_are_told_of_are_opened_only_if_chosen(self, make: Any) -> None:
        rig = make("b0", settings=SETTINGS)
        rig["b0"].say(control.Peers([control.Peer(name.encode()) for name in NAMES]))
        rig.advance(1.0)
        assert opened(rig) == chosen(rig) | {"b0"}

    def test_connection_that_is_not_chosen_any_more_ends(self, make: Any) -> None:
        rig = make("b0", "b1", "b2", settings=SETTINGS)
        rig["b0"].say(control.Peers([control.Peer(name.encode()) for name in NAMES]))
        rig.advance(1.0)
        superfluous = {"b0", "b1", "b2"} - chosen(rig)
        assert superfluous
        for name in superfluous:
            assert rig[name].take(control.Goodbye) == [control.Goodbye("draining")]
            assert rig[name].link.state is LinkState.DRAINING
            rig[name].say(control.Goodbye("noted"))
        rig.advance(0.5)
        assert connected(rig) == chosen(rig)

    def test_failing_one_is_replaced_and_used_again_when_it_is_back(self, make: Any) -> None:
        rig = net(make)
        usual = connected(rig)
        lost = rig[min(usual)]
        lost.crash()
        rig.advance(2.0)
        assert len(connected(rig)) == CONNECTED
        (substitute,) = connected(rig) - usual
        lost.refusal = None
        rig.advance(2.0)
        assert rig[substitute].link.state is LinkState.DRAINING
        rig[substitute].say(control.Goodbye("noted"))
        rig.advance(2.0)
        assert connected(rig) == usual

    @pytest.mark.nightly
    def test_the_only_broker_that_comes_back_is_found_whichever_it_is(self, make: Any) -> None:
        for back in NAMES:
            rig = net(make)
            for broker in rig.brokers.values():
                broker.refusal = Failure.UNREACHABLE
            while connected(rig):
                rig[min(connected(rig))].crash()
            rig.advance(10.0)
            assert opened(rig) == set(NAMES), "each has been tried in vain"
            rig[back].refusal = None
            rig.advance(4.0)
            assert connected(rig) == {back}

    def test_broker_whose_connection_broke_while_it_was_left_is_used_when_it_is_needed(self, make: Any) -> None:
        rig = make(*NAMES[: CONNECTED + 1], settings=SETTINGS)
        rig.advance(1.0)
        usual = connected(rig)
        rig[min(usual)].crash()
        rig.advance(1.0)
        (substitute,) = connected(rig) - usual
        rig[min(usual)].refusal = None
        rig.advance(2.0)
        assert rig[substitute].link.state is LinkState.DRAINING
        rig[substitute].die()
        rig.advance(1.0)
        assert connected(rig) == usual
        for name in usual:
            rig[name].crash()
        rig.advance(1.0)
        assert connected(rig) == {substitute}

    def test_forgotten_brokers_make_the_net_small_again(self, make: Any) -> None:
        rig = make("b0", settings=SETTINGS)
        rig["b0"].say(control.Peers([control.Peer(name.encode()) for name in NAMES]))
        rig.advance(1.0)
        assert rig.core.selection.partial
        for name in connected(rig):
            rig[name].say(control.Peers([control.Peer(name.encode()) for name in ("b0", "b1")]))
        for name in connected(rig) - {"b0", "b1"}:
            rig[name].crash()
        rig.advance(2.0)
        assert connected(rig) == {"b0", "b1"}
        assert not rig.core.selection.partial


class TestSeek:
    def test_service_of_a_connected_broker_is_not_sought(self, make: Any) -> None:
        rig = net(make, provides=("echo",))
        rig.call()
        assert len(rig.sent()) == 1
        assert sought(rig) == []

    def test_nothing_is_sought_in_a_small_net(self, make: Any) -> None:
        rig = make(*NAMES[:CONNECTED], settings=SETTINGS, provides=())
        rig.advance(0.1)
        rig.call()
        assert len(rig.sent()) == 1
        assert sought(rig) == []

    def test_call_through_a_named_broker_seeks_nothing(self, make: Any) -> None:
        rig = net(make)
        rig.call(via=min(chosen(rig)))
        assert len(rig.sent()) == 1
        assert sought(rig) == []

    def test_call_waits_and_goes_to_the_broker_that_was_found(self, make: Any) -> None:
        rig = net(make)
        id_ = rig.call()
        assert rig.sent() == []
        found = outside(rig)[0]
        find(rig, found)
        rig.advance(2 * SEEK_PAUSE_S)
        broker, request = rig.attempt()
        assert broker is found
        broker.reply(request)
        assert isinstance(rig.results[id_], Reply)
        assert connected(rig) == chosen(rig) | {found.name}

    def test_found_broker_is_used_by_later_calls_without_another_search(self, make: Any) -> None:
        rig = net(make)
        rig.call()
        find(rig, outside(rig)[0])
        rig.advance(0.2)
        rig.sent()
        rig.call()
        assert rig.attempt()[0] is outside(rig)[0]
        assert sought(rig) == []

    def test_one_search_serves_all_calls_for_a_service(self, make: Any) -> None:
        rig = net(make)
        for _ in range(5):
            rig.call()
            rig.advance(0.1)
        assert len(sought(rig)) == 1
        rig.call("another")
        assert [seek.service for _broker, seek in sought(rig)] == ["another"]

    def test_a_few_of_many_are_connected_for_a_service(self, make: Any) -> None:
        rig = net(make)
        rig.call()
        find(rig, *outside(rig))
        rig.advance(0.2)
        assert len(connected(rig) - chosen(rig)) == PATHS_PER_SERVICE

    def test_broker_that_is_named_but_unknown_is_skipped(self, make: Any) -> None:
        rig = net(make)
        rig.call()
        (asked, _seek) = sought(rig)[0]
        found = outside(rig)[0]
        found.services = ["echo"]
        asked.say(Paths("echo", [*(f"nobody{number}" for number in range(10)), found.name]))
        rig.advance(0.2)
        assert rig.attempt()[0] is found

    def test_first_answer_counts(self, make: Any) -> None:
        rig = net(make)
        rig.call()
        (asked, _seek) = sought(rig)[0]
        first, *others = outside(rig)
        first.services = ["echo"]
        asked.say(Paths("echo", [first.name]))
        for other in others:
            asked.say(Paths("echo", [other.name]))
        rig.advance(0.5)
        assert connected(rig) == chosen(rig) | {first.name}

    def test_answer_that_nobody_asked_for_connects_to_nobody(self, make: Any) -> None:
        rig = net(make)
        rig[min(chosen(rig))].say(Paths("echo", NAMES))
        rig.advance(0.5)
        assert opened(rig) == chosen(rig)

    def test_call_tries_anyone_once_the_wait_is_over(self, make: Any) -> None:
        rig = net(make)
        rig.call()
        rig.advance(SEEK_S_MAX - SEEK_PAUSE_S)
        assert rig.sent() == []
        rig.advance(3 * SEEK_PAUSE_S)
        assert rig.attempt()[0].name in chosen(rig)

    def test_another_broker_is_asked_soon_after_an_answer_that_nobody_has_workers(self, make: Any) -> None:
        rig = net(make)
        rig.call()
        find(rig)
        rig.advance(SEEK_RETRY_S - 2 * SEEK_PAUSE_S)
        assert sought(rig) == []
        rig.advance(3 * SEEK_PAUSE_S)
        broker = outside(rig)[0]
        find(rig, broker)
        rig.advance(0.2)
        assert rig.attempt()[0] is broker

    def test_worker_that_comes_after_a_search_in_vain_is_found_by_the_next_call(self, make: Any) -> None:
        rig = searched_in_vain(make)
        rig.call()
        assert rig.sent() == [], "it waits for the answer"
        broker = outside(rig)[0]
        find(rig, broker)
        rig.advance(0.2)
        assert rig.attempt()[0] is broker

    def test_calls_after_a_search_in_vain_wait_for_one_answer_at_most_and_ask_once_a_second(self, make: Any) -> None:
        rig = searched_in_vain(make)
        rig.call(attempts=1)
        find(rig)
        rig.advance(2 * SEEK_PAUSE_S)
        rig.attempt()
        rig.call(attempts=1)
        rig.attempt()
        rig.advance(SEEK_S_MAX - 4 * SEEK_PAUSE_S)
        rig.call(attempts=1)
        rig.attempt()
        assert sought(rig) == []

    def test_broker_that_a_call_names_is_connected_for_it(self, make: Any) -> None:
        rig = net(make)
        other = next(name for name in NAMES if name not in chosen(rig))
        rig.call(via=other)
        rig.advance(0.5)
        broker, request = rig.attempt()
        assert broker.name == other
        broker.reply(request)
        assert sought(rig) == []
        rig.advance(SOUGHT_S + 1.0)
        assert broker.take(control.Goodbye) == [control.Goodbye("draining")]

    def test_last_reply_leaves_before_the_connection_ends(self, make: Any) -> None:
        rig = net(make, serves={"work": 1})
        broker = found(rig)
        broker.ask(1, service=b"work", time_ms=600_000)
        rig.advance(SOUGHT_S + 1.0)
        broker.say(control.Goodbye("noted"))
        rig.worker.on_done(rig.jobs[0], b"pong", rig.now)
        rig.now += REVIEW_S
        rig.core.on_timer(rig.now)
        rig.pump()
        assert len(broker.take(REPLY)) == 1

    def test_wait_ends_with_the_call(self, make: Any) -> None:
        rig = net(make)
        id_ = rig.call(timeout_s=0.3)
        rig.advance(0.4)
        assert isinstance(rig.results[id_], DeadlineExceeded)

    def test_nobody_is_there_to_be_asked(self, make: Any) -> None:
        """Then the call waits for a broker like any other, and asks the first one that is there."""
        rig = make(*NAMES, settings=SETTINGS, provides=(), connect=False)
        for broker in rig.brokers.values():
            broker.accepts = False
        rig.advance(0.1)
        rig.call()
        rig.advance(0.5)
        assert sought(rig) == []
        for broker in rig.brokers.values():
            if broker.connected:
                broker.handshake()
                broker.welcome()
        assert rig.sent() == [], "it does not go to the first broker that comes"
        found = outside(rig)[0]
        find(rig, found)
        found.accepts = True
        rig.advance(2 * SEEK_PAUSE_S)
        assert rig.attempt()[0] is found

    def test_draining_broker_has_no_workers_for_new_calls(self, make: Any) -> None:
        rig = net(make)
        first = rig[min(chosen(rig))]
        first.say(control.Services(["echo"]))
        first.say(control.Goodbye("draining"))
        rig.call()
        assert rig.sent() == []
        assert len(sought(rig)) == 1

    def test_service_that_has_moved_is_found_again(self, make: Any) -> None:
        rig = net(make)
        rig.call()
        first, second, *_others = outside(rig)
        find(rig, first)
        rig.advance(0.2)
        broker, request = rig.attempt()
        broker.reply(request)
        first.say(control.Services([]))
        rig.advance(SEEK_AGAIN_S)
        rig.call()
        assert rig.sent() == []
        find(rig, second)
        rig.advance(0.2)
        assert rig.attempt()[0] is second

    def test_search_is_repeated_now_and_then_and_not_all_the_time(self, make: Any) -> None:
        rig = net(make)
        for _ in range(40):
            id_ = rig.call(attempts=1)
            rig.advance(0.5)
            for broker, request in rig.sent():
                broker.reject(request, Reason.NO_WORKER)
            rig.cancel(id_)
        assert 3 <= len(sought(rig)) <= 20.0 / SEEK_S_MAX

    def test_searches_are_bounded(self, make: Any) -> None:
        rig = net(make)
        for number in range(SOUGHT_MAX + 10):
            rig.cancel(rig.call(f"s{number}"))
        assert len(sought(rig)) == SOUGHT_MAX
        assert len(rig.core.selection._sought) == SOUGHT_MAX
        rig.advance(SOUGHT_S + 1.0)
        assert not rig.core.selection._sought


class TestEnd:
    def test_connection_ends_a_while_after_the_last_call(self, make: Any) -> None:
        rig = net(make)
        broker = found(rig)
        rig.advance(SOUGHT_S - 1.0)
        assert broker.link.state is LinkState.UP
        rig.advance(1.5)
        assert broker.take(control.Goodbye) == [control.Goodbye("draining")]
        rig.advance(1.0)
        assert broker.connected, "the broker has not noted it"
        broker.say(control.Goodbye("noted"))
        rig.advance(3 * REVIEW_S)
        assert not broker.connected
        assert connected(rig) == chosen(rig)
        rig.advance(5.0)
        assert not broker.connected, "it is not connected anew"

    def test_every_call_extends_it(self, make: Any) -> None:
        rig = net(make)
        broker = found(rig)
        for _ in range(4):
            rig.advance(SOUGHT_S / 2)
            id_ = rig.call()
            broker.reply(broker.request())
            assert isinstance(rig.results[id_], Reply)
        assert broker.link.state is LinkState.UP
        assert sought(rig) == []

    def test_calls_under_way_are_finished_first(self, make: Any) -> None:
        rig = net(make)
        broker = found(rig)
        id_ = rig.call(timeout_s=2 * SOUGHT_S)
        request = broker.request()
        for _ in range(int(SOUGHT_S * 3)):
            broker.working(request)
            rig.advance(0.5)
        assert broker.link.state is LinkState.DRAINING
        broker.say(control.Goodbye("noted"))
        broker.working(request)
        rig.advance(0.9)
        assert broker.connected
        broker.reply(request)
        assert isinstance(rig.results[id_], Reply)
        rig.advance(3 * REVIEW_S)
        assert not broker.connected

    def test_jobs_under_way_are_finished_first(self, make: Any) -> None:
        rig = net(make, serves={"work": 200})
        broker = found(rig)
        broker.ask(1, service=b"work", time_ms=600_000)
        broker.ask(2, service=b"work", time_ms=600_000)
        rig.advance(SOUGHT_S + 1.0)
        assert broker.link.state is LinkState.DRAINING
        broker.say(control.Goodbye("noted"))
        rig.finish(rig.jobs[0])
        rig.advance(1.0)
        assert broker.connected, "one was still under way"
        rig.finish(rig.jobs[1])
        rig.advance(3 * REVIEW_S)
        assert not broker.connected
        assert len(broker.take(REPLY)) == 2

    def test_job_that_came_over_another_broker_too_is_finished_first(self, make: Any) -> None:
        rig = net(make, serves={"work": 1})
        broker, other = found(rig), rig[min(chosen(rig))]
        other.ask(1, service=b"work", time_ms=600_000)
        broker.ask(1, service=b"work", time_ms=600_000)
        rig.advance(SOUGHT_S + 1.0)
        broker.say(control.Goodbye("noted"))
        rig.advance(1.0)
        assert broker.connected
        rig.finish(rig.jobs[0])
        assert len(broker.take(REPLY)) == 1
        rig.advance(3 * REVIEW_S)
        assert not broker.connected

    def test_drain_of_the_node_ends_no_connection(self, make: Any) -> None:
        rig = net(make, serves={"work": 1})
        rig.core.drain(rig.now)
        for name in chosen(rig):
            rig[name].say(control.Goodbye("noted"))
        rig.advance(2.0)
        assert connected(rig) == chosen(rig)
        assert all(len(rig[name].opened) == 1 for name in chosen(rig))

    def test_call_for_a_service_of_a_broker_that_is_left_seeks_anew(self, make: Any) -> None:
        rig = net(make)
        broker = found(rig)
        rig.advance(SOUGHT_S + 1.0)
        assert broker.link.state is LinkState.DRAINING
        rig.call()
        assert rig.sent() == []
        find(rig, broker)
        broker.say(control.Goodbye("noted"))
        rig.advance(1.0)
        assert broker.link.state is LinkState.UP
        assert rig.attempt()[0] is broker

    def test_broker_that_two_services_need_stays_for_the_other_one(self, make: Any) -> None:
        rig = net(make)
        broker = found(rig)
        rig.advance(SOUGHT_S / 2)
        rig.call("sum")
        find(rig, broker, service="sum")
        broker.say(control.Services(["echo", "sum"]))
        rig.advance(0.2)
        broker.reply(broker.request())
        rig.advance(SOUGHT_S / 2 + 1.0)
        assert broker.link.state is LinkState.UP
        rig.advance(SOUGHT_S / 2)
        assert broker.link.state is LinkState.DRAINING


def test_broker_is_not_forgotten_before_the_jobs_from_it_are_over(make: Any) -> None:
    rig = make("b0", settings=SETTINGS, serves={"work": 1})
    rig["b0"].say(control.Peers([control.Peer(b"b0"), control.Peer(b"b1")]))
    rig.advance(0.2)
    rig["b1"].ask(1, service=b"work", time_ms=60_000)
    rig["b1"].crash()
    rig["b0"].say(control.Peers([control.Peer(b"b0")]))
    rig.advance(5.0)
    assert "b1" in rig.core.links.links
    rig.finish(rig.jobs[0])
    rig.advance(5.0)
    assert "b1" not in rig.core.links.links


def test_credit_goes_to_the_brokers_that_stay(make: Any) -> None:
    rig = make("b0", "b1", "b2", settings=SETTINGS, serves={"work": 6})
    for name in NAMES:
        rig.add(address(name), ()) if name not in rig.brokers else None
    rig.advance(2.0)
    up = {name for name, link in rig.core.links.links.items() if link.state is LinkState.UP}
    assert up == chosen(rig)
    credit = {name: rig[name].credit() for name in up}
    assert sum(each or 0 for each in credit.values()) >= 6
    assert all(credit.values())
