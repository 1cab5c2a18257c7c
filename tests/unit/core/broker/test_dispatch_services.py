"""Which services a broker has: those it waits for at its start, and what workers offer."""

import pytest

from braidmq.core.broker.catalogue import EXPECTED_MAX, SERVES_MAX
from braidmq.core.broker.key_usage import KEY_CREDIT_MAX
from braidmq.core.broker.offers import CREDIT_MAX, WITHDRAWN_S
from braidmq.wire.envelope import (
    REJECT,
    REPLY,
    UINT32,
    WORKING,
    Progress,
    Reason,
    encode,
)
from tests.support.rigs.broker_rig import Rig


class TestManyServices:
    @pytest.mark.parametrize(
        ("services_max", "bound"), [(99, 50), pytest.param(10_000, SERVES_MAX, marks=pytest.mark.nightly)]
    )
    def test_one_member_cannot_use_up_what_a_broker_can_know(self, services_max: int, bound: int) -> None:
        rig = Rig(services_max=services_max)
        worker = rig.worker()
        for number in range(bound + 5):
            worker.ready(f"service{number}")
        assert len(rig.core.dispatcher.services) == bound
        assert sum("is reached" in str(event) for event in rig.core.take_events()) <= 1


class TestSettling:
    """A broker that has just started does not say that there is no worker."""

    def test_request_waits_for_a_worker_that_is_on_its_way(self) -> None:
        rig = Rig(settle_s=5.0)
        client = rig.client()
        client.request()
        rig.advance(1.0)
        assert {each.code for each in client.transits(WORKING)} == {Progress.QUEUED}
        worker = rig.worker()
        worker.reply(worker.one())
        assert client.answer() == (REPLY, 0)

    def test_request_is_rejected_when_no_worker_came(self) -> None:
        rig = Rig(settle_s=2.0)
        client = rig.client()
        client.request()
        rig.advance(1.9)
        assert not client.transits(REJECT)
        rig.advance(0.2)
        assert client.answer() == (REJECT, Reason.NO_WORKER)
        client.request()
        assert client.answer() == (REJECT, Reason.NO_WORKER)
        assert not rig.core.dispatcher.services

    def test_request_waits_for_the_next_worker_when_the_last_one_leaves(self) -> None:
        rig = Rig(settle_s=2.0)
        worker, client = rig.full_worker(), rig.client()
        client.request()
        worker.disconnect()
        rig.advance(0.1)
        assert not client.transits(REJECT)
        assert rig.worker("w2").one()

    def test_deadline_comes_first(self) -> None:
        rig = Rig(settle_s=5.0)
        client = rig.client()
        client.request(time_ms=1_000)
        rig.advance(1.1)
        assert [each.code for each in client.transits(REJECT)] == [Reason.EXPIRED]

    def test_service_that_is_waited_for_is_not_announced(self) -> None:
        rig = Rig(settle_s=5.0)
        client = rig.client()
        client.request()
        rig.advance(0.2)
        assert not rig.core.dispatcher.available()

    def test_services_that_are_waited_for_are_bounded(self) -> None:
        rig = Rig(settle_s=5.0, services_max=2)
        client = rig.client()
        for service in ("one", "two", "three"):
            client.request(service)
        assert client.answer() == (REJECT, Reason.NO_WORKER)

    def test_key_can_make_a_broker_wait_for_few_services(self) -> None:
        rig = Rig(settle_s=5.0)
        client, other = rig.client(), rig.client("other")
        for number in range(EXPECTED_MAX + 10):
            client.request(f"s{number}")
        assert len(rig.core.dispatcher.services) == EXPECTED_MAX
        assert {each.code for each in client.transits(REJECT)} == {Reason.NO_WORKER}
        other.request("another")
        assert other.transits() == []

    def test_service_that_nobody_waits_for_any_more_is_forgotten(self) -> None:
        rig = Rig(settle_s=5.0)
        client = rig.client()
        for number in range(3 * EXPECTED_MAX):
            client.cancel(client.request(f"s{number}"))
        assert not rig.core.dispatcher.services
        client.request("echo", time_ms=1_000)
        rig.advance(1.1, heartbeats=True)
        assert not rig.core.dispatcher.services

    def test_service_that_is_waited_for_gives_way_to_one_that_has_a_worker(self) -> None:
        rig = Rig(settle_s=5.0, services_max=2)
        client = rig.client()
        client.request("one")
        client.request("two")
        rig.worker("w", "three")
        assert client.answer() == (REJECT, Reason.NO_WORKER)
        assert set(rig.core.dispatcher.services) == {b"two", b"three"}
        rig.worker("w2", "two")
        rig.worker("w3", "four")
        assert set(rig.core.dispatcher.services) == {b"two", b"three"}

    def test_service_whose_workers_grant_nothing_is_not_waited_for_when_it_has_settled(self) -> None:
        rig = Rig(settle_s=2.0)
        client = rig.client()
        rig.worker(credit=0)
        client.request()
        rig.advance(1.9, heartbeats=True)
        assert not client.transits(REJECT)
        rig.advance(0.2, heartbeats=True)
        assert client.answer() == (REJECT, Reason.NO_WORKER)

    def test_unsent_request_waits_for_its_service_anew(self) -> None:
        rig = Rig(settle_s=5.0)
        client, stuck = rig.client(), rig.worker("stuck")
        stuck.stuck = []
        client.request()
        stuck.disconnect()
        assert rig.core.dispatcher.services[b"echo"].queued == 1
        assert len(rig.worker("other").requests()) == 1


