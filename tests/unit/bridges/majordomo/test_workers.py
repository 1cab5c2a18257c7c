"""Workers of Majordomo serve callers of the net."""

import msgspec
import pytest

from braidmq.bridges.limits import HELD_PER_PEER_MAX, PEERS_MAX
from braidmq.bridges.majordomo.workers import DENIED_S, HEARTBEAT_S, IN_VAIN_S_MAX, PARTS_MAX, SILENCE_S_MAX
from braidmq.bridges.port import Unfinished
from braidmq.errors import ServiceError
from braidmq.members import Member, Role
from tests.support.foreign_net import JOB_S

OLD, NEW = (b"", b"MDPW01"), (b"", b"MDPW02")
READY = b"\x01"


def register(net, name, service=b"mdp.echo", front=OLD):
    assert net.say(name, *front, READY, service) == []


def request_of(net, name):
    """The token and the body of the one request that a worker has got."""
    [[*_, command, token, empty, body]] = [each for each in net.heard(name) if len(each) > 3]
    assert (command, empty) == (b"\x02", b"")
    return token, body


def reply(net, name, token, *body, front=OLD, command=None):
    return net.say(name, *front, command or (b"\x03" if front == OLD else b"\x04"), token, b"", *body)


@pytest.mark.parametrize("front", [OLD, NEW, NEW[1:]], ids=["0.1", "majortomo", "RFC 18"])
def test_worker_serves_one_job_after_the_other(net, front):
    register(net, "w", front=front)
    assert net.offers == {("", "mdp.echo"): 1}
    first = net.job("mdp.echo", b"14")
    [[*_, command, token, empty, body]] = net.heard("w")
    assert (command, empty, body) == (b"\x02", b"", b"14")
    second = net.job("mdp.echo", b"15")
    assert net.heard("w") == []
    reply(net, "w", token, b"42", front=front)
    assert net.finished == {first: b"42"}
    token, body = request_of(net, "w")
    assert body == b"15"
    reply(net, "w", token, front=front)
    assert net.finished[second] == b""
    assert net.core.idle


def test_who_was_idle_for_longest_is_next(net):
    for name in "abc":
        register(net, name)
    assert net.offers == {("", "mdp.echo"): 3}
    order = []
    for _ in range(5):
        net.job("mdp.echo")
        [(name, frames)] = net.sent
        net.sent.clear()
        order.append(name)
        reply(net, name, frames[3], b"42")
    assert order == [*"abcab"]


def test_services_and_members_are_kept_apart(net):
    net.members["shop"] = Member("shop", Role.NODE, serves=("mdp.*",))
    net.peer("s", user="shop", member="shop")
    register(net, "s")
    register(net, "o", b"other")
    assert net.offers == {("shop", "mdp.echo"): 1, ("", "other"): 1}
    number = net.job("mdp.echo")
    assert net.finished == {number: Unfinished.NOT_RUN}
    net.job("mdp.echo", b"14", member="shop")
    assert request_of(net, "s")[1] == b"14"


# -- frames


def test_array_travels_as_frames_and_frames_as_an_array(make_net):
    net = make_net(services={"mdp.echo": {"frames": "msgpack"}})
    register(net, "w")
    number = net.job("mdp.echo", msgspec.msgpack.encode([b"14", b"blue"]))
    [frames] = net.heard("w")
    assert frames[4:] == [b"", b"14", b"blue"]
    reply(net, "w", frames[3], b"4", b"2")
    assert net.finished[number] == msgspec.msgpack.encode([b"4", b"2"])
    number = net.job("mdp.echo", b"no array")
    assert net.finished[number].code == "INVALID"
    number = net.job("mdp.echo", msgspec.msgpack.encode([]))
    [frames] = net.heard("w")
    assert frames[4:] == [b"", b""], "a worker needs a body"


def test_several_frames_are_no_reply_unless_that_is_wanted(net):
    register(net, "w")
    number = net.job("mdp.echo")
    token, _ = request_of(net, "w")
    reply(net, "w", token, b"4", b"2")
    assert net.finished[number].code == "INVALID"


