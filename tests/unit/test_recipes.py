"""The Python of docs/how-to, and of the pages on moving, runs as it stands there: every block of it, in its order."""

import ast
import asyncio
import inspect
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

from braidmq import Services
from braidmq.lab.processes.child import environment
from braidmq.lab.processes.waiting import wait_until
from braidmq.testing import TestNet

ROOT = Path(__file__).parents[2]

TIME_S = 60.0

PAGES = [*sorted((ROOT / "docs" / "how-to").glob("*.md")), *sorted((ROOT / "docs").glob("from-*.md"))]

_BLOCK = re.compile(r"(?:^`([\w.]+\.py)`:\n\n)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block, and the name of its file if the line above says one."""


def blocks_of(page):
    return _BLOCK.findall(page.read_text())


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


def got(url):
    try:
        with urllib.request.urlopen(url, timeout=TIME_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


# -- how-to


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
    assert values[3] == ([("b1", "up"), ("b2", "up")], frozenset({"pricing"}))
    assert values[5:7] == [b"abab", b"ab+ab"]


@page("how-to/threads.md")
def test_nodes_in_threads(recipe, page):
    with a_net(recipe.folder, "shop", "orders") as net:
        assert recipe.run("prices.py") == f"{3 * 500500}\n"
        recipe.take("net.py")
        program = "import net; print(net.node() is net.node(), net.node().request('pricing', b'14').payload)"
        printed = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=recipe.folder, env=environment(), capture_output=True, text=True, timeout=TIME_S, check=True,
        )  # fmt: skip
        assert (printed.stdout, printed.stderr) == ("True b'42'\n", "")
        recipe.take("totals.py")
        worker = subprocess.Popen(
            [sys.executable, "totals.py"], cwd=recipe.folder, env=environment(), stderr=subprocess.PIPE, text=True
        )
        try:
            net.wait_served("total", timeout=TIME_S)
            with net.blocking_node("asker") as asker:
                assert asker.request("total", b"1 2 3", timeout=TIME_S).payload == b"18"
        finally:
            worker.send_signal(signal.SIGTERM)
            _, said = worker.communicate(timeout=TIME_S)
        assert worker.returncode == 0, said
        assert "orders has ended" in said


@page("how-to/processes.md")
def test_handlers_and_callers_in_processes(recipe, page):
    with a_net(recipe.folder, "shop") as net:
        services = recipe.module("primes.py").services
        with net.blocking_node("primes", services=services), net.blocking_node("asker") as asker:
            net.wait_served("primes")
            assert asker.request("primes", b"100", timeout=TIME_S).payload == b"25"
        assert recipe.run("callers.py") == f"{3 * 5050}\n"


@page("how-to/pytest.md")
def test_suites_under_pytest(recipe, page):
    files = [name for name in recipe.take_files() if name.startswith("test_")]
    assert passed(recipe.folder, *files) == "9"
