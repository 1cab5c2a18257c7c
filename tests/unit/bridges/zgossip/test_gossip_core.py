"""The core of the zgossip bridge: what it tells whom, and when."""

import pytest

from braidmq.bridges.zgossip import wire
from braidmq.bridges.zgossip.limits import (
    CHANGES_AT_ONCE_MAX,
    CROSSING_S,
    DISPUTE_S,
    FLIPS_PER_S_MAX,
    HELLO_S,
    MUTE_S,
    PASS_S,
    PASSED_TO_PEER_MAX,
    PEERS_MAX,
    PING_S,
    SILENCE_S,
)
from braidmq.bridges.zgossip.requests import GET, PUT
from braidmq.errors import ServiceError
from tests.support.gossip import World, key_of, tuples

PRICING = key_of("service/pricing/bridge-1")
BROKER = key_of("broker/b1/bridge-1")
BRIDGE = key_of("bridge/bridge-1/zgossip")


# -- those who come


def test_node_that_says_hello_is_told_what_the_net_has(world):
    world.know(
        {"pricing": 2}, brokers={"b1": ["tcp://127.0.0.1:7000", "tcp://[::1]:7000"]}, bridges={"zgossip": ["tcp://x:1"]}
    )
    world.say("a", wire.HELLO)
    world.advance(PASS_S)
    assert tuples(world.heard("a")) == [
        (BRIDGE, b"tcp://x:1"), (BROKER, b"tcp://127.0.0.1:7000 tcp://[::1]:7000"), (PRICING, b"2"),
    ]  # fmt: skip


def test_node_that_says_hello_is_told_within_half_a_second_and_of_news_after_30_s_of_silence(world):
    world.know({"pricing": 1}, bridges={"zgossip": ["tcp://x:1"]})
    world.say("a", wire.HELLO)
    world.advance(0.5)
    assert tuples(world.heard("a")) == [(BRIDGE, b"tcp://x:1"), (PRICING, b"1")]
    world.advance(30)
    world.know({"pricing": 2})
    world.advance(0.5)
    assert tuples(world.heard("a")) == [(PRICING, b"2")]


def test_news_reach_a_node_that_has_been_silent_for_long(world):
    world.say("a", wire.HELLO)
    world.advance(100 * SILENCE_S)
    world.know({"pricing": 1})
    world.advance(0)
    assert tuples(world.heard("a")) == [(PRICING, b"1")]


def test_what_is_gone_has_an_empty_value(world):
    world.know({"pricing": 1, "orders": 1})
    world.say("a", wire.HELLO)
    world.advance(PASS_S)
    world.heard("a")
    world.know({"orders": 1})
    world.advance(PASS_S)
    assert tuples(world.heard("a")) == [(PRICING, b"")]
    world.know({"pricing": 3, "orders": 1})
    world.advance(PASS_S)
    assert tuples(world.heard("a")) == [(PRICING, b"3")]


def test_ping_is_answered_before_and_after_hello(world):
    assert world.say("a", wire.PING) == [wire.PONG]
    world.say("a", wire.HELLO)
    assert world.say("a", wire.PING) == [wire.PONG]


def test_tuple_before_hello_is_kept_and_answered_invalid(world):
    world.say("b", wire.HELLO)
    assert world.tell("a", b"k", b"1") == [wire.INVALID]
    world.advance(PASS_S)
    assert tuples(world.heard("b")) == [(b"k", b"1")]
    assert world.ask(GET, b"k") == b"1"
    world.say("a", wire.HELLO)
    assert world.tell("a", b"k", b"2") == []


def test_tuple_is_passed_to_all_others_once(world):
    for name in "abc":
        world.say(name, wire.HELLO)
    world.tell("a", b"k", b"1")
    world.tell("b", b"k", b"1")
    world.advance(1)
    assert world.heard("a") == []
    assert tuples(world.heard("b")) == tuples(world.heard("c")) == [(b"k", b"1")]