def test_parts_of_a_reply_are_one_array(net):
    register(net, "w", front=NEW)
    number = net.job("mdp.echo")
    token, _ = request_of(net, "w")
    for part in (b"1", b"2"):
        reply(net, "w", token, part, front=NEW, command=b"\x03")
    assert net.finished == {}
    reply(net, "w", token, b"3", b"4", front=NEW)
    assert net.finished == {number: msgspec.msgpack.encode([b"1", b"2", b"3", b"4"])}
    number = net.job("mdp.echo")
    token, _ = request_of(net, "w")
    reply(net, "w", token, b"alone", front=NEW)
    assert net.finished[number] == b"alone"


@pytest.mark.parametrize(("part", "count"), [(b"", PARTS_MAX + 1), (b"x" * 60_000, 2)])
def test_parts_have_a_limit(net, part, count):
    register(net, "w", front=NEW)
    number = net.job("mdp.echo")
    token, _ = request_of(net, "w")
    for _ in range(count):
        reply(net, "w", token, part, front=NEW, command=b"\x03")
    assert net.finished[number].code == "TOO_LARGE"
    waits = net.job("mdp.echo", b"next")
    assert net.heard("w") == [], "it is busy until it says that it is not"
    reply(net, "w", token, b"end", front=NEW)
    assert request_of(net, "w")[1] == b"next"
    assert waits not in net.finished


# -- what workers may not do


@pytest.mark.parametrize("service", [b"mmi.x", b"a b", b"x" * 300, b"", b"\xff", b"pricing:gate-rpc service:5000"])
def test_service_that_cannot_be_one_is_denied_after_a_while(net, service):
    assert net.say("w", *OLD, READY, service) == []
    for _ in range(4):
        net.advance(1.0)
        assert net.say("w", *OLD, b"\x04") == [], "a DISCONNECT would bring the next READY at once"
        assert net.say("w", *OLD, READY, service) == []
    net.advance(DENIED_S)
    assert net.heard("w") == [[*OLD, b"\x05"]]
    assert net.offers == {}
    assert net.core.counters["denied"] == 1
    assert net.core.next_deadline() is None


def test_service_that_the_member_may_not_provide_is_denied_until_it_may(net):
    net.members[""] = Member("bridge-1", Role.NODE, serves=("mdp.*",))
    assert net.say("w", *OLD, READY, b"pricing") == []
    assert net.offers == {}
    net.members[""] = Member("bridge-1", Role.NODE, serves=("mdp.*", "pricing"))
    register(net, "w", b"pricing")
    assert net.offers == {("", "pricing"): 1}
    net.advance(DENIED_S + HEARTBEAT_S)
    assert all(frames == [*OLD, b"\x04"] for frames in net.heard("w"))


def test_service_that_brokers_refuse_is_denied_after_a_while(net):
    register(net, "v")
    register(net, "w")
    running, waiting = net.job("mdp.echo"), [net.job("mdp.echo") for _ in range(2)]
    net.sent.clear()
    net.offers.clear()
    net.core.on_refused("", "mdp.echo", net.now)
    net.offers = {("", "mdp.echo"): 1}
    net.settle()
    assert net.offers == {}
    assert net.finished == {running: Unfinished.UNKNOWN, waiting[0]: Unfinished.UNKNOWN, waiting[1]: Unfinished.NOT_RUN}
    assert net.heard("w") == []
    net.advance(DENIED_S + HEARTBEAT_S)
    assert net.heard("w") == [[*OLD, b"\x05"]]


def test_second_ready_ends_a_registration(net):
    register(net, "w")
    number = net.job("mdp.echo")
    net.sent.clear()
    assert net.say("w", *OLD, READY, b"mdp.echo") == [[*OLD, b"\x05"]]
    assert net.finished == {number: Unfinished.UNKNOWN}
    assert net.withdrawn == ["mdp.echo"]


