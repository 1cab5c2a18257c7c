"""The Python of docs/how-to, and of the pages on moving, runs as it stands there: every block of it, in its order."""

import ast
import asyncio
import inspect
import json
import logging
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

from braidmq import NoWorker, ServiceError, Services
from braidmq.lab.bench.systems.nats import server_binary
from braidmq.lab.processes.child import environment
from braidmq.lab.processes.ports import HOST, free_ports
from braidmq.lab.processes.waiting import wait_until
from braidmq.testing import TestNet

ROOT = Path(__file__).parents[2]

TIME_S = 60.0

PAGES = [*sorted((ROOT / "docs" / "how-to").glob("*.md")), *sorted((ROOT / "docs").glob("from-*.md"))]

_BLOCK = re.compile(r"(?:^ *`([\w.]+\.py)`:\n\n)?^( *)```python\n(.*?)^\2```$", re.MULTILINE | re.DOTALL)
"""A block, perhaps within a list, and the name of its file if the line above says one."""


def blocks_of(page):
    return [(name, dedent(text)) for name, _, text in _BLOCK.findall(page.read_text())]


class Recipe:
    """The blocks of one page, which are taken one after the other; those with a name lie in `folder` as files."""

    def __init__(self, page, folder):
        self.left = blocks_of(ROOT / "docs" / page)
        self.folder = folder
        for name, text in self.left:
            if name:
                (folder / name).write_text(text)

    def take(self, name=""):
        """Return the next block, which must have this name, or none."""
        found, text = self.left.pop(0)
        assert found == name
        return text

    def take_files(self):
        """Take all that are left, which must be files; return their names."""
        names = [name for name, _ in self.left]
        assert all(names)
        self.left.clear()
        return names

    def module(self, name):
        """Import the next block, which is a file."""
        self.take(name)
        return import_module(name.removesuffix(".py"))

    def run(self, name, *arguments):
        """Run the next block, which is a program; return what it prints."""
        self.take(name)
        result = subprocess.run(
            [sys.executable, name, *arguments],
            cwd=self.folder, env=environment(), capture_output=True, text=True, timeout=TIME_S, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout


@pytest.fixture
def recipe(request, tmp_path, monkeypatch):
    """The page that the test's parameter names. Its files are in the working directory, and can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    there = set(sys.modules)
    page = Recipe(request.node.get_closest_marker("parametrize").args[1][0], tmp_path)
    yield page
    for name in set(sys.modules) - there:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]
    assert not page.left, "a block of the page was left out"


def page(name):
    """Mark a test as that of a page."""
    return pytest.mark.parametrize("page", [name], ids=[name])


def test_every_page_with_python_has_a_test():
    tested = {
        mark.args[1][0]
        for name, test in globals().items()
        if name.startswith("test_")
        for mark in getattr(test, "pytestmark", ())
        if mark.name == "parametrize" and mark.args[0] == "page"
    }
    assert tested == {str(page.relative_to(ROOT / "docs")) for page in PAGES if blocks_of(page)}


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.stem)
def test_no_block_of_a_page_is_overlooked(document):
    assert len(blocks_of(document)) == document.read_text().count("```python")


@contextmanager
def a_net(folder, *members, pricing=True, settings=None):
    """Let a net run whose members have their join files where the documents say; one of its workers knows prices."""
    services = Services()
    if pricing:
        services.service("pricing")(lambda request: str(int(request.payload) * 3).encode())
    with TestNet(brokers=2, settings=settings) as net:
        net.blocking_node("worker", services=services).start()
        if pricing:
            net.wait_served("pricing")
        (folder / "net").mkdir()
        for member in members:
            net.node(member, observe=member == "shop")
            shutil.copy(net.join(member), folder / "net" / f"{member}.braid")
        yield net


def cells(*texts):
    """Run cells as a notebook does: `await` may stand outside of functions. Return the value of each last line."""
    values, names = [], {}

    async def notebook():
        for text in texts:
            tree = ast.parse(text)
            last = tree.body[-1]
            if isinstance(last, ast.Expr):
                tree.body[-1] = ast.copy_location(ast.Assign([ast.Name("_", ast.Store())], last.value), last)
                ast.fix_missing_locations(tree)
            made = eval(compile(tree, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if inspect.isawaitable(made):
                await made
            values.append(names.pop("_", None))

    asyncio.run(asyncio.wait_for(notebook(), TIME_S))
    return values


def passed(folder, *files):
    """Run tests under pytest with no plugin but ours; return how many have passed."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "braidmq.pytest_plugin", *files],
        cwd=folder,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS=""),
        capture_output=True, text=True, check=False, timeout=TIME_S,
    )  # fmt: skip
    [count] = re.findall(r"^(\d+) passed in [^,]*$", result.stdout, re.MULTILINE) or [result.stdout]
    return count


class Worker:
    """A program that serves. Once it has ended, `said` is what it wrote to stderr."""

    said = ""