def test_second_hello_is_answered_like_the_first_but_not_at_any_rate(world):
    world.know({"pricing": 1})
    for _ in range(50):
        world.say("a", wire.HELLO)
        world.advance(PASS_S)
    world.advance(HELLO_S)
    told = tuples(world.heard("a"))
    assert told == len(told) * [(PRICING, b"1")]
    assert 6 <= len(told) <= 7


@pytest.mark.parametrize("frame", [wire.PONG, wire.INVALID])
def test_answer_to_nothing_is_not_answered(world, frame):
    assert world.say("a", frame) == []
    assert world.core.counters["unexpected"] == 1


@pytest.mark.parametrize("frames", [[b""], [b"\xaa\xa1\x01\x01"], [wire.HELLO, b""], [b"", wire.HELLO], [b"x"] * 1000])
def test_what_is_malformed_is_counted_and_dropped(world, frames):
    assert world.say("a", *frames) == []
    assert world.core.counters["malformed"] == 1
    assert world.core.gauges["contacts"] == 0


def test_silent_node_gives_its_place_to_one_that_comes_when_all_are_taken(world):
    for number in range(PEERS_MAX):
        world.say(f"p{number}", wire.HELLO)
    assert world.say("late", wire.PING) == []
    world.advance(SILENCE_S - 1)
    for number in range(1, PEERS_MAX):
        world.say(f"p{number}", wire.PING)
    assert world.say("late", wire.PING) == []
    world.advance(1)
    assert world.say("late", wire.PING) == [wire.PONG]
    assert world.say("later", wire.PING) == []
    assert world.core.counters["too_many_peers"] == 3
    world.close("p7")
    assert world.say("later", wire.PING) == [wire.PONG]


# -- those to whom it goes


def test_remote_is_greeted_told_own_tuples_and_pinged(world):
    world.know({"pricing": 1})
    world.connect("r")
    world.advance(0)
    assert [wire.read(frame)[0].name for frame in world.heard("r")] == ["HELLO", "PUBLISH"]
    world.advance(3 * PING_S + 0.01)
    assert world.heard("r") == 3 * [wire.PING]


def test_remote_that_forgets_the_silent_after_a_second_is_pinged_each_half_and_heard_after_5_s(world):
    world.say("a", wire.HELLO)
    world.connect("r")
    world.advance(HELLO_S)
    world.heard("r")
    for _ in range(10):
        world.advance(0.5)
        assert wire.PING in world.heard("r")
    world.tell("r", b"k", b"news")
    world.advance(PASS_S)
    assert tuples(world.heard("a")) == [(b"k", b"news")]


def test_remote_is_told_what_others_have_said_when_it_has_told_what_it_knows(world):
    world.say("a", wire.HELLO)
    world.tell("a", b"k", b"old")
    world.tell("a", b"other", b"1")
    world.advance(1)
    world.connect("r")
    world.advance(PING_S)
    assert tuples(world.heard("r")) == []
    world.tell("r", b"k", b"new")
    world.say("r", wire.PONG)
    world.advance(PASS_S)
    assert tuples(world.heard("r")) == [(b"other", b"1")]
    assert tuples(world.heard("a")) == [(b"k", b"new")]


def test_remote_that_has_forgotten_the_bridge_is_greeted_anew_but_not_at_any_rate(world):
    world.know({"pricing": 1})
    world.connect("r")
    world.say("r", wire.PONG)
    world.advance(1)
    world.heard("r")
    for _ in range(50):
        world.say("r", wire.INVALID)
        world.advance(PASS_S)
    heard = world.heard("r")
    assert 5 <= heard.count(wire.HELLO) <= 6
    assert tuples(heard) == heard.count(wire.HELLO) * [(PRICING, b"1")]


def test_new_connection_begins_from_the_start(world):
    world.know({"pricing": 1})
    world.connect("r")
    world.advance(1)
    world.close("r")
    world.sent.clear()
    world.connect("r")
    world.advance(0)
    assert [wire.read(frame)[0].name for frame in world.heard("r")] == ["HELLO", "PUBLISH"]


