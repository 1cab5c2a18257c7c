"""What joins the core of a bridge to nodes, with a core that does as it is told."""

import asyncio
import contextlib
from typing import Any

import pytest

from braidmq.bridges.driver import Driver
from braidmq.bridges.port import OWN, Call, Cancel, Finish, Offer, Peer, Withdraw
from braidmq.errors import NotRun, Overloaded
from braidmq.messages import Reply
from braidmq.settings import Settings
from tests.support.async_tests import until


class Core:
    """Has one foreign service, and keeps its jobs until it is told to finish them."""

    def __init__(self):
        self.counters = {}
        self.jobs, self.outputs, self.gone = [], [], []
        self.calls, self.ends = 0, {}

    def call(self, peer, timeout_s=60.0, *, times=1):
        for _ in range(times):
            self.calls += 1
            self.outputs.append(Call(self.calls, peer, "echo", b"%d" % self.calls, timeout_s, {}))
        return self.calls

    def cancel(self, number):
        self.outputs.append(Cancel(number))

    def on_call_end(self, number, end, now):
        assert number not in self.ends
        self.ends[number] = end

    def offer(self, service):
        self.outputs.append(Offer(OWN, service, 1))

    def finish(self, outcome):
        self.outputs.append(Finish(self.jobs.pop().number, outcome))

    def on_job(self, job, now):
        self.jobs.append(job)

    def on_job_dropped(self, number, now):
        self.jobs = [job for job in self.jobs if job.number != number]

    def on_services(self, member, services, now):
        pass

    def on_gone(self, peer, now):
        self.gone.append(peer)

    def on_timer(self, now):
        pass

    def drain(self, now):
        self.outputs.append(Withdraw(OWN, "mdp.echo"))

    def end(self, now):
        pass

    def take(self):
        outputs, self.outputs = self.outputs, []
        return outputs

    def next_deadline(self):
        return None

    @property
    def idle(self):
        return not self.jobs


class Node:
    """Knows what is offered."""

    def __init__(self):
        self.handlers = {}
        self.requests = {}

    async def request(self, service, payload, **_):
        """Wait for `answer`."""
        self.requests[int(payload)] = asyncio.get_running_loop().create_future()
        return await self.requests[int(payload)]

    def answer(self, number):
        self.requests.pop(number).set_result(
            Reply(b"", "w", "bridge", "echo", b"", b"", possible_duplicate=False, retry_count=0, broker="b")
        )

    async def offer(self, service, handler, *, concurrency):
        self.handlers[service] = handler

    async def withdraw(self, service):
        del self.handlers[service]
        await asyncio.Event().wait()  # it may take long until what runs has ended

    def services_available(self):
        return frozenset()

    async def services_changed(self, known):
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def driven(**settings):
    """A driver, its core and its node, which offers a service of the core."""
    core: Any = Core()
    node: Any = Node()
    endpoint: Any = None
    driver = Driver(core, {OWN: node}, Settings(in_flight_max=64, **settings))
    driver.start(endpoint)
    core.offer("mdp.echo")
    driver.schedule()
    await until(lambda: bool(node.handlers))
    try:
        yield driver, core, node
    finally:
        driver.end()


async def test_idle_bridge_has_withdrawn_its_services_when_it_has_drained():
    async with driven() as (driver, _, node):
        await driver.drain(10)
        assert not node.handlers


async def test_drain_waits_for_a_request_that_comes_as_it_begins():
    async with driven() as (driver, core, node):
        draining = asyncio.create_task(driver.drain(10))
        request = asyncio.create_task(node.handlers["mdp.echo"](None))
        await until(lambda: core.jobs)
        assert not draining.done()
        core.finish(b"42")
        driver.schedule()
        assert await request == b"42"
        await draining


async def test_request_that_comes_after_the_end_is_not_run():
    async with driven() as (driver, core, node):
        handler = node.handlers["mdp.echo"]
        driver.end()
        with pytest.raises(NotRun):
            async with asyncio.timeout(10):
                await handler(None)
        assert not core.jobs


async def test_after_its_end_a_core_is_told_nothing():
    async with driven() as (driver, core, _):
        driver.on_gone(first := Peer(b"first"))
        driver.end()
        driver.on_gone(Peer(b"second"))
        assert core.gone == [first]


async def test_call_of_another_peer_is_on_its_way_beside_those_of_one_that_floods():
    async with driven() as (driver, core, node):
        core.call(Peer(b"flood"), times=100)
        other = core.call(Peer(b"other"))
        driver.schedule()
        await until(lambda: other in node.requests)
        assert len(node.requests) <= 50


async def test_each_call_that_ends_lets_one_go_on_that_has_waited():
    async with driven() as (driver, core, node):
        last = core.call(Peer(b"flood"), times=60)
        driver.schedule()
        await until(lambda: len(node.requests) >= 49)
        while last not in node.requests:
            before = len(node.requests)
            node.answer(min(node.requests))
            await until(lambda before=before: len(node.requests) == before)
        while node.requests:
            node.answer(min(node.requests))
        await until(lambda: len(core.ends) == 60)
        assert all(isinstance(end, Reply) for end in core.ends.values())


async def test_call_that_waits_in_vain_ends_as_overloaded_and_has_not_left():
    async with driven() as (driver, core, node):
        peer = Peer(b"flood")
        core.call(peer, times=60)
        late = core.call(peer, 0.05)
        driver.schedule()
        await until(lambda: late in core.ends)
        end = core.ends[late]
        assert isinstance(end, Overloaded)
        assert (end.service, end.maybe_executed) == ("echo", False)
        assert late not in node.requests


async def test_each_call_that_cannot_even_wait_is_noted():
    async with driven(waiting_max=40) as (driver, core, node):
        flooder, other = Peer(b"flood"), Peer(b"other")
        last = core.call(flooder, times=100)
        driver.schedule()
        await until(lambda: last in core.ends)
        assert all(isinstance(end, Overloaded) for end in core.ends.values())
        assert flooder.refused == len(core.ends) == 100 - 49 - 20
        theirs = core.call(other)
        driver.schedule()
        await until(lambda: theirs in node.requests)
        assert other.refused == 0


async def test_call_that_waits_and_is_cancelled_never_leaves():
    async with driven() as (driver, core, node):
        last = core.call(Peer(b"flood"), times=60)
        for number in range(50, last):
            core.cancel(number)
        driver.schedule()
        await until(lambda: len(node.requests) >= 49)
        for number in tuple(node.requests):
            node.answer(number)
        await until(lambda: last in node.requests)
        assert set(node.requests) == {last}
