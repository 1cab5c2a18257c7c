"""Services apart from a node: declared once, provided by any number of nodes."""

import asyncio

import pytest

from braidmq import ConfigError, Node, Request, Services
from braidmq.testing import TestNet


def declared(*names):
    services = Services()
    for name in names:

        @services.service(name)
        async def handler(request: Request) -> bytes:
            return request.receiver.encode()

    return services


async def test_one_object_serves_two_nodes_and_two_nets():
    services = declared("who")
    for _ in range(2):
        async with TestNet(brokers=1) as net, net.node("client") as client:
            for name in ("w1", "w2"):
                async with net.node(name, services=services):
                    await net.served("who")
                    assert (await client.request("who", wait=True)).payload == name.encode()


def test_a_blocking_node_takes_them():
    with TestNet(brokers=1) as net, net.blocking_node("worker", services=declared("who")) as worker:
        net.wait_served("who")
        assert worker.request("who").payload == b"worker"


def test_a_handler_can_be_called_like_any_function():
    services = Services()

    @services.service("double", concurrency=3)
    async def double(request: Request) -> bytes:
        return request.payload * 2

    [service] = services
    assert (service.name, service.handler, service.concurrency) == ("double", double, 3)


async def test_a_node_provides_its_own_services_besides_and_none_twice():
    services = declared("one")
    async with TestNet(brokers=1) as net:
        node = net.node("worker", services=services)

        @node.service("own")
        async def own(request: Request) -> bytes:
            return b"own"

        assert node.services == ("one", "own")
        assert [service.name for service in services] == ["one"]
        with pytest.raises(ConfigError, match="one has a handler already"):
            node.service("one")
        with pytest.raises(ConfigError, match="one has a handler already"):
            services.service("one")


async def test_what_is_declared_until_the_start_is_provided_and_later_ones_are_for_others():
    services = Services()
    async with TestNet(brokers=1) as net:
        early = net.node("early", services=services)
        services.service("s")(lambda _request: b"early or late")
        async with early:
            await net.served("s")
            services.service("t")(lambda _request: b"late")
            assert early.services == ("s",)
            async with net.node("late", services=services) as late:
                await net.served("t")
                assert late.services == ("s", "t")


async def test_a_service_that_both_have_keeps_the_node_from_starting():
    services = Services()
    async with TestNet(brokers=1) as net:
        node = net.node("worker", services=services)
        node.service("s")(lambda _request: b"")
        services.service("s")(lambda _request: b"")
        with pytest.raises(ConfigError, match="s has a handler already"):
            await node.start()
        assert node.brokers == []


async def test_what_the_join_file_does_not_allow_is_named_when_the_node_is_made():
    services = declared("one.a", "two")
    async with TestNet(brokers=1) as net:
        with pytest.raises(ConfigError, match="worker may not serve two: make a join file with --serve two"):
            net.node("worker", serve=["one.*"], services=services)
        late = net.node("late", serve=["one.*"], services=(services := declared("one.a")))
        services.service("two")(lambda _request: b"")
        with pytest.raises(ConfigError, match="late may not serve two"):
            await late.start()


async def test_two_decorators_for_one_service_do_not_replace_each_other():
    services = Services()
    first, second = services.service("s"), services.service("s")
    first(lambda _request: b"first")
    with pytest.raises(ConfigError, match="s has a handler already"):
        second(lambda _request: b"second")


def test_a_module_needs_no_join_file_and_its_nodes_do():
    services = declared("s")
    with pytest.raises(ConfigError, match="does not exist"):
        Node("not-there.braid", services=services)


async def test_services_that_many_nodes_share_run_at_once():
    services = Services()
    running: set[str] = set()
    both = asyncio.Event()

    @services.service("s")
    async def handler(request: Request) -> bytes:
        running.add(request.receiver)
        if len(running) == 2:
            both.set()
        await both.wait()
        return b""

    async with (
        TestNet(brokers=1) as net,
        net.node("client") as client,
        net.node("w1", services=services),
        net.node("w2", services=services),
    ):
        await net.served("s", workers=2)
        await asyncio.gather(client.request("s"), client.request("s"))
