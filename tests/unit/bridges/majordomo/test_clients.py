"""Clients of Majordomo call services of the net."""

import msgspec
import pytest

from braidmq.bridges.limits import CALLS_PER_PEER_MAX, FRAMES_MAX
from braidmq.bridges.majordomo import unanswered
from braidmq.bridges.majordomo.unanswered import COPY_S_MAX
from braidmq.errors import AccessDenied, BraidError, DeadlineExceeded, NoBroker, NoWorker, ServiceError

OLD = (b"", b"MDPC01")
RFC = (b"MDPC02", b"\x01")
TOMO = (b"", b"MDPC02", b"\x02")


def test_reply_names_the_service_and_has_a_body(net):
    net.services["pricing"] = b"42"
    assert net.say("c", *OLD, b"pricing", b"14") == [[*OLD, b"pricing", b"42"]]
    net.services["pricing"] = b""
    assert net.say("c", *OLD, b"pricing", b"14") == [[*OLD, b"pricing", b""]]
    assert net.core.idle
    assert net.core.counters["replies"] == 2


def test_each_request_of_one_connection_is_answered_in_its_own_dialect(net):
    net.services["pricing"] = b"42"
    assert net.say("c", *RFC, b"pricing", b"14") == [[b"MDPC02", b"\x03", b"pricing", b"42"]]
    assert net.say("c", *TOMO, b"pricing", b"14") == [[b"", b"MDPC02", b"\x04", b"42"]]
    assert net.say("d", *OLD, b"pricing", b"14") == [[*OLD, b"pricing", b"42"]]


def test_call_is_the_bridges_and_says_so(net):
    net.services["pricing"] = None
    net.say("c", *OLD, b"pricing", b"14")
    net.peer("d", user="shop", member="shop")
    net.say("d", *OLD, b"pricing", b"15")
    own, shops = net.calls.values()
    assert (own.member, own.service, own.payload, own.timeout_s) == ("", "pricing", b"14", 30.0)
    assert own.headers == {"via": "majordomo"}
    assert not own.possible_duplicate
    assert own.wait
    assert (shops.member, shops.headers) == ("shop", {"via": "majordomo:shop"})


def test_time_of_a_call_is_the_services_or_the_bridges(make_net):
    net = make_net(timeout_s=7, services={"slow.*": {"timeout_s": 60}, "slow.a": {}, "slow.bb*": {"timeout_s": 5}})
    for name in ("pricing", "slow.b", "slow.a", "slow.bb", "slow.bbc"):
        net.services[name] = None
        net.say("c", *OLD, name.encode(), b"14")
    assert [call.timeout_s for call in net.calls.values()] == [7, 60, 7, 5, 5]


@pytest.mark.parametrize(
    "frames",
    [
        [*OLD, b"pricing"], [*OLD, b"", b"14"], [*OLD, b"a b", b"14"], [*OLD, b"x" * 300, b"14"],
        [*OLD, b"\xff", b"14"],
        [*RFC, b"pricing"], [*TOMO, b"pricing"], [*OLD, b"*", b"14"], [*OLD, b"mmi.service"],
    ],
)  # fmt: skip
def test_request_that_cannot_be_one_is_dropped(net, frames):
    net.services["pricing"] = b"42"
    assert net.say("c", *frames) == []
    assert net.core.counters["dropped"] == 1
    assert net.core.counters["requests"] == 0


@pytest.mark.parametrize(
    "error", [NoWorker("n"), NoBroker("b"), DeadlineExceeded("d"), ServiceError("INVALID", "i"), BraidError("x")]
)
def test_error_is_silence(net, error):
    net.services["pricing"] = error
    assert net.say("c", *OLD, b"pricing", b"14") == []
    assert net.core.idle
    assert net.core.counters["errors"] == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoWorker("why"), b"NO_WORKER"),
        (AccessDenied("why"), b"DENIED"),
        (BraidError("why"), b"UNAVAILABLE"),
        (ServiceError("MINE", "why"), b"MINE"),
    ],
)
def test_error_is_told_where_that_is_wanted(make_net, error, code):
    net = make_net(services={"pricing": {"error_frames": True}})
    net.services["pricing"] = error
    [[*front, mark, told, text]] = net.say("c", *OLD, b"pricing", b"14")
    assert (front, mark, told) == ([*OLD, b"pricing"], b"$braidmq", code)
    assert text.endswith(b"why")


