"""Requests that a worker gives back, as it has no place for them."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from braidmq.core.broker.assignments import KEPT_BYTES_MAX, KEPT_S
from braidmq.core.broker.cooling import COOL_S, OUTLIER_S_MAX
from braidmq.core.broker.dispatch import RETURNS_MAX
from braidmq.settings import MIB
from braidmq.wire.control import Services
from braidmq.wire.envelope import LOST, REJECT, REPLY, Envelope, Flag, Outcome, Reason, Withdrawal
from tests.support.rigs.broker_rig import FakeMember, Rig


def held(*workers: FakeMember) -> tuple[FakeMember, Envelope]:
    """Return the only request that has come to any worker."""
    ((worker, request),) = [(worker, request) for worker in workers for request in worker.requests()]
    return worker, request


def test_it_goes_to_another_worker_whole_and_without_a_flag() -> None:
    rig = Rig()
    client, one, two = rig.client(), rig.worker("one"), rig.worker("two")
    sent = client.request(payload=b"payload", time_ms=5_000)
    full, first = held(one, two)
    full.reject(first, Reason.BUSY)
    other, second = held(one, two)
    assert other is not full
    assert (second.id, second.payload, second.flags, second.retry_count) == (sent.id, b"payload", 0, 0)
    assert client.transits() == []
    other.reply(second)
    assert client.answer() == (REPLY, 0)


def test_it_waits_if_no_other_has_credit_and_is_the_next() -> None:
    rig = Rig()
    client, worker = rig.client(), rig.worker(credit=2)
    given_back = client.request()
    (first,) = worker.requests()
    worker.reject(first, Reason.BUSY)
    client.request()
    assert worker.requests() == []
    worker.ready(credit=2)
    assert next(iter(worker.requests())).id == given_back.id


def test_the_worker_gets_nothing_more_before_it_says_ready() -> None:
    rig = Rig()
    client, worker = rig.client(), rig.worker(credit=9)
    client.request()
    (first,) = worker.requests()
    worker.reject(first, Reason.BUSY)
    for _ in range(3):
        client.request()
    assert worker.requests() == []
    worker.ready(credit=9)
    assert len(worker.requests()) == 4


def test_the_service_is_still_available() -> None:
    rig = Rig()
    client, worker = rig.client(), rig.worker(credit=1)
    rig.advance(0.1)
    client.take()
    client.request()
    worker.reject(worker.request_in(), Reason.BUSY)
    rig.advance(1.0, heartbeats=True)
    assert client.of(Services) == []


def test_after_a_moment_it_is_kept_no_more_and_its_client_is_told() -> None:
    rig = Rig()
    client, worker = rig.client(), rig.worker(credit=1)
    client.request(payload=bytes(1_000))
    (first,) = worker.requests()
    (transit,) = rig.core.sessions[worker.route].assigned.values()
    assert transit.rest
    rig.advance(3 * KEPT_S, heartbeats=True)
    assert not transit.rest
    worker.reject(first, Reason.BUSY)
    assert client.answer() == (REJECT, Reason.BUSY)


def test_it_expires_while_it_goes_from_one_to_the_next() -> None:
    rig = Rig()
    client, worker = rig.client(), rig.worker(credit=1)
    rig.worker("other", credit=1)
    client.request(time_ms=20)
    rig.now += 0.03
    for each in (worker, *[member for member in rig.members.values() if member.name == b"other"]):
        for request in each.requests():
            each.reject(request, Reason.BUSY)
    assert client.answer() == (REJECT, Reason.EXPIRED)


def test_a_worker_that_invites_and_refuses_for_ever_is_told_to_its_client() -> None:
    rig = Rig()
    client, worker = rig.client(), rig.worker(credit=1)
    client.request()
    for _ in range(RETURNS_MAX + 1):
        (request,) = worker.requests()
        worker.reject(request, Reason.BUSY)
        worker.ready(credit=1)
    assert client.answer() == (REJECT, Reason.BUSY)
    assert worker.requests() == []


def test_what_its_client_has_given_up_goes_nowhere() -> None:
    rig = Rig()
    client, one, two = rig.client(), rig.worker("one"), rig.worker("two")
    client.cancel(client.request())
    full, first = held(one, two)
    full.reject(first, Reason.BUSY)
    assert one.requests() == two.requests() == []
    full.ready(credit=1)
    client.request()
    client.request()
    assert len(one.requests()) == len(two.requests()) == 1


def test_what_its_client_has_sent_again_goes_to_no_other_worker() -> None:
    rig = Rig()
    client, one, two = rig.client(), rig.worker("one"), rig.worker("two")
    client.cancel(client.request(), Withdrawal.SUPERSEDED)
    full, first = held(one, two)
    full.reject(first, Reason.BUSY)
    assert client.answer() == (REJECT, Reason.BUSY)
    assert one.requests() == two.requests() == []


def test_draining_broker_gives_it_back_to_its_client() -> None:
    rig = Rig()
    rig.peer("b2").about("echo")
    client, worker = rig.client(), rig.worker(credit=1)
    client.request()
    (first,) = worker.requests()
    rig.drain()
    client.take()
    worker.reject(first, Reason.BUSY)
    assert client.answer() == (REJECT, Reason.DRAINING)


def test_loss_of_the_worker_that_has_it_then_is_a_loss() -> None:
    rig = Rig()
    client, one, two = rig.client(), rig.worker("one"), rig.worker("two")
    client.request()
    full, first = held(one, two)
    full.reject(first, Reason.BUSY)
    other, _ = held(one, two)
    other.disconnect()
    assert client.answer() == (LOST, 0)


REASONS = [*(set(Reason) - {Reason.BUSY}), 99]


def serve(*workers: FakeMember, refusing: FakeMember, reason: int) -> Counter[bytes]:
    """Let a worker refuse what it has, and the others reply; return how many requests each of them had."""
    had: Counter[bytes] = Counter()
    while found := [(worker, request) for worker in workers for request in worker.requests()]:
        for worker, request in found:
            had[worker.name] += 1
            if worker is refusing:
                worker.reject(request, reason)
            else:
                worker.reply(request)
    return had


@pytest.mark.parametrize("reason", REASONS)
def test_refusal_for_any_reason_is_mended_by_another_worker(reason: int) -> None:
    rig = Rig()
    client, one, two = rig.client(), rig.worker("one"), rig.worker("two")
    client.request(payload=b"payload")
    bad, first = held(one, two)
    bad.reject(first, reason)
    good, second = held(one, two)
    assert good is not bad
    assert (second.id, second.payload, second.flags) == (first.id, b"payload", 0)
    good.reply(second)
    assert client.answer() == (REPLY, 0)
    assert rig.counters["returned"] == 1


@pytest.mark.parametrize("reason", REASONS)
def test_refusal_of_the_only_worker_is_for_the_client(reason: int) -> None:
    rig = Rig()
    client, worker = rig.client(), rig.worker(credit=2)
    rig.worker("idle", credit=0)
    for _ in range(3):
        client.request()
        worker.reject(worker.request_in(), reason)
        told = Reason.BUSY if reason in (Reason.DENIED, Reason.TOO_LARGE) else reason  # those are not a worker's
        assert client.answer() == (REJECT, told)


def test_refused_request_waits_for_a_good_worker_that_is_busy() -> None:
    rig = Rig()
    client, good, bad = rig.client(), rig.full_worker("good"), rig.worker("bad")
    client.request()
    bad.reject(bad.request_in(), Reason.DENIED)
    assert client.transits() == []
    good.ready()
    assert len(good.requests()) == 1


def test_refusal_of_a_worker_that_leaves_is_mended_by_another_one() -> None:
    rig = Rig()
    client, leaving = rig.client(), rig.worker("leaving")
    client.request()
    (request,) = leaving.requests()
    leaving.goodbye()
    other = rig.worker("other")
    leaving.reject(request, Reason.DRAINING)
    assert len(other.requests()) == 1
    assert client.transits() == []


def test_refusal_of_the_last_worker_when_it_leaves_is_for_the_client() -> None:
    rig = Rig()
    client, leaving = rig.client(), rig.worker("leaving")
    client.request()
    (request,) = leaving.requests()
    leaving.goodbye()
    leaving.reject(request, Reason.DRAINING)
    assert client.answer() == (REJECT, Reason.DRAINING)


@pytest.mark.parametrize("reason", [Reason.DENIED, Reason.BUSY])
def test_worker_that_refuses_everything_gets_little(reason: Reason) -> None:
    """Though it is idle always, and says that it has a place."""
    rig = Rig()
    client = rig.client()
    bad, good = rig.worker("bad", credit=50), rig.worker("good", credit=50)
    had: Counter[bytes] = Counter()
    for _ in range(400):
        client.request()
        served = serve(good, bad, refusing=bad, reason=reason)
        if served[b"bad"]:
            bad.ready(credit=50)
        had += served
        rig.advance(0.01, heartbeats=True)
    answers = client.transits()
    assert Counter((each.command, each.code) for each in answers) == {(REPLY, 0): 400}
    assert 1 <= had[b"bad"] <= 25


def test_worker_that_loses_everything_gets_little() -> None:
    """Over many connections, of which each has its turn else."""
    rig = Rig()
    clients, good, rng = [rig.client("one"), rig.client("two")], rig.worker("good", credit=50), random.Random(1)
    bad = [rig.connect("bad", serves=("*",)) for _ in range(8)]
    for each in bad:
        each.ready(credit=50)
    lost = 0
    for _ in range(1_000):
        rng.choice(clients).request()
        for each in bad:
            for request in each.requests():
                each.send_answer(LOST, request)
                lost += 1
        for request in good.requests():
            good.reply(request)
        rig.advance(0.01, heartbeats=True)
    assert 8 <= lost <= 150


def test_worker_that_fails_over_many_connections_has_one_turn() -> None:
    rig = Rig()
    client, good = rig.client(), [rig.worker(name, credit=50) for name in ("a", "b")]
    bad = [rig.connect("bad", serves=("*",)) for _ in range(8)]
    for each in bad:
        each.ready(credit=50)
    failed = 0
    for _ in range(300):
        client.request()
        for each in bad:
            for request in each.requests():
                each.reply(request, code=Outcome.ERROR)
                failed += 1
        for each in good:
            for request in each.requests():
                each.reply(request)
    assert 90 <= failed <= 115


def test_what_a_worker_loses_of_one_client_says_nothing_of_it() -> None:
    """It may have been stopped for the sake of that client, which asks for it again."""
    rig = Rig()
    client, other, worker = rig.client("one"), rig.client("two"), rig.worker("w", credit=50)
    rig.worker("idle", credit=1)
    offer = rig.core.sessions[worker.route].offers[b"echo"]
    other.request()
    for _ in range(20):
        client.retry(receiver=b"w")
        for request in worker.requests():
            worker.send_answer(LOST, request)
        rig.advance(0.1, heartbeats=True)
    assert not offer.cools


@pytest.mark.nightly
def test_worker_that_has_refused_is_tried_again_after_a_short_and_growing_time() -> None:
    rig = Rig()
    client, good, bad = rig.client(), rig.worker("good", credit=50), rig.worker("bad", credit=50)
    refused_at: list[float] = []
    while len(refused_at) < 14:
        client.request()
        if serve(good, bad, refusing=bad, reason=Reason.DENIED)[b"bad"]:
            refused_at.append(rig.now)
        rig.advance(0.02, heartbeats=True)
    pauses = [after - before for before, after in pairwise(refused_at)]
    assert pauses[0] <= COOL_S + 0.1
    assert pauses == sorted(pauses)
    assert OUTLIER_S_MAX <= pauses[-1] <= OUTLIER_S_MAX + 0.1


def test_request_that_its_client_gave_no_time_says_nothing_of_the_worker() -> None:
    rig = Rig()
    client, one, two = rig.client(), rig.worker("one"), rig.worker("two")
    client.request(time_ms=1)
    worker, request = held(one, two)
    worker.reject(request, Reason.EXPIRED)
    assert client.answer() == (REJECT, Reason.EXPIRED)
    assert not rig.core.dispatcher.services[b"echo"].cooling


@pytest.mark.parametrize("how", list(Withdrawal))
def test_request_that_its_client_has_called_back_says_nothing_of_the_worker(how: Withdrawal) -> None:
    rig = Rig()
    client, one, two = rig.client(), rig.worker("one"), rig.worker("two")
    client.cancel(client.request(), how)
    worker, request = held(one, two)
    worker.reject(request, Reason.EXPIRED)
    assert not rig.core.dispatcher.services[b"echo"].cooling


def test_worker_is_back_at_once_when_it_is_the_only_one_that_is_left() -> None:
    rig = Rig()
    client, one, two = rig.client(), rig.worker("one", credit=5), rig.worker("two", credit=5)
    client.request()
    bad, request = held(one, two)
    bad.reject(request, Reason.DENIED)
    good, _ = held(one, two)
    good.ready(credit=1)
    waiting = client.request()
    assert one.requests() == two.requests() == []
    good.goodbye()
    (got,) = bad.requests()
    assert got.id == waiting.id


def test_worker_without_a_place_that_also_replies_is_not_punished() -> None:
    rig = Rig()
    client = rig.client()
    workers = [rig.worker("one", credit=2), rig.worker("two", credit=2)]
    for number in range(100):
        client.request()
        worker, request = held(*workers)
        if number % 2:
            worker.reject(request, Reason.BUSY)
            worker.ready(credit=2)
            worker, request = held(*workers)
        worker.reply(request)
        assert not any(offer.cools for offer in rig.core.dispatcher.services[b"echo"].offers.values())


def test_what_is_kept_of_the_requests_of_one_key_is_bounded() -> None:
    rig = Rig(payload_bytes_max=MIB)
    client, other, worker = rig.client(), rig.client("other"), rig.worker(credit=1_000)
    for _ in range(80):
        client.request(payload=bytes(MIB))
    assert rig.core.dispatcher._assignments.kept_bytes <= KEPT_BYTES_MAX / 2 + MIB
    sent = other.request(payload=bytes(MIB))
    (kept,) = [each for each in rig.core.sessions[worker.route].assigned.values() if each.id == sent.id]
    assert kept.rest


def test_flag_of_a_request_that_went_round_for_too_long_is_set() -> None:
    rig = Rig()
    client, worker = rig.client(), rig.worker(credit=1)
    client.request(working_ms=100)
    (first,) = worker.requests()
    assert not first.flags
    worker.reject(first, Reason.BUSY)
    rig.advance(0.15, heartbeats=True)
    worker.ready(credit=1)
    (second,) = worker.requests()
    assert second.flags & Flag.POSSIBLE_DUPLICATE
