"""The programs of examples/ do what they say. They share one net, in this process."""

import asyncio
import importlib.util
import io
import logging
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from braidmq import DeadlineExceeded, ServiceError, Services
from braidmq.lab.processes.child import BRAIDMQ, Child, environment
from braidmq.lab.processes.waiting import wait_until
from braidmq.testing import TestNet

EXAMPLES = Path(__file__).parents[2] / "examples"

TIME_S = 60.0


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Net:
    """The net, a node that calls, and the modules of the examples that are workers in it."""

    def __init__(self, nodes, modules):
        self.modules = modules
        self.wait_served = nodes.wait_served
        self.client = nodes.blocking_node("shop")
        self.client.start()
        self.join = nodes.join("shop")


@pytest.fixture(scope="module")
def net():
    """A net with workers for the examples that are workers, but for the one that needs processes."""
    others = Services()
    others.service("shout")(lambda request: request.payload.upper())

    @others.service("sulk")
    def sulk(_request):
        raise ServiceError("SULKS", "not today")

    with TestNet(brokers=2) as nodes:
        modules = {name: load(name) for name in ("pricing", "thumbnails", "payments", "long_job")}
        for name, services in {**{name: each.services for name, each in modules.items()}, "others": others}.items():
            nodes.blocking_node(name, services=services).start()
        net = Net(nodes, modules)
        for service in ("pricing", "thumbnail", "payment", "reindex", "shout", "sulk"):
            net.wait_served(service)
        yield net


