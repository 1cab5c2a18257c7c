"""Requests that a worker gives back, as it has no place for them."""

import pytest

from braidmq.core.dispatch import KEPT_S, RETURNS_MAX
from braidmq.wire.control import Services
from braidmq.wire.envelope import LOST, REJECT, REPLY, Envelope, Flag, Reason, Withdrawal
from rigs.broker_rig import FakeMember, Rig


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
    assert client.exchanges() == []
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
    worker.reject(*worker.requests(), Reason.BUSY)
    rig.advance(1.0, heartbeats=True)
    assert client.of(Services) == []


def test_after_a_moment_it_is_kept_no_more_and_its_client_is_told() -> None:
    rig = Rig()
    client, worker = rig.client(), rig.worker(credit=1)
    client.request(payload=bytes(1_000))
    (first,) = worker.requests()
    (exchange,) = rig.core.sessions[worker.route].assigned.values()
    assert exchange.rest
    rig.advance(3 * KEPT_S, heartbeats=True)
    assert not exchange.rest
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


@pytest.mark.parametrize("reason", [Reason.NO_WORKER, Reason.DRAINING, Reason.EXPIRED])
def test_any_other_refusal_is_for_the_client(reason: Reason) -> None:
    rig = Rig()
    client, one, two = rig.client(), rig.worker("one"), rig.worker("two")
    client.request()
    worker, first = held(one, two)
    worker.reject(first, reason)
    assert client.answer() == (REJECT, reason)
    assert one.requests() == two.requests() == []


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