@pytest.mark.parametrize(
    ("frames", "answer"),
    [
        ([*OLD, b"\x04"], [*OLD, b"\x05"]),
        ([*OLD, b"\x03", b"token", b"", b"1"], [*OLD, b"\x05"]),
        ([*OLD, b"\x03"], [*OLD, b"\x05"]),
        ([*NEW, b"\x05"], [*NEW, b"\x06"]),
        ([*NEW, b"\x03", b"token", b"", b"1"], [*NEW, b"\x06"]),
        ([*NEW[1:], b"\x05"], [*NEW[1:], b"\x06"]),
        ([*OLD, b"\x05"], None),
        ([*NEW, b"\x06"], None),
        ([*OLD, b"\t"], None),
        ([*OLD, b"\x02", b"token", b"", b"1"], None),
    ],
)
def test_stranger_is_told_to_register(net, frames, answer):
    assert net.say("w", *frames) == ([] if answer is None else [answer])


def test_reply_counts_only_with_the_token_of_the_workers_own_request(net):
    for name in "vw":
        register(net, name)
    first, _ = net.job("mdp.echo", b"1"), net.job("mdp.echo", b"2")
    tokens = {name: frames[3] for name, frames in net.sent}
    net.sent.clear()
    for token, empty in ((tokens["w"], b""), (b"", b""), (b"nothing", b""), (tokens["v"], b"no empty frame")):
        assert net.say("v", *OLD, b"\x03", token, empty, b"forged") == []
    assert net.say("v", *OLD, b"\x03", tokens["v"]) == []
    assert net.finished == {}
    assert net.core.counters["dropped"] == 5
    reply(net, "v", tokens["v"], b"1")
    reply(net, "v", tokens["v"], b"again")
    assert net.finished == {first: b"1"}


def test_worker_that_changes_its_dialect_is_not_heard(net):
    register(net, "w")
    assert net.say("w", *NEW, READY, b"mdp.echo") == []
    assert net.offers == {("", "mdp.echo"): 1}
    assert net.core.counters["dropped"] == 1


def test_worker_of_libmdp_is_turned_away_at_its_first_heartbeat(net):
    register(net, "l", front=NEW)
    lost, waits = net.job("mdp.echo"), net.job("mdp.echo")
    token, _ = request_of(net, "l")
    assert net.say("l", *NEW, b"\x03", token, b"", b"its REPLY is another's PARTIAL") == []
    assert net.say("l", *NEW, b"\x04") == [[*NEW, b"\x06"]]
    assert net.finished == {lost: Unfinished.UNKNOWN, waits: Unfinished.NOT_RUN}
    assert net.offers == {}
    assert net.say("l", *NEW, READY, b"mdp.echo") == net.say("l", *NEW, b"\x04") == []
    net.advance(60.0)
    assert net.offers == {}
    net.close("l")
    register(net, "l", front=NEW)
    assert net.offers == {("", "mdp.echo"): 1}


@pytest.mark.parametrize(("front", "final"), [(OLD, b"\x03"), (NEW[1:], b"\x04")])
def test_reply_without_frames_is_dropped_where_it_is_no_heartbeat_of_libmdp(net, front, final):
    register(net, "w", front=front)
    assert net.say("w", *front, final) == []
    assert net.offers == {("", "mdp.echo"): 1}
    assert net.core.counters["dropped"] == 1


# -- the ends of workers and of jobs


@pytest.mark.parametrize("end", ["gone", "disconnect", "silent"])
def test_job_of_a_worker_that_ends_may_have_been_run(net, end):
    register(net, "w")
    running = net.job("mdp.echo")
    waiting = net.job("mdp.echo")
    if end == "gone":
        net.close("w")
    elif end == "disconnect":
        net.say("w", *OLD, b"\x05")
    else:
        net.advance(JOB_S + SILENCE_S_MAX + 2 * HEARTBEAT_S)
        assert net.heard("w")[-1] == [*OLD, b"\x05"]
    assert net.finished == {running: Unfinished.UNKNOWN, waiting: Unfinished.NOT_RUN}
    assert net.offers == {}