@contextmanager
def worker(recipe, *arguments):
    """Run a program of a page that serves; then tell it to end, which it does with 0."""
    found = Worker()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=recipe.folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        _, found.said = process.communicate(timeout=TIME_S)
    assert process.returncode == 0, found.said


def got(url):
    try:
        with urllib.request.urlopen(url, timeout=TIME_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


# -- how-to


@pytest.mark.nightly
@page("how-to/fastapi.md")
def test_an_application_of_starlette(recipe, page, monkeypatch):
    uvicorn = pytest.importorskip("uvicorn")
    with a_net(recipe.folder, "shop") as net:
        monkeypatch.setenv("BRAIDMQ_JOIN", "net/shop.braid")
        server = uvicorn.Server(uvicorn.Config(recipe.module("web.py").app, port=0, log_config=None))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            wait_until(lambda: server.started, "it serves")
            url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            wait_until(lambda: got(f"{url}/readyz") == (200, b"b1, b2"), "both brokers are up")
            assert got(f"{url}/prices/14") == (200, b"42")
            assert got(f"{url}/prices/many")[0] == 400
            for broker in net.brokers.values():
                broker.kill()
            wait_until(lambda: got(f"{url}/readyz")[0] == 503, "no broker is up")
            assert got(f"{url}/prices/14")[0] == 503
        finally:
            server.should_exit = True
            thread.join(TIME_S)


@page("how-to/jupyter.md")
def test_cells_of_a_notebook(recipe, page):
    with a_net(recipe.folder, "shop", "lab"):
        values = cells(*(recipe.take() for _ in range(len(recipe.left))))
    assert values[1:3] == [b"42", 3 * 5050]
    brokers, services = values[3]
    assert [name for name, _ in brokers] == ["b1", "b2"]
    assert "up" in dict(brokers).values()
    assert services == {"pricing"}
    assert values[5:7] == [b"abab", b"ab+ab"]


@pytest.mark.nightly
@page("how-to/threads.md")
def test_nodes_in_threads(recipe, page):
    with a_net(recipe.folder, "shop", "orders") as net:
        assert recipe.run("prices.py") == f"{3 * 20100}\n"
        recipe.take("net.py")
        program = "import net; print(net.node() is net.node(), net.node().request('pricing', b'14').payload)"
        printed = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=recipe.folder, env=environment(), capture_output=True, text=True, timeout=TIME_S, check=True,
        )  # fmt: skip
        assert (printed.stdout, printed.stderr) == ("True b'42'\n", "")
        recipe.take("totals.py")
        with worker(recipe, "totals.py") as process:
            net.wait_served("total", timeout=TIME_S)
            with net.blocking_node("asker") as asker:
                assert asker.request("total", b"1 2 3", timeout=TIME_S).payload == b"18"
        assert "orders has ended" in process.said


@pytest.mark.nightly
@page("how-to/processes.md")
def test_handlers_and_callers_in_processes(recipe, page):
    with a_net(recipe.folder, "shop") as net:
        services = recipe.module("primes.py").services
        with net.blocking_node("primes", services=services), net.blocking_node("asker") as asker:
            net.wait_served("primes")
            assert asker.request("primes", b"100", timeout=TIME_S).payload == b"25"
        assert recipe.run("callers.py") == f"{3 * 5050}\n"


@pytest.mark.nightly
@page("how-to/pytest.md")
def test_suites_under_pytest(recipe, page):
    files = [name for name in recipe.take_files() if name.startswith("test_")]
    assert passed(recipe.folder, *files) == "9"


@page("how-to/retries.md")
def test_a_booking_that_is_made_once(recipe, page):
    book, caller = recipe.module("bookings.py"), recipe.module("caller.py")
    try:
        with a_net(recipe.folder, pricing=False) as net:
            first, second = (net.blocking_node(name, services=book.services) for name in ("w1", "w2"))
            with first, net.blocking_node("asker") as asker:
                net.wait_served("book")
                assert [caller.book(asker, guest) for guest in ("ann", "bob")] == ["1", "2"]
                id_ = bytes(range(16))
                assert asker.request("book", b"eve", id=id_).payload == b"3"
            with second, net.blocking_node("asker") as asker:  # a worker that remembers nothing of it
                net.wait_served("book")
                again = asker.request("book", b"eve", id=id_, possible_duplicate=True)
                assert (again.sender, again.payload, again.possible_duplicate) == ("w2", b"3", True)
                assert caller.book(asker, "dan") == "4"
            with net.blocking_node("asker") as asker, pytest.raises(NoWorker):
                asker.request("book", b"fay", wait=False)
    finally:
        book.database.close()


