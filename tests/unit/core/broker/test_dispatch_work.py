"""Work goes to a worker by what it takes; what says nothing of that does not count."""

from collections import Counter, deque
from collections.abc import Mapping

import pytest

from braidmq.core.balancing import PROBE_EVERY
from braidmq.wire.envelope import LOST, REPLY, Envelope, Outcome
from braidmq.wire.extension import Field, pack_field
from tests.support.rigs.broker_rig import FakeMember, Rig


def served(rig: Rig, client: FakeMember, workers: Mapping[FakeMember, tuple[float, int]], count: int) -> Counter[str]:
    """Make calls one after the other; each worker answers after its time, with its code. Return who had how many."""
    had: Counter[str] = Counter()
    for _ in range(count):
        client.request(time_ms=60_000)
        ((worker, request),) = [(each, request) for each in workers for request in each.requests()]
        had[worker.name.decode()] += 1
        seconds, code = workers[worker]
        rig.advance(seconds)
        for each in (*workers, client):
            each.heartbeat()
        worker.reply(request, code=code)
        client.take()
    return had


def test_worker_that_is_slower_gets_next_to_nothing_while_a_fast_one_is_idle() -> None:
    rig = Rig()
    client, fast, slow = rig.client(), rig.worker("fast", credit=4), rig.worker("slow", credit=4)
    times = {fast: (0.02, Outcome.RESULT), slow: (0.2, Outcome.RESULT)}
    assert served(rig, client, times, 100)["slow"] <= 5


def test_worker_that_fails_at_once_is_not_taken_for_fast() -> None:
    rig = Rig()
    client, good, bad = rig.client(), rig.worker("good", credit=4), rig.worker("bad", credit=4)
    times = {good: (0.2, Outcome.RESULT), bad: (0.0, Outcome.ERROR)}
    assert served(rig, client, times, 100)["bad"] <= 50


def test_worker_that_never_finishes_is_taken_for_slow() -> None:
    rig = Rig()
    client, good, hung = rig.client(), rig.worker("good", credit=99), rig.worker("hung", credit=99)
    had: Counter[str] = Counter()
    for _ in range(100):
        sent = client.request(time_ms=60_000)
        ((worker, request),) = [(each, request) for each in (good, hung) for request in each.requests()]
        had[worker.name.decode()] += 1
        if worker is hung:
            rig.advance(0.25)
            client.cancel(sent)
            worker.send_answer(LOST, request)
        else:
            rig.advance(0.01)
            worker.reply(request)
        for each in (good, hung, client):
            each.heartbeat()
    assert had["hung"] <= 5


def test_further_attempt_is_no_probe_of_a_slower_worker() -> None:
    rig = Rig()
    client, fast, slow = rig.client(), rig.worker("fast", credit=4), rig.worker("slow", credit=4)
    hung = rig.worker("hung", credit=4, instance=b"process1")
    times = {worker: (seconds, Outcome.RESULT) for worker, seconds in ((fast, 0.02), (slow, 0.2), (hung, 0.02))}
    served(rig, client, times, 40)
    for _ in range(2 * PROBE_EVERY):
        client.retry(extension=pack_field(Field.AVOID, b"process1hung"))
        (request,) = fast.requests()
        fast.reply(request)
    for _ in range(2 * PROBE_EVERY):
        client.retry(extension=pack_field(Field.AVOID, b"of another broker"))
        for worker in (fast, hung):
            for request in worker.requests():
                worker.reply(request)
    assert slow.requests() == []


def test_last_results_of_a_worker_that_leaves_say_nothing_of_those_that_stay() -> None:
    rig = Rig()
    client, fast = rig.client(), rig.worker("fast", credit=4)
    one, two = rig.worker("one", credit=4), rig.worker("two", credit=4)
    times = {fast: (0.01, Outcome.RESULT), one: (0.03, Outcome.RESULT), two: (0.04, Outcome.RESULT)}
    served(rig, client, times, 30)
    sent = [client.request(time_ms=60_000) for _ in range(12)]
    held = {worker: worker.requests() for worker in times}
    fast.goodbye()
    for worker, requests in held.items():
        for request in requests:
            worker.reply(request)
    assert sum(map(len, held.values())) == len(sent)
    del times[fast]
    had = served(rig, client, times, 100)
    assert min(had["one"], had["two"]) >= 45, had


def test_worker_that_was_asked_to_stop_has_not_failed() -> None:
    rig = Rig()
    client, workers = rig.client(), [rig.worker("one"), rig.worker("two")]
    client.cancel(client.request())
    ((worker, request),) = [(each, request) for each in workers for request in each.requests()]
    worker.send_answer(LOST, request)
    assert not rig.core.sessions[worker.route].offers[b"echo"].failing
    client.request()
    client.request()
    for each in workers:
        each.send_answer(LOST, *each.requests())
    assert rig.core.sessions[worker.route].offers[b"echo"].failing


@pytest.mark.parametrize("command", [REPLY, LOST])
def test_worker_that_fails_at_once_gets_no_more_than_its_turn(command: int) -> None:
    """The good ones have some requests each all the time; it has none."""
    rig = Rig()
    client = rig.client()
    good, bad = [rig.worker(f"good{number}", credit=99) for number in range(3)], rig.worker("bad", credit=99)
    had: Counter[bytes] = Counter()
    held: deque[tuple[FakeMember, Envelope]] = deque()
    for _ in range(200):
        client.request(time_ms=60_000)
        for worker in (*good, bad):
            for request in worker.requests():
                had[worker.name] += 1
                if worker is bad:
                    worker.send_answer(command, request, code=Outcome.ERROR)
                else:
                    held.append((worker, request))
        while len(held) > 12:
            worker, request = held.popleft()
            worker.reply(request)
        rig.advance(0.001)
    assert had[b"bad"] <= 55
