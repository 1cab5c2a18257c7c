"""A broker that is renamed while it runs: it knows itself by its keys, and nobody has it twice."""

import asyncio

import pytest

from braidmq import Node
from braidmq.errors import BraidError
from braidmq.lab.processes.waiting import WAIT_S_MAX
from braidmq.trust import joinfile
from tests.support.async_tests import until
from tests.support.processes import LiveNet

BROKERS = {"b1", "b2", "b3"}
AFTER = {"shop", "b2", "b3"}
CALLS = 200


class Load:
    """Calls without a pause, until it is ended."""

    def __init__(self, node):
        self.replies = 0
        self.errors = []
        self._node = node
        self._calling = asyncio.create_task(self._run())

    async def _run(self):
        while True:
            try:
                await self._node.request("echo", b"x", timeout=20.0)
                self.replies += 1
            except BraidError as error:
                self.errors.append(error)
            await asyncio.sleep(0)

    async def go_on(self):
        before = self.replies
        await until(lambda: self.replies >= before + CALLS, WAIT_S_MAX)

    async def end(self):
        self._calling.cancel()
        await asyncio.gather(self._calling, return_exceptions=True)
        assert not self.errors


def worker_of(join):
    node = Node(joinfile.load(join))

    @node.service("echo")
    async def echo(request):
        return request.payload

    return node


def views(live):
    """Return how each broker sees the net, and the names of the nodes that it has sessions with."""
    return {
        name: (
            {row.name: (row.state, row.link) for row in report.brokers if row.name != name},
            sorted(node.name for node in report.nodes if node.name in ("caller", "worker")),
        )
        for name, report in live.reports().items()
    }


async def agreed(live):
    """Wait until all brokers list each of them once, by its new name, and each has one session with each node."""
    wanted = {name: (dict.fromkeys(AFTER - {name}, ("alive", "up")), ["caller", "worker"]) for name in AFTER}
    give_up_at = asyncio.get_running_loop().time() + WAIT_S_MAX
    while (found := await asyncio.to_thread(views, live)) != wanted:
        assert asyncio.get_running_loop().time() < give_up_at, found


async def shown(live):
    """Return what `braidmq status` shows, which must find nothing wrong."""
    result = await asyncio.to_thread(live.run, "status", "--join", live.join("observer"))
    assert result.returncode == 0, result.stdout.decode()
    return result.stdout.decode()


@pytest.mark.nightly
async def test_a_broker_that_is_renamed_under_load_is_one_broker(tmp_path):
    with LiveNet(tmp_path / "net") as live:
        live.authority.add_node("operator", observe=True, publish=True)
        for name in sorted(BROKERS):
            live.add_broker(name)
        worker = worker_of(live.add_node("worker", serves=["echo"]))
        caller = Node(joinfile.load(live.add_node("caller", calls=["echo"])))
        live.add_node("observer", observe=True)
        brokers = [await asyncio.to_thread(live.broker, name) for name in sorted(BROKERS)]
        async with worker, caller:
            await until(lambda: all(len(node.brokers) == len(BROKERS) for node in (worker, caller)), WAIT_S_MAX)
            load = Load(caller)
            await load.go_on()
            result = await asyncio.to_thread(live.run, "rename", "b1", "shop", "--net", live.directory)
            assert result.returncode == 0, result.stderr.decode()
            await asyncio.to_thread(brokers[0].wait_for_line, "b1 is registered as shop now: restart it")
            await agreed(live)
            await load.go_on()
            assert "b1" not in await shown(live)
            assert {each.name for each in caller.brokers} == AFTER
            assert (await caller.request("echo", b"x", via="shop")).broker == "shop"
            assert brokers[0].log.count("restart it") == 1
            for said in ("shop has joined", "connected to shop", "speaks for"):
                assert said not in brokers[0].log
            await asyncio.to_thread(brokers[0].end)
            await asyncio.to_thread(live.broker, "shop")
            await agreed(live)
            await load.go_on()
            assert "b1" not in await shown(live)
            await load.end()
