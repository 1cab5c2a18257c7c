"""Malamute workers that serve callers of the net."""

import pytest

from braidmq.bridges.limits import HELD_PER_PEER_MAX
from braidmq.bridges.malamute import limits
from braidmq.bridges.port import Unfinished
from braidmq.errors import ServiceError
from braidmq.members import Member, Role
from tests.support.malamute import CLOSE, OK, PING, PONG, delivered, heard, mail_to, offer, opening


def worker(net, name, *patterns, service=b"mlm.echo"):
    assert net.say(name, *opening(name.encode())) == [OK]
    for pattern in patterns or (b".*",):
        assert net.say(name, *offer(service, pattern)) == [OK]
    net.heard(name)


def deliveries(net, name):
    return [delivered(frames) for frames in net.heard(name) if frames != PONG]


def test_job_is_delivered_and_answered(net):
    worker(net, "w")
    job = net.job("mlm.echo", b"14", headers={"subject": "price", "tracker": "t-1"})
    (said,) = deliveries(net, "w")
    caller, _, token = said.sender.partition(b"/")
    assert (caller, len(token)) == (b"shop", 16)
    assert (said.address, said.subject, said.tracker, said.content) == (b"mlm.echo", b"price", b"t-1", [b"14"])
    assert net.say("w", *mail_to(said.sender, b"42", subject=b"anything", tracker=b"")) == []
    assert net.finished == {job: b"42"}
    assert net.core.counters["answers"] == 1


@pytest.mark.parametrize(
    ("headers", "subject", "tracker"),
    [
        ({}, b"call", None),
        ({"subject": "", "tracker": ""}, b"call", None),
        ({"subject": "s" * 300, "tracker": "t" * 255}, b"s" * 255, b"t" * 255),
        ({"subject": "é" * 200, "tracker": "t" * 256}, "é".encode() * 127, None),
    ],
)
def test_what_a_call_does_not_say_is_filled_in(net, headers, subject, tracker):
    worker(net, "w")
    net.job("mlm.echo", headers=headers)
    (said,) = deliveries(net, "w")
    assert (said.subject, said.tracker) == (subject, tracker or said.sender[-16:])


