"""What joins the core of a bridge to nodes, with a core that does as it is told."""

import asyncio
import contextlib
from typing import Any

import pytest

from braidmq.bridges.driver import Driver
from braidmq.bridges.port import OWN, Finish, Offer, Withdraw
from braidmq.errors import NotRun
from tests.support.async_tests import until


class Core:
    """Has one foreign service, and keeps its jobs until it is told to finish them."""

    def __init__(self):
        self.counters = {}
        self.jobs, self.outputs = [], []

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
async def driven():
    """A driver, its core and its node, which offers a service of the core."""
    core: Any = Core()
    node: Any = Node()
    endpoint: Any = None
    driver = Driver(core, {OWN: node})
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