def test_job_that_a_worker_certainly_never_got_goes_to_another(net):
    for name in "vw":
        register(net, name)
    net.unreachable.add("v")
    number = net.job("mdp.echo", b"14")
    token, body = request_of(net, "w")
    assert body == b"14"
    assert net.offers == {("", "mdp.echo"): 1}
    reply(net, "w", token, b"42")
    assert net.finished == {number: b"42"}
    net.unreachable.add("w")
    number = net.job("mdp.echo")
    assert net.finished[number] is Unfinished.NOT_RUN
    assert net.offers == {}


def test_worker_that_a_heartbeat_does_not_reach_is_gone(net):
    register(net, "w")
    number = net.job("mdp.echo")
    net.unreachable.add("w")
    net.advance(HEARTBEAT_S + 0.1)
    assert net.finished == {number: Unfinished.UNKNOWN}


def test_worker_is_busy_until_it_answers_even_if_nobody_waits(net):
    for name in "vw":
        register(net, name)
    net.job("mdp.echo")
    [(name, frames)] = net.sent
    net.drop(1)
    assert net.offers == {("", "mdp.echo"): 1}
    net.job("mdp.echo")
    other = net.sent[-1][0]
    assert other != name
    waits = net.job("mdp.echo", b"third")
    net.sent.clear()
    reply(net, name, frames[3], b"too late")
    assert net.core.counters["late"] == 1
    assert request_of(net, name)[1] == b"third"
    assert net.offers == {("", "mdp.echo"): 2}
    assert waits not in net.finished


def test_job_that_waits_may_be_dropped(net):
    register(net, "w")
    net.job("mdp.echo", b"1")
    token, _ = request_of(net, "w")
    net.drop(net.job("mdp.echo", b"2"))
    net.job("mdp.echo", b"3")
    reply(net, "w", token, b"1")
    assert request_of(net, "w")[1] == b"3"


def test_only_so_many_jobs_wait(net):
    register(net, "w")
    numbers = [net.job("mdp.echo") for _ in range(HELD_PER_PEER_MAX + 2)]
    assert net.finished == {numbers[-1]: Unfinished.NOT_RUN}