def test_request_waits_for_a_worker_unless_it_is_not_to(make_net):
    net = make_net(services={"hasty": {"wait": False, "error_frames": True}})
    assert net.say("c", *OLD, b"hasty", b"14")[0][4] == b"NO_WORKER"
    assert net.say("c", *OLD, b"pricing", b"14") == []
    net.say("w", b"", b"MDPW01", b"\x01", b"pricing")
    [(_, frames)] = net.sent[1:]
    net.say("w", b"", b"MDPW01", b"\x03", frames[3], b"", b"42")
    assert net.sent[-1] == ("c", [*OLD, b"pricing", b"42"])


# -- frames


def test_several_frames_are_no_payload_unless_that_is_wanted(make_net):
    net = make_net(services={"pricing": {"error_frames": True}})
    net.services["pricing"] = b"42"
    [[*_, code, text]] = net.say("c", *OLD, b"pricing", b"14", b"blue")
    assert code == b"INVALID"
    assert b"msgpack" in text
    assert net.peer("c").refused == 1
    assert net.core.counters["copies"] == 0


def test_frames_are_an_array_however_many_there_are(make_net):
    net = make_net(services={"pricing": {"frames": "msgpack"}})
    net.services["pricing"] = None
    net.say("c", *OLD, b"pricing", b"14", b"", b"blue")
    net.say("c", *OLD, b"pricing", b"14")
    first, second = (msgspec.msgpack.decode(call.payload) for call in net.calls.values())
    assert (first, second) == ([b"14", b"", b"blue"], [b"14"])
    net.answer(1, msgspec.msgpack.encode([b"4", b"2"]))
    net.answer(2, msgspec.msgpack.encode([]))
    assert net.heard("c") == [[*OLD, b"pricing", b"4", b"2"], [*OLD, b"pricing", b""]]


@pytest.mark.parametrize("payload", [b"42", b"", msgspec.msgpack.encode(["4"]), b"\x91", b"\xc4\x01" * 9])
def test_reply_that_is_no_array_is_one_frame(make_net, payload):
    net = make_net(services={"pricing": {"frames": "msgpack"}})
    net.services["pricing"] = payload
    assert net.say("c", *OLD, b"pricing", b"14") == [[*OLD, b"pricing", payload]]


def test_array_of_too_many_frames_is_one_frame(make_net):
    net = make_net(services={"pricing": {"frames": "msgpack"}})
    for count, frames in ((FRAMES_MAX, FRAMES_MAX), (FRAMES_MAX + 1, 1)):
        net.services["pricing"] = msgspec.msgpack.encode([b""] * count)
        [reply] = net.say("c", *OLD, b"pricing", b"14")
        assert len(reply) - 3 == frames


# -- several at once


def test_replies_come_as_calls_end(net):
    net.services["pricing"] = None
    for each in (b"1", b"2", b"3"):
        net.say("c", *OLD, b"pricing", each)
    for number, reply in ((2, b"b"), (3, b"c"), (1, b"a")):
        net.answer(number, reply)
    assert [frames[-1] for frames in net.heard("c")] == [b"b", b"c", b"a"]


def test_replies_come_in_order_where_that_is_wanted(make_net):
    net = make_net(ordered=True)
    net.services["pricing"] = None
    for each in (b"1", b"2", b"3", b"4"):
        net.say("c", *OLD, b"pricing", each)
    net.say("d", *OLD, b"pricing", b"5")
    for number, reply in ((5, b"e"), (3, b"c"), (2, NoWorker("n"))):
        net.answer(number, reply)
    assert net.sent == [("d", [*OLD, b"pricing", b"e"])]
    net.answer(1, b"a")
    assert [frames[-1] for frames in net.heard("c")] == [b"a", b"c"]
    net.close("c")
    assert net.cancelled == [4]