@pytest.mark.parametrize("frame", [wire.HELLO, wire.PING])
def test_remote_is_never_answered_as_a_server_would(world, frame):
    world.connect("r")
    world.heard("r")
    assert world.say("r", frame) == []
    assert world.core.counters["unexpected"] == 1


def test_tuple_crosses_the_bridge_both_ways(world):
    world.say("a", wire.HELLO)
    world.connect("r")
    world.say("r", wire.PONG)
    world.tell("a", b"from/a", b"1")
    world.tell("r", b"from/r", b"2")
    world.advance(PASS_S)
    assert tuples(world.heard("r")) == [(b"from/a", b"1")]
    assert tuples(world.heard("a")) == [(b"from/r", b"2")]


# -- values that do not agree


def test_values_that_flip_are_settled_and_then_not_listened_to(world):
    for name in "ab":
        world.say(name, wire.HELLO)
    world.tell("a", b"k", b"x")
    for _ in range(FLIPS_PER_S_MAX):
        world.tell("b", b"k", b"y")
        world.tell("a", b"k", b"x")
    world.advance(PASS_S)
    assert world.core.counters["settled"] == 1
    assert tuples(world.heard("a"))[-1] == tuples(world.heard("b"))[-1] == (b"k", b"y")
    for _ in range(100):
        world.tell("a", b"k", b"x")
        world.tell("b", b"k", b"z")
        world.advance(MUTE_S / 110)
    assert world.heard("a") == world.heard("b") == []
    world.advance(MUTE_S)
    world.tell("a", b"k", b"x")
    world.advance(PASS_S)
    assert tuples(world.heard("b")) == [(b"k", b"x")]


@pytest.mark.parametrize(("first", "second"), [(b"x", b"y"), (b"y", b"x")])
def test_values_that_may_have_crossed_are_settled_for_all(world, first, second):
    for name in "abc":
        world.say(name, wire.HELLO)
    world.tell("a", b"k", first)
    world.advance(CROSSING_S / 2)
    world.tell("b", b"k", second)
    world.advance(PASS_S)
    assert all(tuples(world.heard(name))[-1] == (b"k", b"y") for name in "abc")


@pytest.mark.parametrize("speaker", "ab")
def test_value_that_comes_later_or_from_the_same_node_stands(world, speaker):
    for name in "abc":
        world.say(name, wire.HELLO)
    world.tell("a", b"k", b"y")
    world.advance(CROSSING_S if speaker == "b" else CROSSING_S / 2)
    world.advance(0.01)
    world.tell(speaker, b"k", b"x")
    world.advance(PASS_S)
    assert tuples(world.heard("c"))[-1] == (b"k", b"x")


def test_key_is_sent_ten_times_a_second_at_most_with_its_newest_value(world):
    world.say("b", wire.HELLO)
    for number in range(8):
        world.tell("a", b"k", b"%d" % number)
        world.advance(PASS_S / 10)
    world.advance(PASS_S)
    told = tuples(world.heard("b"))
    assert len(told) <= 2
    assert told[-1] == (b"k", b"7")


def test_own_value_is_back_within_a_second_and_not_more_often(world):
    world.know({"pricing": 1})
    world.say("a", wire.HELLO)
    world.advance(PASS_S)
    world.heard("a")
    for number in range(40):
        world.tell("a", PRICING, b"forged %d" % number)
        world.advance(DISPUTE_S / 8)
    world.advance(DISPUTE_S + PASS_S)
    told = tuples(world.heard("a"))
    assert told == len(told) * [(PRICING, b"1")]
    assert 5 <= len(told) <= 7
    assert world.core.counters["disputes"] == 40