class TestOffers:
    def test_offers_add_up_to_the_credit_of_a_service_and_end_with_their_programs(self, make_net):
        net = make_net(services={"mlm.*": {"concurrency": 3}})
        worker(net, "a")
        assert net.offers == {("", "mlm.echo"): 3}
        worker(net, "b", b"bw.*", b"color.*")
        assert net.offers == {("", "mlm.echo"): 6}, "a program with two patterns has no more hands"
        net.say("a", *CLOSE)
        assert net.offers == {("", "mlm.echo"): 3}
        net.close("b")
        assert net.offers == {}
        assert net.withdrawn == ["mlm.echo"]

    def test_service_can_be_called_otherwise_in_the_net(self, make_net):
        net = make_net(names={"echo me": "mlm.echo"})
        worker(net, "w", service=b"echo me")
        assert net.offers == {("", "mlm.echo"): 16}
        net.job("mlm.echo")
        assert deliveries(net, "w")[0].address == b"echo me"

    def test_offer_that_is_not_allowed_is_told_once(self, net):
        net.members[""] = Member("bridge-1", Role.NODE, serves=("mlm.*",))
        net.say("w", *opening(b"w"))
        (told,) = net.say("w", *offer(b"other"))
        assert (heard(told).status, heard(told).reason) == (500, b"AccessDenied: the bridge may not serve other")
        assert net.say("w", *opening(b"w")) == [OK]
        assert net.say("w", *offer(b"other")) == [OK]
        assert net.say("w", *offer(b"other")) == [OK]
        assert net.say("w", *offer(b"mlm.echo")) == [OK]
        assert net.offers == {("", "mlm.echo"): 16}

    @pytest.mark.parametrize(
        ("service", "pattern", "why"),
        [
            (b"mlm.echo", b"[", b"no regular expression"),
            (b"two words", b"", b"cannot name a service"),
            (b"braid.echo", b"", b"cannot name a service"),
            (b"", b"", b"cannot name a service"),
            (b"\xff" * 255, b"", b"cannot name a service"),
        ],
    )
    def test_offer_that_cannot_be_is_told_once(self, net, service, pattern, why):
        net.say("w", *opening(b"w"))
        (told,) = net.say("w", *offer(service, pattern))
        assert why in heard(told).reason
        assert net.say("w", *offer(service, pattern)) == [OK]
        assert net.offers == {}

    def test_denials_of_an_endless_round_are_told_so_often_and_no_more(self, net):
        net.say("w", *opening(b"w"))
        told = [net.say("w", *offer(b"no %d" % number)) for number in range(limits.OFFERS_PER_PEER_MAX + 10)]
        assert told[limits.OFFERS_PER_PEER_MAX :] == [[OK]] * 10
        assert [OK] not in told[: limits.OFFERS_PER_PEER_MAX]

    def test_denial_is_remembered_as_long_as_the_connection(self, net):
        net.say("w", *opening(b"w"))
        net.say("w", *offer(b"no good"))
        net.advance(limits.SILENCE_S_MAX)
        net.say("w", *opening(b"w"))
        assert net.say("w", *offer(b"no good")) == [OK]

    def test_offers_of_one_program_and_of_all_are_bounded(self, net, monkeypatch):
        monkeypatch.setattr("braidmq.bridges.malamute.workers.OFFERS_MAX", 70)
        worker(net, "a", *(b"a%d" % number for number in range(limits.OFFERS_PER_PEER_MAX)))
        (told,) = net.say("a", *offer(b"mlm.echo", b"more"))
        assert b"Overloaded" in heard(told).reason
        worker(net, "b", *(b"b%d" % number for number in range(70 - limits.OFFERS_PER_PEER_MAX)))
        (told,) = net.say("b", *offer(b"mlm.echo", b"more"))
        assert b"Overloaded" in heard(told).reason
        net.close("a")
        assert net.say("b", *offer(b"mlm.echo", b"yet more")) == [OK]

    def test_service_that_the_net_refuses_is_gone_and_what_workers_have_goes_on(self, net):
        worker(net, "w")
        job = net.job("mlm.echo")
        (said,) = deliveries(net, "w")
        net.core.on_refused("", "mlm.echo", net.now)
        net.settle()
        net.say("w", *mail_to(said.sender, b"42"))
        assert net.finished == {job: b"42"}
        assert net.say("w", *CLOSE) == [OK]

    def test_members_do_not_serve_for_each_other(self, net):
        net.members["eve"] = Member("eve", Role.NODE, serves=("mlm.*",))
        net.peer("eve", user="eve", member="eve")
        worker(net, "eve")
        worker(net, "w")
        assert net.offers == {("eve", "mlm.echo"): 16, ("", "mlm.echo"): 16}
        net.job("mlm.echo")
        assert deliveries(net, "eve") == []
        net.job("mlm.echo", member="eve")
        assert len(deliveries(net, "eve")) == 1