def test_peer_has_only_so_many_calls(net):
    net.services["pricing"] = None
    for _ in range(CALLS_PER_PEER_MAX + 3):
        net.say("c", *OLD, b"pricing", b"14")
    net.say("d", *OLD, b"pricing", b"14")
    assert len(net.calls) == CALLS_PER_PEER_MAX + 1
    assert net.core.counters["dropped"] == 3


@pytest.mark.parametrize("ordered", [False, True])
def test_peer_has_only_so_many_bytes_in_calls(make_net, monkeypatch, ordered):
    monkeypatch.setattr("braidmq.bridges.majordomo.clients.CALLS_BYTES_PER_PEER_MAX", 1_000)
    net = make_net(ordered=ordered, services={"pricing": {"frames": "msgpack"}})
    net.services["pricing"] = None
    net.say("c", *OLD, b"pricing", b"x" * 1_001)
    net.say("c", *OLD, b"pricing", b"14")
    assert len(net.calls) == 1, "one call may be larger, but is alone"
    net.answer(1, b"42")
    for _ in range(3):
        net.say("c", *OLD, b"pricing", b"x" * 300, b"x" * 200)
        net.say("d", *OLD, b"pricing", b"x" * 10)
    assert len(net.calls) == 2 + 3
    assert net.core.counters["dropped"] == 2
    net.answer(next(iter(net.calls)), b"42")
    net.say("c", *OLD, b"pricing", b"x" * 500)
    net.close("c")
    net.say("c", *OLD, b"pricing", b"x" * 1_000)
    assert net.core.counters["dropped"] == 2


# -- copies


def test_copy_over_another_connection_is_marked(net):
    net.services["pricing"] = None
    net.say("c", *OLD, b"pricing", b"14")
    net.close("c")
    assert net.cancelled == [1]
    net.say("d", *OLD, b"pricing", b"15")
    net.say("d", *OLD, b"other", b"14")
    net.say("d", *OLD, b"pricing", b"1", b"4")
    net.peer("e", host="127.0.0.2")
    net.say("e", *OLD, b"pricing", b"14")
    assert not any(call.possible_duplicate for call in net.calls.values())
    net.say("d", *OLD, b"pricing", b"14")
    assert list(net.calls.values())[-1].possible_duplicate
    assert net.core.counters["copies"] == 1


def test_third_copy_is_marked_as_well(net):
    net.services["pricing"] = None
    for name in ("c", "d", "e"):
        net.say(name, *OLD, b"pricing", b"14")
        net.advance(COPY_S_MAX - 1)
        net.close(name)
    net.say("f", *OLD, b"pricing", b"14")
    assert net.calls.popitem()[1].possible_duplicate


def test_request_that_comes_late_is_no_copy(net):
    net.services["pricing"] = None
    net.say("c", *OLD, b"pricing", b"14")
    net.close("c")
    net.advance(COPY_S_MAX + 1)
    net.say("d", *OLD, b"pricing", b"14")
    assert not net.calls[2].possible_duplicate


@pytest.mark.parametrize(("maybe", "marked"), [(True, True), (False, False)])
def test_request_that_ended_in_silence_has_copies_if_it_may_have_run(net, maybe, marked):
    net.services["pricing"] = DeadlineExceeded("late", maybe_executed=maybe)
    net.say("c", *OLD, b"pricing", b"14")
    net.close("c")
    net.services["pricing"] = None
    net.say("d", *OLD, b"pricing", b"14")
    assert net.calls[2].possible_duplicate is marked


@pytest.mark.parametrize("maybe", [True, False])
def test_request_that_ended_in_an_error_that_is_told_has_copies_if_it_may_have_run(make_net, maybe):
    net = make_net(services={"pricing": {"error_frames": True}})
    net.services["pricing"] = DeadlineExceeded("late", maybe_executed=maybe)
    assert net.say("c", *OLD, b"pricing", b"14")[0][4] == b"DEADLINE"
    net.services["pricing"] = None
    net.say("c", *OLD, b"pricing", b"14")
    assert net.calls.popitem()[1].possible_duplicate is maybe


def test_request_that_was_answered_has_no_copies(net):
    net.services["pricing"] = b"42"
    net.say("c", *OLD, b"pricing", b"14")
    net.close("c")
    net.services["pricing"] = None
    net.say("d", *OLD, b"pricing", b"14")
    assert not net.calls[2].possible_duplicate