def test_only_so_many_register(make_net):
    net = make_net()
    for number in range(PEERS_MAX):
        net.core.on_message(net.peer(f"w{number}"), [*OLD, READY, b"mdp.echo" if number % 2 else b"mmi.x"], net.now)
    net.settle()
    net.say("one more", *OLD, READY, b"mdp.echo")
    assert net.core.counters["dropped"] == 1
    net.close("w0")
    net.say("one more", *OLD, READY, b"mdp.echo")
    assert net.offers == {("", "mdp.echo"): PEERS_MAX // 2 + 1}


def test_flagged_request_is_delivered_unless_it_is_to_be_refused(make_net):
    net = make_net(services={"strict": {"duplicates": "refuse"}})
    register(net, "w", b"strict")
    register(net, "v", b"mdp.echo")
    number = net.job("strict", duplicate=True)
    assert isinstance(net.finished[number], ServiceError)
    assert net.finished[number].code == "POSSIBLE_DUPLICATE"
    net.job("mdp.echo", duplicate=True)
    assert request_of(net, "v")
    net.job("strict")
    assert request_of(net, "w")


# -- heartbeats


def test_every_worker_hears_a_heartbeat_each_second_busy_or_not(net):
    register(net, "w")
    register(net, "v", front=NEW)
    net.job("mdp.echo")
    net.sent.clear()
    for _ in range(30):
        net.advance(1.0)
        for name, front, number in (("w", OLD, b"\x04"), ("v", NEW, b"\x05")):
            assert [frames for told, frames in net.sent if told == name] == [[*front, number]]
            assert net.say(name, *front, number) == []
        net.sent.clear()
    assert net.offers == {("", "mdp.echo"): 2}


def test_idle_worker_that_is_silent_is_told_to_register(net):
    register(net, "w")
    net.advance(SILENCE_S_MAX - 0.1)
    assert net.offers
    net.advance(2 * HEARTBEAT_S)
    assert net.heard("w")[-1] == [*OLD, b"\x05"]
    assert net.withdrawn == ["mdp.echo"]
    assert net.core.next_deadline() is None


def test_busy_worker_may_be_silent_until_its_deadline(net):
    register(net, "w")
    number = net.job("mdp.echo")
    token, _ = request_of(net, "w")
    net.advance(JOB_S)
    net.drop(number)
    net.advance(SILENCE_S_MAX - 1.0)
    assert net.offers
    reply(net, "w", token, b"late")
    net.advance(SILENCE_S_MAX - 1.0)
    assert net.offers


def test_nothing_waits_for_workers_that_are_all_busy_in_vain_for_too_long(net):
    for name in "vw":
        register(net, name)
    for number in net.job("mdp.echo"), net.job("mdp.echo"):
        net.drop(number)
    tokens = {name: frames[3] for name, frames in net.sent}

    def live(seconds):
        for _ in range(int(seconds)):
            net.advance(1.0)
            for name in net.peers:
                net.say(name, *OLD, b"\x04")

    live(JOB_S + IN_VAIN_S_MAX - 1.0)
    waits = net.job("mdp.echo")
    assert net.finished == {}, "they may answer, and then serve it"
    live(2.0)
    assert net.finished == {waits: Unfinished.NOT_RUN}
    assert net.offers == {}
    assert net.finished[net.job("mdp.echo")] is Unfinished.NOT_RUN
    reply(net, "v", tokens["v"], b"late")
    assert net.offers == {("", "mdp.echo"): 1}
    running, waits = net.job("mdp.echo"), net.job("mdp.echo", b"next")
    net.say("v", *OLD, b"\x05")
    assert net.finished[running] is Unfinished.UNKNOWN
    assert net.finished[waits] is Unfinished.NOT_RUN, "only one is left, and is stuck"
    assert net.offers == {}


# -- the end


def test_bridge_that_drains_waits_for_what_runs_and_then_sends_workers_away(net):
    for name in "vw":
        register(net, name)
    running = net.job("mdp.echo")
    [(name, frames)] = net.sent
    net.core.drain(net.now)
    net.settle()
    assert net.offers == {}
    number = net.job("mdp.echo")
    assert net.finished == {number: Unfinished.NOT_RUN}
    net.say("late", *OLD, READY, b"mdp.echo")
    assert net.offers == {}
    net.advance(1.5)
    net.sent.clear()
    assert not net.core.idle
    reply(net, name, frames[3], b"42")
    assert net.finished[running] == b"42"
    assert net.core.idle
    net.core.end(net.now)
    net.settle()
    assert sorted(net.sent) == [("v", [*OLD, b"\x05"]), ("w", [*OLD, b"\x05"])]


# -- how long it takes


def test_majortomos_worker_is_registered_within_a_second_after_the_bridge_has_restarted(net):
    """It sends a HEARTBEAT each half a second, and READY when it is told DISCONNECT."""
    register(net, "w", front=NEW)
    net.close("w")
    net.restart()
    for _ in range(2):
        net.advance(0.5)
        if net.say("w", *NEW, b"\x05") == [[*NEW, b"\x06"]]:
            net.say("w", *NEW, READY, b"mdp.echo")
    assert net.offers == {("", "mdp.echo"): 1}


def test_request_of_a_worker_that_is_killed_is_given_back_in_the_same_moment(net):
    for name in "vw":
        register(net, name)
    lost = net.job("mdp.echo", b"14")
    killed_at = net.now
    net.close(net.sent[-1][0])
    assert net.finished == {lost: Unfinished.UNKNOWN}
    again = net.job("mdp.echo", b"14", duplicate=True)
    (heir,) = net.peers
    token, body = request_of(net, heir)
    reply(net, heir, token, body)
    assert net.finished[again] == b"14"
    assert net.now == killed_at


def test_status_of_a_service_changes_in_the_moment_in_which_its_last_worker_is_gone(net):
    for name in "vw":
        register(net, name)
    ask = (b"", b"MDPC01", b"mmi.service", b"mdp.echo")
    gone_at = net.now
    net.close("v")
    assert net.say("c", *ask)[0][-1] == b"200"
    net.close("w")
    assert net.say("c", *ask)[0][-1] == b"404"
    assert net.now == gone_at