class TestPlaces:
    def test_workers_take_turns(self, net):
        worker(net, "a")
        worker(net, "b")
        for _ in range(6):
            net.job("mlm.echo")
        assert [name for name, _ in net.sent] == ["a", "b"] * 3

    def test_subject_finds_its_worker(self, net):
        worker(net, "bw", b"^bw\\.")
        worker(net, "color", b"color", b"colour")
        for subject in ("bw.A4", "bw.A5", "full colour", "color"):
            net.job("mlm.echo", headers={"subject": subject})
        assert [said.subject for said in deliveries(net, "bw")] == [b"bw.A4", b"bw.A5"]
        job = net.job("mlm.echo", headers={"subject": "none"})
        assert net.finished == {job: Unfinished.NOT_RUN}

    def test_worker_has_so_many_at_once_and_others_wait(self, make_net):
        net = make_net(services={"*": {"concurrency": 2}})
        worker(net, "w")
        jobs = [net.job("mlm.echo", str(number).encode()) for number in range(4)]
        first, second = deliveries(net, "w")
        net.say("w", *mail_to(second.sender, b"x"))
        (third,) = deliveries(net, "w")
        assert third.content == [b"2"]
        net.drop(jobs[0])
        assert [said.content for said in deliveries(net, "w")] == [[b"3"]]
        net.say("w", *mail_to(first.sender, b"late"))
        assert net.core.counters["late_answers"] == 1
        assert net.finished == {jobs[1]: b"x"}

    def test_job_that_waits_may_be_dropped(self, make_net):
        net = make_net(services={"*": {"concurrency": 1}})
        worker(net, "w")
        net.job("mlm.echo", b"1")
        second = net.job("mlm.echo", b"2")
        net.drop(second)
        net.drop(second)
        (said,) = deliveries(net, "w")
        net.say("w", *mail_to(said.sender, b""))
        assert deliveries(net, "w") == []

    def test_jobs_that_wait_are_bounded(self, make_net):
        net = make_net(services={"*": {"concurrency": 1}})
        worker(net, "w")
        jobs = [net.job("mlm.echo") for _ in range(HELD_PER_PEER_MAX + 2)]
        assert net.finished == {jobs[-1]: Unfinished.NOT_RUN}

    def test_jobs_wait_in_order_but_not_for_one_of_another_subject(self, make_net):
        net = make_net(services={"*": {"concurrency": 1}})
        worker(net, "bw", b"bw")
        worker(net, "color", b"color")
        net.job("mlm.echo", headers={"subject": "bw"})
        net.job("mlm.echo", headers={"subject": "bw"})
        net.job("mlm.echo", headers={"subject": "color"})
        assert [said.subject for said in deliveries(net, "color")] == [b"color"]

    def test_job_of_a_service_that_nobody_offers_was_not_run(self, net):
        assert net.finished == {net.job("mlm.echo"): Unfinished.NOT_RUN}


class TestEnds:
    @pytest.mark.parametrize("end", ["close", "gone", "silence", "another address"])
    def test_what_a_worker_had_that_goes_may_have_been_run(self, net, end):
        worker(net, "w")
        job = net.job("mlm.echo")
        (said,) = deliveries(net, "w")
        match end:
            case "close":
                net.say("w", *CLOSE)
            case "gone":
                net.close("w")
            case "silence":
                net.advance(limits.SILENCE_S_MAX)
            case "another address":
                net.say("w", *opening(b"other"))
        assert net.finished == {job: Unfinished.UNKNOWN}
        net.say("w", *opening(b"w"))
        net.say("w", *mail_to(said.sender, b"42"))
        assert net.core.counters["late_answers"] == 1
        assert net.finished == {job: Unfinished.UNKNOWN}

    def test_what_waited_for_a_worker_that_goes_was_not_run(self, make_net):
        net = make_net(services={"*": {"concurrency": 1}})
        worker(net, "w")
        first, second = net.job("mlm.echo"), net.job("mlm.echo")
        net.close("w")
        assert net.finished == {first: Unfinished.UNKNOWN, second: Unfinished.NOT_RUN}
        assert net.withdrawn == ["mlm.echo"]

    def test_what_certainly_did_not_leave_was_not_run(self, net):
        worker(net, "w")
        net.unreachable.add("w")
        jobs = [net.job("mlm.echo") for _ in range(2)]
        assert net.finished == dict.fromkeys(jobs, Unfinished.NOT_RUN)
        assert net.core.counters["deliveries"] == 1, "one that does not read gets nothing until it is heard"
        net.unreachable.clear()
        net.say("w", *PING)
        net.job("mlm.echo")
        assert len(deliveries(net, "w")) == 1

    def test_what_certainly_did_not_leave_goes_to_another_worker(self, net):
        worker(net, "a")
        worker(net, "b")
        net.unreachable.add("a")
        job = net.job("mlm.echo")
        (said,) = deliveries(net, "b")
        net.say("b", *mail_to(said.sender, b"42"))
        assert net.finished == {job: b"42"}

    def test_drain_withdraws_sends_back_what_waits_and_lets_the_rest_end(self, make_net):
        net = make_net(services={"*": {"concurrency": 1}})
        worker(net, "w")
        first, second = net.job("mlm.echo"), net.job("mlm.echo")
        (said,) = deliveries(net, "w")
        net.core.drain(net.now)
        net.settle()
        assert net.withdrawn == ["mlm.echo"]
        assert net.finished == {second: Unfinished.NOT_RUN}
        late = net.job("mlm.echo")
        assert net.finished[late] is Unfinished.NOT_RUN
        assert net.say("w", *offer(b"mlm.other")) == [OK]
        assert net.offers == {}
        assert not net.core.idle
        net.say("w", *mail_to(said.sender, b"42"))
        assert net.finished[first] == b"42"
        assert net.core.idle