class TestServe:
    @pytest.mark.parametrize("service", ["secret", "", "a b", "*", "x\0"])
    def test_ready_without_the_right_is_ignored(self, service: str) -> None:
        rig = Rig()
        worker = rig.connect("w", serves=("echo",))
        worker.ready(service, 5)
        assert not rig.core.dispatcher.services
        assert rig.counters["denied"] + rig.counters["malformed"] == 1

    def test_services_max_bounds_the_services(self) -> None:
        rig = Rig(services_max=2)
        client, first = rig.client(), rig.worker("w1", "one")
        rig.worker("w2", "two")
        worker = rig.worker("w3", "three")
        worker.ready("three", 2)
        assert set(rig.core.dispatcher.services) == {b"one", b"two"}
        assert rig.logged("services_max=2 is reached: its READY for three waits for room") == 1
        client.request("three")
        assert client.answer() == (REJECT, Reason.NO_WORKER)
        rig.advance(1.0, heartbeats=True)
        assert rig.counters["postponed"] == 2
        first.disconnect()
        rig.advance(0.1)
        assert set(rig.core.dispatcher.services) == {b"two", b"three"}
        client.request("three")
        client.request("three")
        assert len(worker.requests()) == 2

    def test_grant_that_waits_for_room_is_forgotten_with_its_worker_its_right_or_its_withdrawal(self) -> None:
        rig = Rig(services_max=2)
        first = rig.worker("w1", "one")
        rig.worker("w2", "two")
        gone, leaving, fickle, _weak = (rig.worker(name, name) for name in ("gone", "leaving", "fickle", "weak"))
        gone.disconnect()
        rig.register("weak")
        rig.change_registry()
        leaving.goodbye()
        fickle.ready("fickle", 0)
        first.disconnect()
        rig.advance(0.1)
        assert rig.core.dispatcher.available() == ["two"]
        assert not any(session.postponed for session in rig.core.sessions.values())
        assert set(rig.core.dispatcher.services) == {b"two"}

    def test_grant_that_is_repeated_once_there_is_room_waits_no_more(self) -> None:
        rig = Rig(services_max=2)
        first = rig.worker("w1", "one")
        rig.worker("w2", "two")
        worker = rig.worker("w3", "three", credit=1)
        first.disconnect()
        worker.ready("three", credit=5)
        rig.advance(0.1)
        (offer,) = rig.core.sessions[worker.route].offers.values()
        assert offer.credit == 5

    def test_key_provides_half_of_the_services_at_most_over_all_its_connections(self) -> None:
        rig = Rig(services_max=10)
        hog, again = rig.worker("hog", "s0"), rig.worker("hog", "s1")
        for number in range(2, 20):
            (hog, again)[number % 2].ready(f"s{number}")
        assert len(rig.core.dispatcher.services) == 5
        rig.worker("other", "echo")
        assert b"echo" in rig.core.dispatcher.services
        hog.disconnect()
        rig.advance(0.1)
        assert len(rig.core.sessions[again.route].offers) == 5

    def test_all_workers_of_a_key_together_are_granted_so_much(self) -> None:
        rig = Rig()
        workers = [rig.worker("w", f"s{number}", credit=CREDIT_MAX) for number in range(16)]
        offers = [offer for worker in workers for offer in rig.core.sessions[worker.route].offers.values()]
        assert sum(offer.credit for offer in offers) == KEY_CREDIT_MAX
        assert offers[0].credit == CREDIT_MAX
        assert not offers[-1].credit

    @pytest.mark.nightly
    def test_grant_is_bounded(self) -> None:
        rig = Rig(in_flight_max=CREDIT_MAX + 10, queue_messages_max=100)
        worker, client = rig.worker(credit=UINT32), rig.client()
        for _ in range(CREDIT_MAX // 1000):
            client.frame(b"".join(encode(client.envelope()) for _ in range(1000)))
        client.request()
        assert len(worker.requests()) == CREDIT_MAX
        assert rig.core.dispatcher.services[b"echo"].queued == 1

    def test_requests_that_are_cancelled_at_once_do_not_pile_up_at_a_worker_that_never_answers(self) -> None:
        rig = Rig()
        worker, client = rig.worker(credit=3), rig.client()
        for _ in range(20):
            client.cancel(client.request())
        assert len(worker.requests()) == 3
        assert len(rig.core.sessions[worker.route].assigned) == 3


class TestWithdrawal:
    """A worker withdraws a service by a grant of 0."""

    def test_its_key_may_provide_another_one_instead_after_a_while(self) -> None:
        rig = Rig(services_max=8)
        worker = rig.worker(service="service0")
        for number in range(1, 4):
            worker.ready(f"service{number}")
        worker.ready("service0", 0)
        worker.ready("late")
        assert "late" not in {name.decode() for name in rig.core.dispatcher.services}
        rig.advance(WITHDRAWN_S + 0.2, heartbeats=True)
        services = {name.decode() for name in rig.core.dispatcher.services}
        assert "late" in services
        assert "service0" not in services

    def test_its_place_is_kept_while_it_has_requests(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.request(time_ms=60_000)
        request = worker.one()
        worker.ready("echo", 0)
        rig.advance(2 * WITHDRAWN_S, heartbeats=True)
        assert b"echo" in rig.core.dispatcher.services
        worker.reply(request)
        assert client.answer() == (REPLY, 0)
        rig.advance(0.2, heartbeats=True)
        assert b"echo" not in rig.core.dispatcher.services

    def test_one_that_comes_back_keeps_its_place(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        worker.ready("echo", 0)
        worker.ready("echo", 2)
        rig.advance(2 * WITHDRAWN_S, heartbeats=True)
        client.request()
        worker.reply(worker.one())
        assert client.answer() == (REPLY, 0)

    @pytest.mark.parametrize("reason", [Reason.DRAINING, Reason.BUSY, Reason.NO_WORKER])
    def test_what_it_gives_back_goes_to_another_worker(self, reason: Reason) -> None:
        rig = Rig()
        leaving, client = rig.worker("leaving"), rig.client()
        client.request()
        request = leaving.one()
        other = rig.worker("other")
        leaving.ready("echo", 0)
        leaving.reject(request, reason)
        other.reply(other.one())
        assert client.answer() == (REPLY, 0)

    def test_its_client_may_go_on_elsewhere_where_there_is_no_other(self) -> None:
        rig = Rig()
        leaving, client = rig.worker("leaving"), rig.client()
        client.request()
        leaving.ready("echo", 0)
        leaving.reject(leaving.one(), Reason.DRAINING)
        assert client.answer() == (REJECT, Reason.DRAINING)

    def test_what_it_gives_back_does_not_keep_it_from_coming_back(self) -> None:
        rig = Rig()
        leaving, client = rig.worker("leaving", credit=20), rig.client()
        for _ in range(12):
            client.request()
        requests = leaving.requests()
        other = rig.worker("other", credit=20)
        leaving.ready("echo", 0)
        for request in requests:
            leaving.reject(request, Reason.DRAINING)
        for request in other.requests():
            other.reply(request)
        other.ready("echo", 0)
        leaving.ready("echo", 20)
        client.request()
        assert leaving.one()