def test_only_so_many_are_remembered(net, monkeypatch):
    monkeypatch.setattr(unanswered, "UNANSWERED_MAX", 2)
    net.services["pricing"] = None
    for each in (b"1", b"2", b"3"):
        net.say("c", *OLD, b"pricing", each)
    net.close("c")
    for each in (b"1", b"2", b"3"):
        net.say("d", *OLD, b"pricing", each)
    assert [call.possible_duplicate for call in net.calls.values()] == [False, True, True]


# -- mmi


def test_mmi_tells_which_services_there_are(net):
    net.tell_services("pricing", "stock")
    assert net.say("c", *OLD, b"mmi.service", b"pricing") == [[*OLD, b"mmi.service", b"200"]]
    assert net.say("c", *OLD, b"mmi.service", b"other") == [[*OLD, b"mmi.service", b"404"]]
    assert net.say("c", *OLD, b"mmi.service", b"other", b"stock") == [[*OLD, b"mmi.service", b"other", b"200"]]
    assert net.say("c", *RFC, b"mmi.service", b"stock") == [[b"MDPC02", b"\x03", b"mmi.service", b"200"]]
    assert net.say("c", *TOMO, b"mmi.service", b"\xff") == [[b"", b"MDPC02", b"\x04", b"404"]]
    assert net.say("c", *OLD, b"mmi.echo", b"x") == [[*OLD, b"mmi.echo", b"501"]]
    net.tell_services("stock")
    assert net.say("c", *OLD, b"mmi.service", b"pricing") == [[*OLD, b"mmi.service", b"404"]]
    assert net.calls == {}


def test_mmi_tells_of_foreign_workers_while_they_are_there(net):
    net.say("w", b"", b"MDPW01", b"\x01", b"mdp.echo")
    assert net.say("c", *OLD, b"mmi.service", b"mdp.echo") == [[*OLD, b"mmi.service", b"200"]]
    net.close("w")
    assert net.say("c", *OLD, b"mmi.service", b"mdp.echo") == [[*OLD, b"mmi.service", b"404"]]


def test_mmi_tells_nothing_of_what_may_not_be_called(net):
    net.members["poor"] = type(net.members[""])("poor", net.members[""].role, calls=("stock",))
    net.tell_services("pricing", "stock", member="poor")
    net.peer("c", user="poor", member="poor")
    assert net.say("c", *OLD, b"mmi.service", b"pricing")[0][-1] == b"404"
    assert net.say("c", *OLD, b"mmi.service", b"stock")[0][-1] == b"200"


# -- the end


def test_bridge_that_drains_answers_what_it_has_and_takes_nothing_new(net):
    net.services["pricing"] = None
    net.say("c", *OLD, b"pricing", b"14")
    net.core.drain(net.now)
    assert not net.core.idle
    net.say("c", *OLD, b"pricing", b"15")
    net.answer(1, b"42")
    assert net.heard("c") == [[*OLD, b"pricing", b"42"]]
    assert net.core.idle


def test_reply_that_cannot_be_sent_harms_nobody(net):
    net.services["pricing"] = b"42"
    net.unreachable.add("c")
    assert net.say("c", *OLD, b"pricing", b"14") == []
    assert net.core.counters["unsent"] == 1
    assert len(net.say("d", *OLD, b"pricing", b"14")) == 1


def test_each_request_beyond_what_a_client_may_have_under_way_is_noted(net):
    net.services["pricing"] = None
    peer = net.peer("c")
    for _ in range(CALLS_PER_PEER_MAX):
        net.say("c", *OLD, b"pricing", b"14")
    assert peer.refused == 0
    for count in (1, 2):
        net.say("c", *OLD, b"pricing", b"14")
        assert peer.refused == count
    net.answer(next(iter(net.calls)), b"42")
    net.say("c", *OLD, b"pricing", b"14")
    assert peer.refused == 2


def test_each_message_that_nothing_can_be_made_of_is_noted(net):
    for frames in ([b"garbage"], [b"", b"MDPC01", b"pricing"], [b"", b"MDPW01", b"\x09"]):
        before = net.peer("c").refused
        net.say("c", *frames)
        assert net.peer("c").refused == before + 1