def test_key_of_an_earlier_life_is_told_to_be_gone(world):
    world.say("a", wire.HELLO)
    world.tell("a", key_of("service/old/bridge-1"), b"2")
    world.tell("a", key_of("service/older/bridge-1"), b"")
    world.tell("a", key_of("service/old/bridge-2"), b"2")
    world.advance(PASS_S)
    assert tuples(world.heard("a")) == [(key_of("service/old/bridge-1"), b"")]


def test_bridge_that_no_broker_lists_for_a_minute_is_written_over(world):
    world.say("a", wire.HELLO)
    dead = [key_of(what) for what in ("bridge/dead/http", "service/pricing/dead", "broker/b1/dead")]
    others = [key_of("bridge/alive/http"), key_of("bridge/dead/http", "other"), b"dead", b"bridge/dead/http"]
    for key in (*dead, *others):
        world.tell("a", key, b"1")
    for listed in (["alive"], ["alive"], None, ["alive"], ["alive"], ["alive"]):
        world.list_members(listed)
        world.advance(20)
        assert world.heard("a") == []
    world.list_members(["alive"])
    world.advance(20)
    assert sorted(tuples(world.heard("a"))) == sorted((key, b"") for key in dead)
    world.list_members(["alive"])
    world.advance(20)
    assert world.heard("a") == []


# -- nodes that do not read


def test_what_does_not_leave_is_sent_later_and_nothing_is_lost(world):
    world.say("a", wire.HELLO)
    world.unreachable.add("a")
    world.know({f"s{number}": 1 for number in range(50)})
    world.advance(5)
    assert world.core.counters["unsent"] <= 50 + 5 / PASS_S
    world.know({f"s{number}": 2 for number in range(50)})
    world.unreachable.clear()
    world.advance(5)
    assert dict(tuples(world.heard("a"))) == {key_of(f"service/s{number}/bridge-1"): b"2" for number in range(50)}


def test_table_is_told_in_parts_and_own_tuples_come_first(world):
    for number in range(3 * PASSED_TO_PEER_MAX):
        world.tell("b", b"k%d" % number, b"1")
    world.know({"pricing": 1})
    world.say("a", wire.HELLO)
    world.advance(PASS_S - 0.01)
    first = tuples(world.heard("a"))
    assert first[0] == (PRICING, b"1")
    assert len(first) == PASSED_TO_PEER_MAX
    world.advance(3 * PASS_S)
    assert len(tuples(world.heard("a"))) == 2 * PASSED_TO_PEER_MAX + 1


def test_one_that_floods_does_not_hold_up_others(world):
    for name in "abc":
        world.say(name, wire.HELLO)
    for number in range(2 * CHANGES_AT_ONCE_MAX):
        world.core.on_message(world.peers["a"], [wire.publish(b"flood %d" % number, b"x")], world.now)
    world.settle()
    world.tell("b", b"news", b"1")
    world.know({"pricing": 1})
    world.advance(PASS_S)
    assert (PRICING, b"1") in tuples(world.heard("c"))
    assert world.core.counters["too_many_changes"] == CHANGES_AT_ONCE_MAX
    assert world.ask(GET, b"news") == b"1"
    world.advance(5)
    assert (b"news", b"1") in tuples(world.heard("c"))


# -- members


def test_member_gets_what_nodes_have_said(world):
    world.know({"pricing": 2})
    world.tell("a", b"k", b"1")
    world.tell("a", b"empty", b"")
    assert world.offered == {GET}
    assert world.ask(GET, b"k") == b"1"
    assert world.ask(GET, PRICING) == b"2"
    for key in (b"empty", b"nobody", b"", b"x" * 1000):
        end = world.ask(GET, key)
        assert isinstance(end, ServiceError)
        assert end.code == "NOT_FOUND"


def test_service_is_offered_as_soon_as_it_may_be():
    world = World(serves=())
    world.know({})
    assert world.offered == set()
    world.member = World(serves=("zgossip.*",)).member
    world.know({})
    assert world.offered == {GET}


