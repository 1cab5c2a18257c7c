"""Nothing is lost when brokers and workers are killed, stopped, paused and cut off; each test checks I1 to I5."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, contextmanager, suppress
from time import monotonic

import pytest

from braidmq import AttemptsExhausted, DeadlineExceeded, NoBroker, NodeClosed, Settings
from braidmq.lab.simulation.checkers import violations
from braidmq.lab.simulation.payload import answer_to, key_of
from braidmq.lab.simulation.record import Error, Execution, Reply
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.load import Load, errors
from tests.support.nights import cases
from tests.support.patience import patient


class Scene:
    """A net with workers of the service s and a client, and the record of what they do."""

    def __init__(self, net):
        self.net = net
        self.gates = {}
        self.workers = {}
        self.client = net.node("client")
        calls = Load(self.client)
        self.record = calls.record
        self.call, self.load, self.answered = calls.call, calls.running, calls.answered

    def worker(self, name, *, concurrency=16):
        """Return a new worker; it holds a request as long as `self.gates[name]` is closed."""
        gate = self.gates[name] = asyncio.Event()
        gate.set()
        node = self.workers[name] = self.net.node(name)

        @node.service("s", concurrency=concurrency)
        async def handler(request):
            key, now = key_of(request.payload), monotonic()
            self.record.executions.append(
                Execution(key, name, request.id, now, request.possible_duplicate, request.retry_count)
            )
            assert request.remaining > 0.0
            await gate.wait()
            return answer_to(request.payload)

        return node

    @property
    def ran_on(self):
        return Counter(each.worker for each in self.record.executions)


@asynccontextmanager
async def scene(*, brokers=2, workers=("w1", "w2"), settings=None):
    async with TestNet(brokers, settings=settings) as net:
        it = Scene(net)
        nodes = [it.worker(name) for name in workers]
        for node in nodes:
            await node.start()
        async with it.client:
            await net.served("s", workers=len(workers))
            links = it.client._loop.core.links.links.values()
            await until(
                lambda: all(b"s" in link.services for link in links)
            )  # both brokers get requests from the start
            yield it
            assert all(call.ends for call in it.record.calls), "the test left calls behind"
            for gate in it.gates.values():
                gate.set()
        for node in it.workers.values():
            with suppress(NodeClosed):
                await node.close()
        assert violations(it.record) == []


# -- brokers that are killed


async def test_a_killed_broker_loses_nothing_under_load():
    async with scene(brokers=3) as it:
        async with it.load() as outcomes:
            for broker in (*it.net.brokers.values(), *it.net.brokers.values()):
                await it.answered(outcomes)
                broker.kill()
                await it.answered(outcomes)
                broker.restart()
                await it.net.served("s", workers=2)
                await until(lambda: all(broker.state == "up" for broker in it.client.brokers))
        assert errors(outcomes) == []
        assert len(outcomes) > 1_000


async def test_a_short_request_outlives_the_broker_that_has_it():
    async with scene() as it:
        it.net.brokers["b1"].pause()  # so that it certainly has the request when it is killed
        # A request that is pinned cannot fail over; a free one is sent to either broker.
        calls = [asyncio.ensure_future(it.call()) for _ in range(20)]
        await until(lambda: it.client._loop.core.links.links["b1"].in_flight > 0)
        at_b1 = it.client._loop.core.links.links["b1"].in_flight
        it.net.brokers["b1"].kill()
        outcomes = await asyncio.gather(*calls)
        assert errors(outcomes) == []
        assert sum(outcome.possible_duplicate for outcome in outcomes) == at_b1
        assert len(it.record.executions) == 20


async def test_a_long_request_is_joined_where_it_runs_when_its_broker_is_killed():
    async with scene(brokers=3, workers=("w1", "w2", "w3")) as it:
        for gate in it.gates.values():
            gate.clear()
        calls = [asyncio.ensure_future(it.call(timeout=10.0)) for _ in range(12)]
        await until(lambda: len(it.record.executions) == 12)
        links = it.client._loop.core.links.links
        known = it.client._loop.core.client._calls
        await until(lambda: all(call.worker for call in known.values()))
        at_b1 = links["b1"].in_flight
        assert at_b1
        it.net.brokers["b1"].kill()
        # Every request is now on its way through the other two, joined to the execution that it already has.
        await until(lambda: links["b2"].in_flight + links["b3"].in_flight == 12)
        await until(lambda: sum(worker._loop.core.worker.duplicates for worker in it.workers.values()) == at_b1)
        for gate in it.gates.values():
            gate.set()
        outcomes = await asyncio.gather(*calls)
        assert errors(outcomes) == []
        assert len(it.record.executions) == 12
        assert sum(outcome.possible_duplicate for outcome in outcomes) == at_b1
        assert {outcome.retry_count for outcome in outcomes if outcome.possible_duplicate} == {1}


async def test_a_request_whose_answer_was_lost_gets_it_from_the_workers_memory():
    async with scene(workers=("w1",)) as it:
        it.net.partition("b1", "client", one_way=True)  # no answer arrives
        it.net.partition("b2", "client", one_way=True)
        call = asyncio.ensure_future(it.call())
        await until(lambda: it.net.counters.get("replies") == 1)
        for broker in it.net.brokers.values():
            broker.report()  # it answers when the turn in which the reply came is over, and the reply is lost
        it.net.heal()
        outcome = await call
        assert (outcome.possible_duplicate, outcome.retry_count) == (True, 1)
        assert len(it.record.executions) == 1


async def test_the_last_attempt_that_dies_with_its_broker_is_attempts_exhausted():
    async with scene(brokers=1) as it:
        it.gates["w1"].clear(), it.gates["w2"].clear()
        call = asyncio.ensure_future(it.client.request("s", b"x", attempts=1))
        await until(lambda: len(it.record.executions) == 1)
        it.net.brokers["b1"].kill()
        with pytest.raises(AttemptsExhausted) as caught:
            await call
        assert (caught.value.attempts, caught.value.maybe_executed) == (1, True)


async def all_down_for_two_seconds(it, outcomes):
    await it.answered(outcomes)
    for broker in it.net.brokers.values():
        broker.kill()
    await until(lambda: all(broker.problem for broker in it.client.brokers))
    before = len(outcomes)
    back_at = monotonic() + 2.0
    await until(lambda: monotonic() > back_at)
    assert len(outcomes) == before
    for broker in it.net.brokers.values():
        broker.restart()
    await it.answered(outcomes)


async def test_all_brokers_down_for_two_seconds_only_delay_who_may_retry():
    settings = Settings.test(attempts=20, retry_budget_max=1_000.0, retry_budget_per_s=1_000.0)
    async with scene(brokers=3, settings=settings) as it:
        async with it.load() as outcomes:
            await all_down_for_two_seconds(it, outcomes)
        assert errors(outcomes) == []


@pytest.mark.nightly
async def test_all_brokers_down_for_two_seconds_cause_no_storm():
    async with scene(brokers=3) as it:
        begun = monotonic()
        async with it.load() as outcomes:
            await all_down_for_two_seconds(it, outcomes)
        assert {outcome.kind for outcome in errors(outcomes)} <= {"NoWorker"}  # they are back before the workers
        settings, free = it.net.settings, 20  # each of the 20 that were under way fails over once for nothing
        earned = settings.retry_budget_max + settings.retry_budget_ratio * len(outcomes)
        earned += settings.retry_budget_per_s * (monotonic() - begun)
        assert it.client._loop.core.client.retries <= free + earned


async def test_brokers_that_stay_down_are_an_error_at_the_deadline():
    async with scene() as it:
        for broker in it.net.brokers.values():
            broker.kill()
        await until(lambda: all(broker.problem for broker in it.client.brokers))
        outcome = await it.call(timeout=0.3)
        assert outcome == Error("NoBroker", 0, maybe_executed=False)


# -- brokers that drain


async def test_brokers_that_drain_under_load_cost_no_error_and_no_flag():
    async with scene(brokers=3, settings=patient()) as it:
        async with it.load() as outcomes:
            for broker in it.net.brokers.values():
                await it.answered(outcomes)
                broker.stop()
                await broker.stopped(timeout=it.net.settings.drain_s)
                await it.answered(outcomes)
                broker.restart()
                await it.net.served("s", workers=2)
                await until(lambda: all(broker.state == "up" for broker in it.client.brokers))
        assert errors(outcomes) == []
        assert not any(outcome.possible_duplicate for outcome in outcomes)
        assert len(it.record.executions) == len(outcomes)


async def test_a_broker_that_drains_waits_for_what_is_under_way():
    async with scene(settings=patient()) as it:
        for gate in it.gates.values():
            gate.clear()
        calls = [asyncio.ensure_future(it.call()) for _ in range(10)]
        await until(lambda: len(it.record.executions) == 10)
        it.net.brokers["b1"].stop()
        await until(lambda: it.client.brokers[0].state == "draining")
        assert it.net.brokers["b1"].state == "draining"
        for gate in it.gates.values():
            gate.set()
        outcomes = await asyncio.gather(*calls)
        assert errors(outcomes) == []
        assert not any(outcome.possible_duplicate for outcome in outcomes)
        await it.net.brokers["b1"].stopped()


# -- brokers that hang


@pytest.mark.nightly
async def test_requests_at_a_paused_broker_are_retried_elsewhere_and_nothing_stale_runs_afterwards():
    async with scene() as it:
        async with it.load(timeout=1.2) as outcomes:
            await it.answered(outcomes)
            it.net.brokers["b1"].pause()
            await until(lambda: any(outcome.possible_duplicate for outcome in outcomes))
            paused_until = monotonic() + 2.0
            await until(lambda: monotonic() > paused_until)  # beyond every deadline of what it holds
            assert it.client.brokers[0].problem is not None
            resumed_at = monotonic()
            it.net.brokers["b1"].resume()
            await until(lambda: it.net.brokers["b1"].counters["sessions"] >= 7)  # all are back
            await it.answered(outcomes)
        assert errors(outcomes) == []
        deadlines = {call.key: call.deadline for call in it.record.calls}
        assert all(each.started <= deadlines[each.key] for each in it.record.executions if each.started > resumed_at)


async def test_what_waits_in_a_paused_broker_expires_there():
    async with scene(brokers=1, workers=("w1",), settings=Settings.test(dead_after_s=5.0)) as it:
        it.net.brokers["b1"].pause()
        outcomes = await asyncio.gather(*(it.call(timeout=0.4) for _ in range(10)))
        assert {outcome.kind for outcome in outcomes} == {"DeadlineExceeded"}
        it.net.brokers["b1"].resume()
        assert isinstance(await it.call(), Reply)
        assert it.net.counters["expired"] >= 10
        assert len(it.record.executions) == 1


async def test_what_waits_on_its_way_to_a_worker_expires_there(patch_cores):
    """The worker reads nothing for a while, as if its event loop were blocked; the client is gone: nobody cancels."""
    async with scene(brokers=1, workers=("w1",), settings=Settings.test(dead_after_s=5.0)) as it:
        worker, other = it.workers["w1"]._loop, it.net.node("other")
        await other.start()
        await other.connected()
        with blocked(worker, "b1", patch_cores):
            call = asyncio.ensure_future(other.request("s", b"x", timeout=0.05))
            await until(lambda: it.net.counters["requests"] == 1)
            other.kill()
            with pytest.raises(NodeClosed):
                await call
            read_at = monotonic() + 0.1  # expired, and yet not so old that it would be refused for that alone
            await until(lambda: monotonic() > read_at)
        assert isinstance(await it.call(), Reply)
        assert len(it.record.executions) == 1


@contextmanager
def blocked(loop, name, patch_cores):
    """Keep a node from reading what a broker sends."""
    broker = loop.connections.brokers[name]
    read = type(broker).read
    asyncio.get_running_loop().remove_reader(broker.descriptor)
    try:
        with patch_cores.context() as patch:
            patch.setattr(type(broker), "read", lambda self, found: self is broker or read(self, found))
            yield
    finally:
        asyncio.get_running_loop().add_reader(broker.descriptor, loop._on_told, broker)
        loop._on_told(broker)


# -- partitions


@cases("one_way", [None, ("client", "b1"), ("b1", "client")], one_in=3)
async def test_a_client_that_is_cut_off_from_one_broker_uses_the_other(one_way):
    async with scene() as it:
        async with it.load() as outcomes:
            await it.answered(outcomes)
            it.net.partition(*(one_way or ("client", "b1")), one_way=one_way is not None)
            await until(lambda: it.client.brokers[0].state != "up")
            await it.answered(outcomes)
            it.net.heal()
            await until(lambda: it.client.brokers[0].state == "up")
            await it.answered(outcomes)
        assert errors(outcomes) == []


async def test_a_worker_that_is_cut_off_from_one_broker_is_reached_through_the_other():
    async with scene(workers=("w1",)) as it:
        async with it.load() as outcomes:
            await it.answered(outcomes)
            it.net.partition("w1", "b1")
            await until(lambda: it.net.brokers["b1"].workers("s") == 0)
            await it.answered(outcomes)
            it.net.heal()
            await it.net.served("s")
            await it.answered(outcomes)
        assert errors(outcomes) == []


def sees_other(broker):
    return [peer.link for peer in broker.report().brokers] == ["", "up"]


@pytest.mark.nightly
async def test_brokers_that_do_not_hear_each_other_go_on_serving():
    async with scene(settings=patient(suspect_after_s=2.0, dead_after_s=4.0)) as it:
        async with it.load() as outcomes:
            await until(lambda: all(sees_other(broker) for broker in it.net.brokers.values()))
            it.net.partition("b1", "b2")
            await until(lambda: not any(sees_other(broker) for broker in it.net.brokers.values()))
            await it.answered(outcomes)
            it.net.heal()
            await until(lambda: all(sees_other(broker) for broker in it.net.brokers.values()))
        assert errors(outcomes) == []
        assert not any(outcome.possible_duplicate for outcome in outcomes)


# -- workers that are killed


async def test_a_worker_that_is_killed_in_its_job_is_replaced_and_the_retry_is_flagged():
    async with scene() as it:
        for gate in it.gates.values():
            gate.clear()
        call = asyncio.ensure_future(it.call())
        await until(lambda: len(it.record.executions) == 1)
        first = it.record.executions[0].worker
        it.workers[first].kill()
        await until(lambda: len(it.record.executions) == 2)
        for gate in it.gates.values():
            gate.set()
        outcome = await call
        assert (outcome.possible_duplicate, outcome.retry_count) == (True, 1)
        assert outcome.sender != first
        assert [each.possible_duplicate for each in it.record.executions] == [False, True]
        assert it.net.counters["lost"] == 1


async def test_killed_workers_lose_nothing_under_load():
    async with scene(workers=("w1", "w2", "w3")) as it:
        async with it.load(attempts=6) as outcomes:
            for name in ("w1", "w2", "w3"):
                await it.answered(outcomes)
                it.workers[name].kill()
                await it.answered(outcomes)
                await it.worker(f"{name}-new").start()
                await it.net.served("s", workers=3)
                await until(lambda name=name: f"{name}-new" in it.ran_on)
        assert errors(outcomes) == []
        assert set(it.ran_on) == {"w1", "w2", "w3", "w1-new", "w2-new", "w3-new"}


async def test_requests_of_a_killed_client_are_cancelled_at_their_workers():
    async with scene() as it:
        for gate in it.gates.values():
            gate.clear()
        other = it.net.node("other")
        await other.start()
        call = asyncio.ensure_future(other.request("s", b"x"))
        await until(lambda: len(it.record.executions) == 1)
        other.kill()
        with pytest.raises(NodeClosed):
            await call
        with pytest.raises(NodeClosed):
            await other.request("s")
        for gate in it.gates.values():
            gate.set()
        assert isinstance(await it.call(), Reply)


# -- deadlines hold whatever happens


@pytest.mark.nightly
async def test_a_request_never_outlives_its_deadline_when_nothing_answers():
    async with scene() as it:
        for broker in it.net.brokers.values():
            broker.pause()
        outcomes = await asyncio.gather(*(it.call(timeout=timeout) for timeout in (0.2, 0.7, 1.6)))
        assert {outcome.kind for outcome in outcomes} <= {DeadlineExceeded.__name__, NoBroker.__name__}
        assert outcomes[0].maybe_executed
        for broker in it.net.brokers.values():
            broker.resume()
        assert isinstance(await it.call(), Reply)
