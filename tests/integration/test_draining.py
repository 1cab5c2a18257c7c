"""A node that drains lets its handlers finish, with the calls that they make."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from braidmq import AttemptsExhausted, NodeClosed, Settings
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.services import Gate, async_echo

SHORT = Settings.test(drain_s=0.3)


async def test_handlers_call_others_while_their_node_drains():
    gate = Gate()
    async with TestNet(2) as net, net.node("back") as idle:
        back, middle = net.node("back"), net.node("middle")
        back.service("back")(async_echo)

        @middle.service("middle")
        async def handler(request):
            await gate(request)
            direct = await middle.request("back", request.payload)
            in_a_task = await asyncio.create_task(middle.request("back", direct.payload))
            return in_a_task.payload

        assert idle.services == ()
        async with back, middle, net.node("front") as front:
            await net.served("back"), await net.served("middle")
            calls = [asyncio.ensure_future(front.request("middle", b"%d" % number)) for number in range(20)]
            await until(lambda: gate.running == 20)
            closing = asyncio.ensure_future(middle.close())
            await until(lambda: middle._loop.core.worker.draining)
            with pytest.raises(NodeClosed, match="draining"):
                await middle.request("back")
            gate.opened.set()
            replies = await asyncio.gather(*calls)
            await closing
    assert [(reply.payload, reply.possible_duplicate) for reply in replies] == [(b"%d" % n, False) for n in range(20)]


async def test_def_handlers_call_others_while_their_node_drains():
    async with TestNet(2) as net:
        back, middle = net.node("back"), net.blocking_node("middle")
        gate = Gate()
        gate.serve(back, "back")

        @middle.service("middle")
        def handler(_request):
            middle.request("back")
            return middle.request("back").payload

        async with back, net.node("front") as front:
            with ThreadPoolExecutor(1) as pool, middle:
                await net.served("back"), await net.served("middle")
                call = asyncio.ensure_future(front.request("middle"))
                await until(lambda: gate.running == 1)
                closing = pool.submit(middle.close)
                await until(lambda: middle._node._loop.core.worker.draining)
                gate.opened.set()
                assert (await call).payload == b"done"
                await asyncio.wrap_future(closing)


async def test_what_a_handler_cannot_finish_in_its_nodes_drain_is_done_by_another_worker():
    """Whether it is told of the end by its cancellation, or by a call of somebody else that it waits for."""
    gate, refused = Gate(), []
    async with TestNet(2) as net:
        first, second = net.node("first", settings=SHORT), net.node("second")

        @first.service("s")
        async def handler(request):
            await gate(request)
            try:
                await errands
            except NodeClosed:
                refused.append(1)
                raise

        async def errand():
            await gate.opened.wait()
            await first.request("s")

        async with first, net.node("client") as client:
            errands = asyncio.ensure_future(errand())
            await net.served("s")
            call = asyncio.ensure_future(client.request("s"))
            await until(lambda: gate.running == 1)
            second.service("s")(async_echo)
            async with second:
                await net.served("s", workers=2)
                closing = asyncio.ensure_future(first.close())
                await until(lambda: first._loop.core.worker.draining)
                gate.opened.set()
                reply = await call
                assert (reply.sender, reply.possible_duplicate, refused) == ("second", True, [1])
                await closing


async def test_calls_of_handlers_end_with_the_drain_and_their_requests_go_elsewhere():
    gate = Gate()
    async with TestNet(1) as net:
        back, middle = net.node("back"), net.node("middle", settings=SHORT)
        gate.serve(back, "back")

        @middle.service("middle")
        async def handler(_request):
            await middle.request("back")

        async with back, net.node("front") as front:
            async with middle:
                await net.served("back"), await net.served("middle")
                call = asyncio.ensure_future(front.request("middle", attempts=1))
                await until(lambda: gate.running == 1)
            with pytest.raises(AttemptsExhausted) as caught:
                await call
            assert caught.value.maybe_executed
            await until(lambda: gate.cancelled == 1)


async def test_nested_calls_of_a_node_to_itself_do_not_wait_for_the_calls_that_wait_for_them():
    async with TestNet(1, settings=Settings.test(in_flight_max=4)) as net:
        node = net.node("n")

        @node.service("outer")
        async def outer(request):
            return (await node.request("inner", request.payload)).payload

        node.service("inner")(async_echo)
        async with node:
            await net.served("outer"), await net.served("inner")
            replies = await asyncio.gather(*(node.request("outer", b"%d" % number) for number in range(12)))
    assert [reply.payload for reply in replies] == [b"%d" % number for number in range(12)]


def test_an_idle_broker_ends_as_soon_as_it_is_told_to(monkeypatch):
    monkeypatch.setattr("braidmq.carrier.broker_loop.REGISTRY_S", 600.0)  # nothing else ends its turns
    with TestNet(1) as net:
        broker = net.brokers["b1"]
        broker.stop()
        broker.wait_stopped(10.0)
