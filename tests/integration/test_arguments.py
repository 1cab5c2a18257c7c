"""A wrong argument is a ConfigError that names it, whatever it is and wherever it is given."""

import asyncio
from types import MappingProxyType
from typing import Any

import pytest

from braidmq import BrokerObserver, ConfigError, Node, NodeObserver, Services, Settings, blocking
from braidmq.testing import TestNet


@pytest.fixture(scope="module")
def net():
    with TestNet(brokers=1) as net:
        net.node("worker")
        yield net


def named(caught, name):
    said = str(caught.value)
    assert name in said
    assert "\n" not in said


@pytest.mark.parametrize("make", [Node, blocking.Node])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("settings", {"timeout_s": 5}), ("settings", "lan"), ("settings", Settings), ("state", 5), ("state", b"state"),
        ("services", ["echo"]), ("services", {}), ("services", Services), ("services", "echo"), ("join", None),
        ("join", b"worker.braid"), ("join", 5), ("observer", print), ("observer", BrokerObserver()),
    ],
)  # fmt: skip
def test_of_a_node(net, make, name, value):
    with pytest.raises(ConfigError) as caught:
        make(**{"join": net.join("worker"), name: value})
    named(caught, name)


def decorators(net):
    return [Services().service, net.node("worker").service, net.blocking_node("worker").service]


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("name", [None, b"echo", "", 5, ["echo"], "a b", "x" * 128, True])
def test_of_a_services_name(net, which, name):
    with pytest.raises(ConfigError) as caught:
        decorators(net)[which](name)
    named(caught, "cannot name a service")


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("concurrency", ["4", True, 2.5, 0, -1, 10_001, None, [4], float("nan")])
def test_of_concurrency(net, which, concurrency):
    with pytest.raises(ConfigError) as caught:
        decorators(net)[which]("echo", concurrency=concurrency)
    named(caught, "concurrency")


@pytest.mark.parametrize("which", range(3))
def test_a_decorator_without_parentheses_is_told_what_is_missing(net, which):
    with pytest.raises(ConfigError, match="with parentheses"):

        @decorators(net)[which]
        async def echo(request):
            return request.payload


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("service", None), ("service", b"s"), ("service", ""), ("payload", "text"), ("payload", None), ("payload", [1]),
        ("timeout", "5"), ("timeout", True), ("timeout", -1), ("timeout", 0), ("timeout", 10**400),
        ("timeout", float("nan")), ("attempts", "3"), ("attempts", 1.0), ("attempts", 10**30), ("via", 5),
        ("via", ""), ("via", "\ud800"), ("via", "b 1"), ("service", "\ud800"),
        ("headers", ["a"]), ("headers", {"a": 1}), ("headers", {"a": "\ud800"}), ("wait", "yes"), ("wait", 0),
    ],
)  # fmt: skip
async def test_of_a_call(name, value):
    async with TestNet(brokers=1) as net, net.node("client") as client:
        with pytest.raises(ConfigError) as caught:
            await client.request(**{"service": "s", name: value})
        named(caught, name.rstrip("s"))
        assert str(caught.value).isprintable()


async def test_a_released_memoryview_is_no_payload():
    view = memoryview(b"text")
    view.release()
    async with TestNet(brokers=1) as net, net.node("client") as client:
        with pytest.raises(ConfigError, match="released"):
            await client.request("s", view)


async def test_of_a_wait():
    wrong: list[Any] = ["x", None, True, -1, float("nan"), [1]]
    async with TestNet(brokers=1) as net, net.node("client", observe=True) as client:
        for timeout in wrong:
            for wait in (client.settled, client.observe, lambda timeout: net.served("s", timeout=timeout)):
                with pytest.raises(ConfigError, match="timeout"):
                    await wait(timeout=timeout)
        await client.settled(timeout=float("inf"))
        assert list(await client.observe(timeout=10**400)) == ["b1"]


async def test_arguments_may_be_whatever_works():
    async with TestNet(brokers=1) as net:
        join = net.join("b1").with_name("worker.braid")
        net.node("worker").service("echo")
        settings = Settings.test(timeout_s=5)
        worker = Node(str(join), settings=settings, state=str(join.with_suffix(".state")))
        worker.service("echo", concurrency=2)(lambda request: request.payload + request.headers["a"].encode())
        async with worker:
            await net.served("echo")
            for payload in (b"1234", bytearray(b"1234"), memoryview(b"1x2x3x4x")[::2], memoryview(b"1234").cast("I")):
                reply = await worker.request("echo", payload, timeout=5, headers=MappingProxyType({"a": "5"}))
                assert reply.payload == b"12345"
        assert (await asyncio.to_thread(join.with_suffix(".state").read_bytes)) != b""


@pytest.mark.parametrize("brokers", ["2", None, True, 2.0, 0, 51, [2]])
def test_of_a_test_net(brokers):
    with pytest.raises(ConfigError, match="brokers must be"):
        TestNet(brokers=brokers)


@pytest.mark.parametrize("settings", [{}, "test", Settings])
def test_of_a_test_nets_settings(settings):
    with pytest.raises(ConfigError, match="settings must be"):
        TestNet(settings=settings)


@pytest.mark.parametrize("observer", [print, NodeObserver(), BrokerObserver])
def test_of_a_test_nets_observer(observer):
    with pytest.raises(ConfigError, match=r"observer must be a braidmq\.BrokerObserver"):
        TestNet(observer=observer)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("name", None, "cannot name a member"), ("name", 5, "cannot name a member"),
        ("call", "pricing", "call must be"),
        ("call", None, "call must be"), ("call", [None], "not a pattern"), ("serve", "*", "serve must be"),
        ("serve", 5, "serve must be"), ("observe", "yes", "observe must be"), ("settings", {}, "settings must be"),
        ("services", {}, "services must be"), ("observer", print, "observer must be"),
    ],
)  # fmt: skip
def test_of_a_test_nets_node(net, name, value, said):
    for make in (net.node, net.blocking_node):
        with pytest.raises(ConfigError, match=said):
            make(**{"name": "other", name: value})


def test_of_what_a_test_net_waits_for(net):
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"service": None}, "cannot name a service"), ({"workers": "1"}, "workers must be"),
        ({"workers": 0}, "workers must be"), ({"timeout": "1"}, "timeout must be"),
        ({"brokers": ["b9"]}, "there is no broker 'b9'"),
    ]  # fmt: skip
    for arguments, said in wrong:
        with pytest.raises(ConfigError, match=said):
            net.wait_served(**{"service": "s", **arguments})
        with pytest.raises(ConfigError, match=said):
            asyncio.run(net.served(**{"service": "s", **arguments}))


@pytest.mark.parametrize("value", ["5", True, None, [5], float("nan"), b"5"])
@pytest.mark.parametrize(
    "field", ["timeout_s", "attempts", "in_flight_max", "balance", "wait_for_worker", "authenticate_replies"]
)
def test_of_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        Settings(**{field: value})
