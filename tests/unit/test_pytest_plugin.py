"""The fixture `net` in suites of users: under plain pytest, and with the plugins that run async tests."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

PLAIN = """
import threading
import pytest

made = []


def test_two_brokers_run(net):
    made.append(net)
    assert [(name, broker.state) for name, broker in net.brokers.items()] == [("b1", "up"), ("b2", "up")]


def test_each_test_has_a_net_of_its_own_and_the_last_one_has_ended(net):
    assert net is not made[0]
    assert {broker.state for broker in made[0].brokers.values()} == {"down"}


@pytest.mark.braidmq(brokers=1)
def test_a_marker_gives_arguments(net):
    assert list(net.brokers) == ["b1"]


class TestMarked:
    pytestmark = pytest.mark.braidmq(3)

    def test_calls_go_on_without_a_broker(self, net):
        worker, client = net.blocking_node("worker"), net.blocking_node("client")
        worker.service("shout")(lambda request: request.payload.upper())
        worker.start()
        client.start()
        net.wait_served("shout")
        net.brokers["b1"].kill()
        assert client.request("shout", b"hello").payload == b"HELLO"


def test_nodes_that_were_left_running_have_ended_with_their_net():
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("braidmq")]


def test_what_fails_beside_a_net_is_told(net):
    client = net.blocking_node("client")
    client.start()
    assert client.request("nothing")
"""

ASYNC = """
import pytest


async def call(net):
    worker = net.node("worker")

    @worker.service("shout")
    async def shout(request):
        return request.payload.upper()

    async with worker, net.node("client") as client:
        await net.served("shout")
        assert (await client.request("shout", b"hello")).payload == b"HELLO"


@pytest.mark.asyncio
async def test_with_pytest_asyncio(net):
    await call(net)


@pytest.mark.anyio
async def test_with_anyio(net):
    await call(net)


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """Run a suite with no plugins but ours and those that are named; warnings are errors."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(text, *options):
        pytester.makepyfile(text)
        ours = ("-q", "-W", "error", "--strict-markers", "-p", "braidmq.pytest_plugin")
        return pytester.runpytest_subprocess(*ours, *options)

    return run


@pytest.mark.nightly
def test_blocking_nodes_need_no_other_plugin(suite):
    result = suite(PLAIN)
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["*NoWorker*nothing*"])


def test_async_nodes_work_with_the_plugins_that_run_async_tests(suite):
    pytest.importorskip("pytest_asyncio")
    plugins = ("-p", "pytest_asyncio.plugin", "-p", "anyio.pytest_plugin")
    result = suite(ASYNC, *plugins, "-o", "asyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(passed=2)


def test_pytest_is_told_of_the_plugin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module = importlib.import_module(project["entry-points"]["pytest11"]["braidmq"])
    assert callable(module.net)


def test_who_does_not_use_it_does_not_pay_for_it():
    """Every run of pytest where BraidMQ is installed imports it."""
    code = "import sys, braidmq.pytest_plugin; print(*sorted(name for name in sys.modules if 'braidmq' in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["braidmq", "braidmq.pytest_plugin"]