def test_member_publishes_below_the_prefix():
    world = World(put_prefix=b"apps/")
    world.know({})
    assert world.offered == {GET, PUT}
    world.say("a", wire.HELLO)
    world.tell("a", b"apps/x", b"theirs")
    assert world.ask(PUT, b"apps/x\0ours") == b""
    assert world.ask(GET, b"apps/x") == b"ours"
    world.advance(PASS_S)
    assert tuples(world.heard("a")) == [(b"apps/x", b"ours")]
    world.tell("a", b"apps/x", b"theirs")
    world.advance(DISPUTE_S + PASS_S)
    assert tuples(world.heard("a")) == [(b"apps/x", b"ours")]
    assert world.ask(PUT, b"apps/x\0") == b""
    world.know({})
    world.advance(PASS_S)
    assert tuples(world.heard("a")) == [(b"apps/x", b"")]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"apps/x", "INVALID_ARGUMENT"),
        (b"", "INVALID_ARGUMENT"),
        (b"\0x", "INVALID_ARGUMENT"),
        (b"apps/x\0y\0z", "INVALID_ARGUMENT"),
        (b"apps/" + b"x" * 251 + b"\0y", "INVALID_ARGUMENT"),
        (b"x\0y", "DENIED"),
        (PRICING + b"\0y", "DENIED"),
    ],
)
def test_member_cannot_publish_anything_else(payload, code):
    for prefix in (b"apps/", b"braidmq/"):
        world = World(put_prefix=prefix)
        end = world.ask(PUT, payload)
        assert isinstance(end, ServiceError)
        assert end.code == code


def test_members_publish_only_so_many_keys_at_a_time(monkeypatch):
    monkeypatch.setattr("braidmq.bridges.zgossip.own.GIVEN_MAX", 5)
    monkeypatch.setattr("braidmq.bridges.zgossip.own.GIVEN_PER_MEMBER_MAX", 3)
    world = World(put_prefix=b"apps/")
    world.know({})

    def puts(member, *tuples):
        """Return whether each is published."""
        return [world.ask(PUT, b"apps/" + each, member) == b"" for each in tuples]

    for _ in range(10):
        assert puts("shop", b"a\x001", b"a\0", b"b\x001", b"b\0") == [True] * 4
    assert puts("shop", b"a\x001", b"b\x001", b"c\x001", b"d\x001", b"a\x002") == [True, True, True, False, True]
    assert puts("mill", b"d\x001", b"e\x001", b"f\x001") == [True, True, False]
    assert puts("mill", b"a\x003", b"b\x003") == [True, False], "what a member writes over counts as its own"
    assert puts("shop", b"d\0", b"d\x002") == [True, True]
    assert world.ask(GET, b"apps/a") == b"3"


# -- the end


def test_bridge_that_drains_says_that_it_is_gone(world):
    world.know({"pricing": 2}, bridges={"zgossip": ["tcp://x:1"]})
    world.say("a", wire.HELLO)
    world.connect("r")
    world.advance(PASS_S)
    world.sent.clear()
    world.core.drain(world.now)
    assert not world.core.idle
    world.settle()
    world.know({"pricing": 3})
    world.advance(PASS_S)
    assert world.core.idle
    for name in "ar":
        assert sorted(tuples(world.heard(name))) == [(BRIDGE, b""), (PRICING, b"")]
    assert world.offered == set()


def test_bridge_that_ends_at_once_says_so_too(world):
    world.know({"pricing": 2})
    world.say("a", wire.HELLO)
    world.advance(0)
    world.heard("a")
    world.core.end(world.now)
    world.settle()
    assert tuples(world.heard("a")) == [(PRICING, b"")]


def test_drain_does_not_wait_for_who_does_not_read(world):
    world.know({"pricing": 2})
    world.say("a", wire.HELLO)
    world.unreachable.add("a")
    world.core.drain(world.now)
    world.settle()
    world.advance(2 * PASS_S)
    assert world.core.idle
