"""Further attempts of a request: to the worker that has it, or to any but one that is silent."""

import pytest

from braidmq.core.broker.conduct import BUSY_MIN
from braidmq.core.broker.key_usage import JOINING_BYTES_MAX, JOINS_FIRST, JOINS_MAX, JOINS_PER_S
from braidmq.settings import MIB
from braidmq.wire.envelope import REJECT, REPLY, REQUEST, WORKING, Outcome, Progress, Reason
from braidmq.wire.extension import Field, field_of, pack_field
from tests.support.rigs.broker_rig import Rig

FIRST, SECOND = b"process1", b"process2"


def instance(of: bytes) -> bytes:
    return pack_field(Field.INSTANCE, of)


class TestAddressed:
    def test_goes_to_the_worker_it_names(self) -> None:
        rig = Rig()
        client = rig.client()
        workers = [rig.worker(f"w{number}", credit=9) for number in range(3)]
        for _ in range(4):
            client.retry(receiver=b"w1")
        assert [len(worker.requests()) for worker in workers] == [0, 4, 0]

    def test_goes_there_without_credit_as_it_joins_what_runs(self) -> None:
        rig = Rig()
        client, worker, other = rig.client(), rig.worker("w", credit=1), rig.worker("other", credit=9)
        client.retry(receiver=b"w")
        client.retry(receiver=b"w")
        assert len(worker.requests()) == 2
        assert other.requests() == []

    def test_takes_no_credit_from_others(self) -> None:
        """Else a client could keep all workers from all others: by attempts that it makes up, as many as it likes."""
        rig = Rig()
        client, other, worker = rig.client(), rig.client("other"), rig.worker("w", credit=1)
        other.request()
        for _ in range(5):
            client.retry(receiver=b"w")
        first, *_ = worker.requests()
        wanted = other.request()
        worker.reply(first)
        assert [each.id for each in worker.requests()] == [wanted.id]

    def test_few_go_there_without_credit(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker("w", credit=1)
        for _ in range(JOINS_FIRST + 5):
            client.retry(receiver=b"w")
        assert len(worker.requests()) == 1 + JOINS_FIRST
        rig.advance(0.5, heartbeats=True)
        for _ in range(JOINS_MAX):
            client.retry(receiver=b"w")
        assert len(worker.requests()) == pytest.approx(0.5 * JOINS_PER_S, abs=1)

    def test_coming_anew_earns_nothing(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker("w", credit=1)
        client.request()
        rig.advance(0.5, heartbeats=True)
        client.disconnect()
        client = rig.client()
        worker.take()
        for _ in range(JOINS_MAX):
            client.retry(receiver=b"w")
        assert len(worker.requests()) == JOINS_FIRST

    def test_few_large_ones_go_there_without_credit(self) -> None:
        rig = Rig(payload_bytes_max=4 * MIB)
        clients, worker = [rig.client(f"c{number}") for number in range(9)], rig.worker("w", credit=1)
        clients[0].request()
        for client in clients:
            for _ in range(9):
                client.retry(payload=bytes(4 * MIB), receiver=b"w")
        got = [each.sender for each in worker.requests() if each.payload]
        assert 4 * MIB * len(got) <= JOINING_BYTES_MAX
        assert 1 < got.count(b"c0") <= len(got) / 2 + 1

    def test_one_for_which_there_is_no_place_says_nothing_of_the_worker(self) -> None:
        rig = Rig()
        client, worker, other = rig.client(), rig.worker("w", credit=1), rig.worker("other", credit=1)
        client.retry(receiver=b"w")
        (running,) = worker.requests()
        for _ in range(BUSY_MIN + 5):
            client.retry(receiver=b"w")
        for each in worker.requests():
            worker.reject(each, Reason.BUSY)
        worker.reply(running)
        rig.client("another").request()
        offer = rig.core.sessions[worker.route].offers[b"echo"]
        assert not offer.full
        assert not offer.cools
        assert len(worker.requests()) == len(other.requests()) == 1

    def test_one_that_is_given_up_says_nothing_of_the_worker(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker("w", credit=9)
        rig.worker("other", credit=9)
        requests = [client.retry(receiver=b"w") for _ in range(5)]
        rig.advance(2.0, heartbeats=True)
        for request in requests:
            client.cancel(request)
        assert not rig.core.sessions[worker.route].offers[b"echo"].samples

    def test_goes_there_before_what_waits(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker("w", credit=1)
        client.request()
        client.request()
        worker.take()
        wanted = client.retry(receiver=b"w")
        assert [each.id for each in worker.requests()] == [wanted.id]

    def test_first_attempt_goes_to_any_worker(self) -> None:
        rig = Rig()
        client, named, other = rig.client(), rig.worker("named", credit=1), rig.worker("other", credit=9)
        for _ in range(4):
            client.request(receiver=b"named")
        assert len(named.requests()) == 1
        assert len(other.requests()) == 3

    def test_goes_to_any_if_that_worker_is_not_here(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker("w")
        rig.worker("elsewhere", "another-service")
        client.retry(receiver=b"gone")
        assert len(worker.requests()) == 1
        client.retry(receiver=b"elsewhere")
        assert rig.core.dispatcher.services[b"echo"].queued == 1

    def test_goes_to_any_if_that_worker_is_suspect(self) -> None:
        rig = Rig()
        client, silent, other = rig.client(), rig.worker("silent", credit=9), rig.worker("other", credit=9)
        rig.advance(1.0)
        client.heartbeat()
        other.heartbeat()
        rig.advance(0.6)
        client.retry(receiver=b"silent")
        assert silent.requests() == []
        assert len(other.requests()) == 1

    def test_goes_to_the_process_it_names(self) -> None:
        """Two processes share a join file, and only one of them has the request."""
        rig = Rig()
        client = rig.client()
        one, two = rig.worker("w", credit=9, instance=FIRST), rig.worker("w", credit=9, instance=SECOND)
        for _ in range(4):
            client.retry(receiver=b"w", extension=instance(SECOND))
        assert one.requests() == []
        assert len(two.requests()) == 4

    def test_goes_to_any_if_that_process_is_gone(self) -> None:
        rig = Rig()
        client = rig.client()
        later, other = rig.worker("w", credit=1, instance=SECOND), rig.worker("other", credit=1)
        for _ in range(2):
            client.retry(receiver=b"w", extension=instance(FIRST))
        assert len(later.requests()) == len(other.requests()) == 1

    def test_naming_a_worker_does_not_lift_the_need_for_a_right(self) -> None:
        rig = Rig()
        rig.worker("w")
        client = rig.client(calls=("other",))
        client.retry(receiver=b"w")
        assert client.answer() == (REJECT, Reason.DENIED)

    def test_malformed_extension_is_counted_and_leaves_nothing_behind(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker("w")
        client.retry(receiver=b"w", extension=b"\x02\xff")
        assert rig.counters["malformed"] == 1
        assert worker.requests() == []
        assert not rig.core.sessions[client.route].requests
        client.retry(receiver=b"w")
        assert len(worker.requests()) == 1


def test_retry_goes_to_no_worker_that_has_just_failed_while_another_one_has_credit() -> None:
    """It would meet there what it has met before."""
    rig = Rig()
    client, good, bad = rig.client(), rig.worker("good", credit=9), rig.worker("bad", credit=9)
    offer = rig.core.sessions[bad.route].offers[b"echo"]
    while not offer.failing:
        client.request()
        for request in good.requests():
            good.reply(request)
        for request in bad.requests():
            bad.reply(request, code=Outcome.ERROR)
    for _ in range(9):
        client.retry()
    assert len(good.requests()) == 9
    client.retry()
    assert len(bad.requests()) == 1


class TestSilent:
    """A worker that was given a request and says nothing, not even WORKING."""

    def test_client_is_told_who_it_is(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker("hung", instance=FIRST)
        sent = client.request(working_ms=300)
        worker.take()
        rig.advance(0.44)
        assert client.transits() == []
        rig.advance(0.05)
        told = client.one()
        assert (told.command, told.code, told.tag, told.sender) == (WORKING, Progress.SILENT, sent.tag, b"hung")
        assert field_of(told.extension, Field.INSTANCE) == FIRST
        rig.advance(0.5)
        assert client.transits() == [], "once is enough"

    def test_it_gets_nothing_more_until_it_says_something(self) -> None:
        rig = Rig()
        client, hung, other = rig.client(), rig.worker("hung", credit=9), rig.worker("other", credit=9)
        client.request()
        if not hung.requests():
            client.request()
            assert hung.requests()
        rig.advance(0.5)
        other.take()
        for _ in range(4):
            client.request()
        assert hung.requests() == []
        assert len(other.requests()) == 4
        hung.heartbeat()
        client.request()
        assert len(hung.requests()) == 1

    def test_worker_that_says_anything_is_not_silent(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=9)
        client.request()
        worker.take()
        rig.advance(0.3)
        worker.heartbeat()
        rig.advance(0.3)
        assert client.transits() == []
        client.request()
        assert len(worker.requests()) == 1

    def test_broker_that_stood_still_itself_tells_nothing(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=9)
        client.request()
        worker.take()
        rig.stall(0.6)
        assert client.transits() == []
        client.request()
        assert len(worker.requests()) == 1

    def test_further_attempt_avoids_it(self) -> None:
        rig = Rig()
        client = rig.client()
        hung, other = rig.worker("hung", credit=9, instance=FIRST), rig.worker("other", credit=9, instance=SECOND)
        for _ in range(4):
            client.retry(extension=pack_field(Field.AVOID, FIRST + b"hung"))
        assert hung.requests() == []
        assert len(other.requests()) == 4

    @pytest.mark.parametrize("full", [True, False])
    def test_further_attempt_goes_there_if_there_is_no_other(self, full: bool) -> None:
        rig = Rig()
        client = rig.client()
        hung = rig.full_worker("hung", instance=FIRST) if full else rig.worker("hung", instance=FIRST)
        client.retry(extension=pack_field(Field.AVOID, FIRST + b"hung"))
        if full:
            hung.ready(credit=1)
        (held,) = hung.requests()
        hung.reply(held)
        assert client.answer() == (REPLY, 0)
        assert held.command == REQUEST