@page("how-to/logging.md")
def test_logs_of_programs(recipe, page, capfd):
    root, own = logging.getLogger(), logging.getLogger("braidmq")
    before = [(logger, logger.handlers[:], logger.level) for logger in (root, own)]
    with a_net(recipe.folder, "orders", pricing=False) as net:
        recipe.take("worker.py")
        with worker(recipe, "worker.py") as process:
            net.wait_served("pricing", timeout=TIME_S)
            try:
                for name in ("json_log.py", "never_blocks.py"):
                    recipe.module(name)
                with net.blocking_node("asker") as asker:
                    asker.settled(TIME_S)  # so that it says what it is connected to
                    reply = asker.request("pricing", b"14", timeout=TIME_S)
            finally:
                for logger, handlers, level in before:
                    logger.handlers[:], logger.level = handlers, level
            assert reply.payload == b"42"
        assert f"INFO pricing asker asks, request {reply.original_id.hex()}" in process.said
        assert "INFO braidmq" not in process.said
    lines = capfd.readouterr().err.splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    assert {(each.get("event"), each.get("about")) for each in told} >= {("Connected", "b1"), ("Connected", "b2")}
    assert any(line.endswith("INFO    connected to b1") for line in lines)


@page("how-to/tracing.md")
def test_a_call_is_traced(recipe, page):
    with a_net(recipe.folder, "shop", "orders") as net:
        printed = recipe.run("traced.py")
        assert re.findall('"name": "(attempt|pricing|checkout)"', printed) == ["attempt", "pricing", "checkout"]
        assert len(set(re.findall('"trace_id": "(.*)"', printed))) == 1
        assert "price 42" in printed
        services = recipe.module("traced_worker.py").services
        with net.blocking_node("traced", services=services), net.blocking_node("asker") as asker:
            net.wait_served("pricing", workers=2)
            prices = {asker.request("pricing", b"14").sender: b"42" for _ in range(8)}
        assert "traced" in prices


@page("how-to/alerts.md")
def test_a_program_tells_prometheus(recipe, page):
    with a_net(recipe.folder, "orders", pricing=False) as net:
        recipe.take("measured.py")
        [port] = free_ports(1)
        with worker(recipe, "-c", f"import measured; measured.main({port})"), net.blocking_node("shop") as shop:
            net.wait_served("pricing", timeout=TIME_S)
            shop.request("pricing", b"14", timeout=TIME_S)
            text = got(f"http://127.0.0.1:{port}/metrics")[1].decode()
    line = next(line for line in text.splitlines() if line.startswith("rpc_server_call_duration_seconds_count"))
    assert 'rpc_method="pricing"' in line
    assert line.endswith(" 1.0")


# -- moving


@page("from-pickle.md")
def test_moving_from_pickle(recipe, page):
    with a_net(recipe.folder, "orders", pricing=False) as net, net.blocking_node("shop") as shop:
        old_caller = [recipe.module(name) for name in ("old_worker.py", "old_caller.py")][1]
        recipe.module("prices.py")
        recipe.module("new_worker.py")
        new_caller, program = recipe.module("new_caller.py"), recipe.module("both.py")
        endpoint = f"tcp://{HOST}:{free_ports(1)[0]}"
        thread = threading.Thread(target=program.both, args=(endpoint, 2))
        thread.start()
        net.wait_served("price", timeout=TIME_S)
        assert old_caller.price(endpoint, 14) == 42
        assert new_caller.price(shop, "tea", 14) == 4200
        for payload in (b"", b"\x80", pickle.dumps(("price", (14,)))):
            with pytest.raises(ServiceError) as caught:
                shop.request("price", payload)
            assert caught.value.code == "INVALID_ARGUMENT"
        assert old_caller.price(endpoint, 1) == 3
        thread.join(TIME_S)
        assert not thread.is_alive()


@page("from-nats.md")
def test_moving_from_nats(recipe, page):
    """The pages' programs for BraidMQ; those for NATS if a server of it is at hand."""
    recipe.module("old_worker.py")
    old_caller = recipe.module("old_caller.py")
    recipe.module("new_worker.py")
    new_caller, program = recipe.module("new_caller.py"), recipe.module("both.py")

    async def moving(net, url):
        ended = asyncio.Event()
        async with net.node("shop") as shop:
            assert await new_caller.price(shop, 14) is None
            if url:
                assert await old_caller.price(url, 14) is None
            both = asyncio.create_task(program.both(url, ended) if url else services_only(program, ended))
            await net.served("pricing", timeout=TIME_S)
            assert await new_caller.price(shop, 14) == 42
            while url and await old_caller.price(url, 14) != 42:  # it may still be connecting
                assert not both.done()
            ended.set()
            await asyncio.wait_for(both, TIME_S)

    with a_net(recipe.folder, "orders", pricing=False) as net, a_nats_server() as url:
        asyncio.run(asyncio.wait_for(moving(net, url), TIME_S))


async def services_only(program, ended):
    async with program.Node("net/orders.braid", services=program.services):
        await ended.wait()


@contextmanager
def a_nats_server():
    """Run a server of NATS; give its URL, or nothing if there is none here."""
    binary = server_binary()
    if not binary:
        yield ""
        return
    [port] = free_ports(1)
    process = subprocess.Popen([binary, "-a", HOST, "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), "NATS listens")
        yield f"nats://{HOST}:{port}"
    finally:
        process.terminate()
        process.wait(TIME_S)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