class TestAnswers:
    def test_answer_counts_once(self, net):
        worker(net, "w")
        job = net.job("mlm.echo")
        (said,) = deliveries(net, "w")
        net.say("w", *mail_to(said.sender, b"1"))
        net.say("w", *mail_to(said.sender, b"2"))
        assert net.finished == {job: b"1"}
        assert net.core.counters["late_answers"] == 1

    def test_nobody_answers_with_the_token_of_another(self, net):
        worker(net, "w")
        net.say("eve", *opening(b"w"))
        job = net.job("mlm.echo")
        (said,) = deliveries(net, "w")
        assert net.say("eve", *mail_to(said.sender, b"forged")) == []
        assert net.core.counters["foreign_answers"] == 1
        assert net.finished == {}
        net.say("w", *mail_to(said.sender, b"42"))
        assert net.finished == {job: b"42"}

    def test_nobody_opens_a_mailbox_for_the_answers_of_others(self, net):
        worker(net, "w")
        job = net.job("mlm.echo")
        (said,) = deliveries(net, "w")
        assert net.say("eve", *opening(said.sender)) == [OK]
        net.drop(job)
        net.say("w", *mail_to(said.sender, b"42"))
        assert net.heard("eve") == [OK]

    def test_frames_of_an_answer_become_a_payload(self, make_net):
        net = make_net(services={"mlm.array": {"frames": "msgpack"}})
        for service in (b"mlm.echo", b"mlm.array"):
            worker(net, "w", service=service)
            net.job(service.decode(), b"\x92\xc4\x01a\xc4\x00")
            net.job(service.decode(), b"\x90")
            for said in deliveries(net, "w"):
                net.say("w", *mail_to(said.sender, *said.content))
        assert [*net.finished.values()] == [b"\x92\xc4\x01a\xc4\x00", b"\x90"] * 2

    def test_answer_that_is_no_payload_is_an_error(self, net):
        worker(net, "w")
        job = net.job("mlm.echo")
        (said,) = deliveries(net, "w")
        net.say("w", *mail_to(said.sender, b"1", b"2"))
        outcome = net.finished[job]
        assert isinstance(outcome, ServiceError)
        assert outcome.code == "INVALID"

    def test_answer_without_a_frame_is_empty_and_one_that_is_too_large_an_error(self, net):
        worker(net, "w")
        small, large = net.job("mlm.echo"), net.job("mlm.echo")
        first, second = deliveries(net, "w")
        net.say("w", *mail_to(first.sender))
        net.say("w", *mail_to(second.sender, bytes(100_001)))
        assert net.finished[small] == b""
        assert net.finished[large].code == "TOO_LARGE"

    def test_payload_that_is_no_array_is_refused(self, make_net):
        net = make_net(services={"*": {"frames": "msgpack"}})
        worker(net, "w")
        job = net.job("mlm.echo", b"no array")
        assert net.finished[job].code == "INVALID"
        assert deliveries(net, "w") == []


@pytest.mark.parametrize(("duplicates", "refused"), [("deliver", False), ("refuse", True)])
def test_possible_duplicate_is_delivered_or_refused(make_net, duplicates, refused):
    net = make_net(services={"mlm.*": {"duplicates": duplicates}})
    worker(net, "w")
    job = net.job("mlm.echo", duplicate=True)
    assert len(deliveries(net, "w")) == (not refused)
    if refused:
        assert net.finished[job].code == "POSSIBLE_DUPLICATE"


def test_service_is_withdrawn_in_the_moment_in_which_its_last_worker_closes(net):
    """So the next call of a node ends as NoWorker, as soon as its brokers know."""
    worker(net, "w")
    closed_at = net.now
    net.say("w", *CLOSE)
    assert net.withdrawn == ["mlm.echo"]
    assert net.now == closed_at