def run(name, *arguments, stdin="", **changes):
    """Run an example as its first lines say."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=TIME_S, check=False, env=environment(**changes)
    )


def failure(net, *arguments, **more):
    with pytest.raises(ServiceError) as caught:
        net.client.request(*arguments, timeout=TIME_S, **more)
    return caught.value


# -- workers


def image(width, height):
    file = io.BytesIO()
    Image.new("P", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_a_thumbnail_has_the_size_that_was_asked_for(net):
    for headers, size in ((None, (128, 64)), ({"size": "10"}, (10, 5))):
        reply = net.client.request("thumbnail", image(400, 200), headers=headers, timeout=TIME_S)
        with Image.open(io.BytesIO(reply.payload)) as small:
            assert (small.format, small.size) == ("JPEG", size)


@pytest.mark.parametrize(
    ("payload", "headers", "said"),
    [
        (b"", None, "no image that can be read"),
        (b"no image", None, "no image that can be read"),
        (image(100, 100)[:60], None, "no image that can be read"),
        (image(8_000, 8_000), None, "more than 50,000,000 pixels"),
        (image(1, 1), {"size": "0"}, "a whole number from 1 to 1024"),
        (image(1, 1), {"size": "large"}, "a whole number from 1 to 1024"),
    ],
    ids=["nothing", "text", "half an image", "too large", "no size", "a word as size"],
)
def test_what_makes_no_thumbnail_is_refused(net, payload, headers, said):
    error = failure(net, "thumbnail", payload, headers=headers)
    assert error.code == "INVALID_ARGUMENT"
    assert said in error.message


def test_a_long_job_tells_the_log_how_far_it_is(net, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(net.modules["long_job"], "TOLD_EACH_S", 0.0)
    assert net.client.request("reindex", b"3", timeout=TIME_S).payload == b"3 parts"
    said = [record.getMessage().partition(": ")[2] for record in caplog.records if record.name == "long_job"]
    assert [line.partition(" parts")[0] for line in said] == ["3", "1 of 3", "2 of 3", "3 of 3", "done"]


def test_a_long_job_stops_when_its_caller_gives_up(net, caplog):
    with pytest.raises(DeadlineExceeded):
        net.client.request("reindex", b"10000", timeout=0.3)
    wait_until(lambda: "of 10000 parts" in caplog.text, "it says how far it came")


def test_a_payment_is_booked_once(net, tmp_path, monkeypatch):
    monkeypatch.setenv("PAYMENTS_DB", str(tmp_path / "payments.db"))
    first = run("payments", net.join, 4250)
    id_, booking = re.fullmatch(r"id ([0-9a-f]{32})\nbooking (\d+)\n", first.stdout).groups()
    again = run("payments", net.join, 4250, id_)
    assert again.stdout == f"id {id_}\nbooking {booking}\n"
    with pytest.raises(ServiceError, match="this id was used for another amount"):
        net.modules["payments"].pay(net.client, 1, bytes.fromhex(id_), again=True)
    with sqlite3.connect(tmp_path / "payments.db") as db:
        assert db.execute("SELECT sender, cents FROM payments").fetchall() == [("shop", 4250)]
    db.close()


def test_two_runs_of_one_request_are_one_payment(net, tmp_path, monkeypatch):
    """As at another worker, which has not run it: nothing is answered from memory there."""
    monkeypatch.setenv("PAYMENTS_DB", str(tmp_path / "payments.db"))
    net.client.request("payment", b"1", timeout=TIME_S)
    seen = []

    def spy(request):
        seen.append(request)
        return net.modules["payments"].payment(request)

    net.client.offer("spied", spy)
    net.wait_served("spied")
    net.client.request("spied", b"4250", timeout=TIME_S)
    [request] = seen
    again = msgspec.structs.replace(request, possible_duplicate=True, retry_count=1)
    handler = net.modules["payments"].payment
    assert [handler(again), handler(again), handler(request)] == [b"2"] * 3


@pytest.mark.nightly
def test_a_pool_of_processes_computes(net):
    """By `braidmq serve`, as it is told to: the pool has to find the module, and to end."""
    worker = Child([*BRAIDMQ, "serve", "cpu_bound:services", "--join", net.join], cwd=EXAMPLES)
    try:
        net.wait_served("primes", timeout=TIME_S)
        assert net.client.request("primes", b"1000", timeout=TIME_S).payload == b"168"
        assert failure(net, "primes", b"many").code == "INVALID_ARGUMENT"
        assert worker.end() == 0
        assert "Traceback" not in worker.log
    finally:
        worker.close()


@pytest.mark.nightly
def test_a_pool_that_is_broken_is_replaced(net, monkeypatch):
    module = load("cpu_bound")
    monkeypatch.setitem(sys.modules, "cpu_bound", module)
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])  # where the processes of the pool look
    [pool] = module.pools
    assert pool.submit(abs, -1).result(TIME_S) == 1
    for process in pool._processes.values():
        process.kill()
    net.client.offer("computes", module.primes)
    try:
        net.wait_served("computes")
        assert net.client.request("computes", b"100", timeout=TIME_S).payload == b"25"
        assert module.pools[0] is not pool
    finally:
        module.pools[0].shutdown()


# -- callers


def test_a_script_asks_for_each_line(net):
    done = run("blocking_script", net.join, stdin="14\n0\n1\n")
    assert (done.returncode, done.stdout) == (1, "14 42\n1 3\n")
    assert done.stderr == "0: the quantity must be positive\n"


def test_its_exit_code_tells_whether_all_was_answered(net, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("14\n"))
    module = load("blocking_script")
    assert module.main(str(net.join)) == 0
    assert module.main("nothing.braid") == 1
    assert "does not exist" in capsys.readouterr().err


def test_many_calls_at_once_have_an_end_each(net):
    done = run("fan_out", net.join, 300)
    assert (done.returncode, done.stdout) == (0, f"300 prices, {3 * sum(range(301))} in all; 0 failed\n")


def test_one_of_many_that_fails_leaves_the_others_alone(net, capsys, monkeypatch):
    module = load("fan_out")
    price = module.price

    async def sometimes(node, quantity, timeout_s):
        return await price(node, quantity - 1, timeout_s)

    monkeypatch.setattr(module, "price", sometimes)
    assert asyncio.run(module.main(str(net.join), 3)) == 1
    said = capsys.readouterr()
    assert said.out == "2 prices, 9 in all; 1 failed\n"
    assert "the quantity must be positive" in said.err


@pytest.fixture
def app(net):
    """Run the FastAPI application; yield what asks it."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        os.set_inheritable(server.fileno(), True)
        port = server.getsockname()[1]
        code = f"import uvicorn; uvicorn.run('fastapi_app:app', fd={server.fileno()})"
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=EXAMPLES,
            env=environment(BRAIDMQ_JOIN=str(net.join)),
            pass_fds=[server.fileno()],
            stderr=subprocess.PIPE,
        )

    def get(path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=TIME_S) as answer:
                return answer.status, msgspec.json.decode(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, msgspec.json.decode(error.read())

    yield get
    process.terminate()
    _, said = process.communicate(timeout=TIME_S)
    assert b"Application shutdown complete" in said


def test_an_http_application_calls_a_service(app):
    assert app("/prices/14") == (200, {"quantity": 14, "price": 42})
    assert app("/prices/0") == (
        422,
        {"detail": "INVALID_ARGUMENT: the quantity must be positive", "maybe_executed": True},
    )
    assert app("/prices/many")[0] == 422


# -- tests of users


@pytest.mark.nightly
def test_the_suite_passes(tmp_path):
    for name in ("pricing", "test_pricing"):
        shutil.copy(EXAMPLES / f"{name}.py", tmp_path)
    plugins = ("-p", "braidmq.pytest_plugin", "-p", "anyio.pytest_plugin")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *plugins, "test_pricing.py"],
        cwd=tmp_path,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS=""),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIME_S,
    )
    assert "7 passed" in result.stdout, result.stdout


# -- without BraidMQ


def plain_pyzmq(*arguments):
    """Run the program as somebody would who has libzmq, and nothing of BraidMQ."""
    code = (
        "import runpy, sys\n"
        "sys.modules['braidmq'] = None\n"
        f"sys.argv[0] = {str(EXAMPLES / 'plain_pyzmq.py')!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIME_S, check=False)


def test_a_program_that_has_pyzmq_only_calls_a_service(net):
    done = plain_pyzmq(net.join, "shout", "hello")
    assert (done.stdout, done.stderr) == ("HELLO\n", "")


def test_it_says_what_became_of_calls_that_have_no_result(net):
    for service, why in (("sulk", "SULKS"), ("nothing", "command 4, code 0[14]")):  # nobody has it, or not in time
        done = plain_pyzmq(net.join, service, "hello")
        assert done.stdout == ""
        assert re.search(why, done.stderr)


def test_each_example_says_how_it_is_run():
    for path in EXAMPLES.glob("*.py"):
        first = path.read_text().partition('"""\n')[0]
        assert re.search(r"^(Run it|Usage): ", first, re.MULTILINE), path.name
