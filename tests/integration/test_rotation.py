"""Keys that change under load: no call fails, and none is flagged."""

import asyncio
import contextlib
from functools import partial

import pytest

from braidmq import Node
from braidmq.errors import BraidError
from braidmq.lab.processes.child import BRAIDMQ
from braidmq.testing import TestNet
from tests.support.patience import patient
from tests.support.processes import LiveNet

WAIT_S = 30.0


async def until(holds, what):
    """Wait until something holds, by looking again and again."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + WAIT_S
    while not holds():
        assert loop.time() < give_up_at, what
        await asyncio.sleep(0.02)


async def change(net, change_one=None):
    """Change every member, and let all brokers read it; the nodes' loop does not stand still meanwhile."""
    await asyncio.to_thread(_change, net, change_one)


def _change(net, change_one):
    if change_one is not None:
        for name in [each.name for each in net.authority.members()]:
            change_one(name)
    for done in [broker.reread_registry() for broker in net.brokers.values()]:
        done.result(WAIT_S)


class Load:
    """Calls without a pause, until it is ended."""

    def __init__(self, node):
        self.replies = 0
        self.flagged = 0
        self.errors: list[BraidError] = []
        self._node = node
        self._ends = False

    async def run(self):
        while not self._ends:
            try:
                reply = await self._node.request("echo", b"x", timeout=WAIT_S)
                self.replies += 1
                self.flagged += reply.possible_duplicate
            except BraidError as error:
                self.errors.append(error)
            await asyncio.sleep(0)

    def end(self):
        self._ends = True


@pytest.mark.nightly
async def test_a_net_of_three_brokers_and_twenty_nodes_changes_all_its_keys_by_the_command_line(tmp_path):
    """Real brokers, a command for each key, 20 nodes under load: nothing fails, and nothing may have run twice."""
    with LiveNet(tmp_path / "net") as live:
        live.authority.add_node("operator", observe=True, publish=True)
        brokers = ("b1", "b2", "b3")
        for name in brokers:
            live.add_broker(name)
        workers = [Node(live.add_node(f"worker-{number}", serves=["echo"])) for number in range(5)]
        callers = [Node(live.add_node(f"caller-{number}", calls=["echo"]), settings=patient()) for number in range(15)]
        live.add_node("observer", observe=True)
        for name in brokers:
            live.broker(name)
        for worker in workers:

            @worker.service("echo")
            async def echo(request):
                return request.payload

        async with contextlib.AsyncExitStack() as stack:
            for node in (*workers, *callers):
                await stack.enter_async_context(node)
            await asyncio.to_thread(live.wait_for_workers, "echo", workers=len(workers))
            loads = [Load(caller) for caller in callers]
            calling = [asyncio.create_task(load.run()) for load in loads]
            for step in ((), ("--finish",)):
                for name in [each.name for each in live.authority.members()]:
                    await command("rotate", name, "--net", live.directory, *step)
                if not step:
                    keys = {each.name: each.keys[-1] for each in live.authority.members()}
                    for node in (*workers, *callers):
                        key = keys[node.name]
                        await until(lambda node=node, key=key: renewed(node, key), f"{node.name} goes on")
            replies = sum(load.replies for load in loads)
            await until(lambda before=replies: sum(load.replies for load in loads) > before + 1_000, "calls go on")
            for load in loads:
                load.end()
            await asyncio.gather(*calling)
    assert not [error for load in loads for error in load.errors]
    assert not sum(load.flagged for load in loads)


async def command(*arguments):
    """Run a command of the operator, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        *BRAIDMQ, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.fixture
def net():
    with TestNet(brokers=3) as net:
        yield net


@pytest.mark.parametrize("proofs", ["always", pytest.param("never", marks=pytest.mark.nightly)])
async def test_all_keys_change_under_load(net, proofs):
    authority = net.authority
    for name in ("worker-1", "worker-2"):
        authority.add_node(name, serves=["echo"])
    authority.add_node("caller", calls=["echo"])
    await change(net)
    workers = [Node(authority.directory / f"worker-{number}.braid") for number in (1, 2)]
    for worker in workers:

        @worker.service("echo")
        async def echo(request):
            return request.payload

    caller = Node(authority.directory / "caller.braid", settings=patient(authenticate_replies=proofs))
    async with workers[0], workers[1], caller:
        await net.served("echo", workers=2)
        load = Load(caller)
        calling = asyncio.create_task(load.run())
        before = {each.name: each.keys[-1] for each in authority.members()}
        await change(net, partial(authority.rotate, overlap_s=3_600))
        keys = {each.name: each.keys[-1] for each in authority.members()}
        assert not set(before.values()) & set(keys.values())
        for node in (*workers, caller):
            await until(lambda node=node: uses(net, node.name, keys[node.name]), f"{node.name} has not changed over")
        await change(net, authority.finish)
        replies = load.replies
        await until(lambda: load.replies > replies + 100, "calls go on")
        load.end()
        await calling
    assert not load.errors
    assert not load.flagged


def renewed(node, key):
    """Whether a node has connected anew to every broker since it got a key."""
    assert node._loop is not None
    return node._loop.papers._identity.public_key == key and not node._loop.core.selection._former


def uses(net, name, key):
    """Whether all connections of a node to the brokers are with a key."""
    used = [set(broker._ask(lambda loop, _now: keys_of(loop, name)).result(WAIT_S)) for broker in net.brokers.values()]
    return all(each == {key.hex()} for each in used)


def keys_of(loop, name):
    return [each.usage.principal for each in loop._core.sessions.values() if each.member.name == name]
