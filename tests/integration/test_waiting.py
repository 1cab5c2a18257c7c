"""Calls of a service whose only worker is restarted, or has not come yet."""

import asyncio
from time import monotonic

import pytest

from braidmq import Node, NoWorker, Services, Settings
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.nights import cases
from tests.support.processes import LiveNet, complaint

SERVICES = """
from braidmq import Services

services = Services()


@services.service("echo")
async def echo(request):
    return request.payload
"""


def echoing():
    services = Services()

    @services.service("echo")
    async def echo(request):
        return request.payload

    return services


class Callers:
    """Calls `echo` again and again, one call after the other each, until told to end."""

    def __init__(self, client, count, **options):
        self.replies = 0
        self._client = client
        self._options = options
        self._ended = False
        self._tasks = [asyncio.create_task(self._call()) for _ in range(count)]

    async def _call(self):
        while not self._ended:
            assert (await self._client.request("echo", b"x", **self._options)).payload == b"x"
            self.replies += 1

    async def more(self):
        """Wait until each may have had another reply."""
        goal, give_up_at = self.replies + len(self._tasks), monotonic() + 10.0
        while self.replies < goal:
            assert monotonic() < give_up_at
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.005)

    async def end(self):
        self._ended = True
        await asyncio.gather(*self._tasks)


@pytest.mark.parametrize("how", ["close", "kill"])
@cases("options", [{}, {"wait": True}], one_in=2)
async def test_no_call_fails_while_the_only_worker_is_restarted(how, options):
    services = echoing()
    async with TestNet(brokers=2) as net, net.node("client") as client:
        worker = net.node("worker", services=services)
        await worker.start()
        await client.request("echo", wait=True)  # now the client knows of the service
        callers = Callers(client, 10, timeout=10.0, **options)
        for _ in range(3):
            await callers.more()
            if how == "close":
                await worker.close()
            else:
                worker.kill()
            await until(lambda: not any(broker.workers("echo") for broker in net.brokers.values()))
            worker = net.node("worker", services=services)
            await worker.start()
        await callers.more()
        await callers.end()
        await worker.close()


async def test_a_service_that_never_had_a_worker_is_told_at_once_unless_the_call_waits():
    async with TestNet(brokers=2, settings=Settings.test(settle_s=0.0)) as net, net.node("client") as client:
        await client.settled()
        with pytest.raises(NoWorker):
            await client.request("echo", timeout=30.0)
        waiting = asyncio.create_task(client.request("echo", timeout=30.0, wait=True))
        async with net.node("worker", services=echoing()):
            await waiting


async def test_a_call_that_shall_not_wait_is_told_at_once_although_there_was_a_worker():
    async with TestNet(brokers=2, settings=Settings.test(settle_s=0.0)) as net, net.node("client") as client:
        async with net.node("worker", services=echoing()):
            await client.request("echo", wait=True)
        with pytest.raises(NoWorker):
            await client.request("echo", timeout=30.0, wait=False)


def test_a_blocking_call_waits():
    with TestNet(brokers=1) as net, net.blocking_node("client") as client:
        with pytest.raises(NoWorker, match="in time"):
            client.request("echo", timeout=0.5, wait=True)
        with net.blocking_node("worker", services=echoing()):
            client.request("echo", wait=True)


@pytest.fixture
def net(live, tmp_path):
    (tmp_path / "app.py").write_text(SERVICES)
    live.add_members("b1", "b2")
    live.broker("b1")
    live.broker("b2")
    return live


async def test_no_call_fails_while_the_process_of_the_only_worker_is_restarted(net: LiveNet, tmp_path):
    worker = net.serve("app:services", cwd=tmp_path)
    net.wait_for_workers("echo")
    async with Node(net.join("client")) as client:
        await client.request("echo", wait=True)
        callers = Callers(client, 10, timeout=30.0)
        for _ in range(2):
            await callers.more()
            assert await asyncio.to_thread(worker.end) == 0
            worker = net.serve("app:services", cwd=tmp_path)
        await callers.more()
        await callers.end()


@pytest.mark.nightly
def test_the_command_waits(net, tmp_path):
    assert "no worker" in complaint(net.call("echo", "--timeout", "20", "--no-wait"), 5)
    assert "in time" in complaint(net.call("echo", "--timeout", "6", "--wait"), 5)
    with net.calling("echo", "hello", "--timeout", "30", "--wait") as caller:
        net.serve("app:services", cwd=tmp_path)
        assert caller.communicate(timeout=30)[0] == b"hello"
