"""A process that gives way to newer code: small programs that do what a watched file says."""

import asyncio
import logging
import os
import signal
import sys

import pytest

from braidmq.host import reloaded, supervised
from braidmq.host.process_tree import processes
from braidmq.host.reloaded import Reloaded
from braidmq.host.supervised import Program
from braidmq.host.supervisor import Supervisor
from braidmq.host.watched_files import WatchedFiles
from braidmq.lab.processes.waiting import wait_until

WAIT_S = 30.0

PROGRAM = """
import os, sys, threading
from braidmq.host.lifeline import Lifeline
path = sys.argv[1]
what = open(os.path.join(path, "code.py")).read()
line, over = Lifeline(), threading.Event()
if what == "fails":
    sys.exit(5)
if what == "never ready":
    open(os.path.join(path, "waits"), "w").close()
    over.wait()
line.hold(int if what.startswith("hangs") else over.set, 0.1)
with open(os.path.join(path, "lives"), "a") as file:
    print(what, os.getpid(), file=file)
line.ready()
over.wait()
open(os.path.join(path, f"drained {what}"), "w").close()
"""


class Case:
    def __init__(self, path, caplog):
        self.path = path
        self._caplog = caplog

    def write(self, what):
        (self.path / "new").write_text(what)
        (self.path / "new").rename(self.path / "code.py")

    @property
    def lives(self):
        """What was ready so far, with its process ids."""
        path = self.path / "lives"
        rows = [line.rsplit(" ", 1) for line in path.read_text().splitlines()] if path.exists() else []
        return [(what, int(pid)) for what, pid in rows]

    @property
    def lines(self):
        return [record.getMessage() for record in self._caplog.records]

    async def until(self, condition, what):
        await asyncio.to_thread(wait_until, condition, what, WAIT_S)

    async def until_line(self, text):
        await self.until(lambda: any(text in line for line in self.lines), f"a line says {text!r}")

    async def until_serves(self, what):
        await self.until(lambda: any(name == what for name, _ in self.lives), f"{what} is ready")

    def run(self, during):
        program = Program("app", (sys.executable, "-c", PROGRAM, str(self.path)))

        async def main():
            task = asyncio.create_task(Supervisor([Reloaded(program, WatchedFiles([self.path]))]).run())
            await asyncio.wait_for(during(), WAIT_S)
            return await asyncio.wait_for(task, WAIT_S)

        code = asyncio.run(main())
        assert not {process.id for process in processes()} & {pid for _, pid in self.lives}
        return code


@pytest.fixture
def case(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(supervised, "ENDING_S_MAX", 3.0)
    monkeypatch.setattr(reloaded, "LOOK_S", 0.05)
    case = Case(tmp_path, caplog)
    case.write("one")
    return case


def test_newer_code_is_ready_before_the_older_one_drains(case):
    async def during():
        await case.until_serves("one")
        case.write("two")
        await case.until_serves("two")
        await case.until((case.path / "drained one").exists, "the older one drains")
        await case.until_line("app: the new code serves, as process")
        signal.raise_signal(signal.SIGTERM)

    assert case.run(during) == 0
    assert [what for what, _ in case.lives] == ["one", "two"]
    assert (case.path / "drained two").exists()
    assert "code.py changed: the new code is started" in case.lines


def test_one_that_is_started_as_all_are_told_to_drain_drains_as_well(case):
    async def go_on():
        leaving = asyncio.Event()
        life = Reloaded(Program("app", (sys.executable, "-c", PROGRAM, str(case.path))), WatchedFiles([case.path]))
        change = life._change

        async def change_and_leave(_):
            life._change = change
            life._changed.add("code.py")
            leaving.set()
            for process in life.processes:
                process.drain()

        life._change = change_and_leave
        return await asyncio.wait_for(life.go_on(leaving), WAIT_S)

    assert asyncio.run(go_on()) == 0
    assert "code.py changed: the new code is started" in case.lines


def test_code_that_is_never_ready_leaves_the_older_one_as_it_is(case):
    async def during():
        await case.until_serves("one")
        case.write("fails")
        await case.until_line("app: the new code was never ready (it ended with exit code 5): process ")
        assert not (case.path / "drained one").exists()
        os.kill(case.lives[0][1], 0)
        case.write("mended")
        await case.until_serves("mended")
        signal.raise_signal(signal.SIGTERM)

    assert case.run(during) == 0
    assert [what for what, _ in case.lives] == ["one", "mended"]


def test_code_that_hangs_at_its_start_gives_way_to_the_next(case):
    async def during():
        await case.until_serves("one")
        case.write("never ready")
        await case.until((case.path / "waits").exists, "it waits")
        case.write("two")
        await case.until_serves("two")
        signal.raise_signal(signal.SIGTERM)

    assert case.run(during) == 0
    assert [what for what, _ in case.lives] == ["one", "two"]


def test_code_that_has_ended_is_started_again_at_the_next_change(case):
    async def during():
        await case.until_serves("one")
        os.kill(case.lives[0][1], signal.SIGKILL)
        await case.until_line("app was ended by SIGKILL: it is started again when a file changes")
        case.write("two")
        await case.until_serves("two")
        signal.raise_signal(signal.SIGTERM)

    assert case.run(during) == 0


@pytest.mark.nightly
def test_older_code_that_does_not_drain_is_killed(case):
    case.write("hangs")

    async def during():
        await case.until_serves("hangs")
        case.write("two")
        await case.until_line("app has not ended 3.1 s after it was told to drain: it is killed")
        case.write("three")
        await case.until_serves("three")
        signal.raise_signal(signal.SIGTERM)

    assert case.run(during) == 0


def test_what_was_never_ready_ends_all_with_its_exit_code(case):
    case.write("fails")

    async def during():
        await case.until_line("app was never ready: it ended with exit code 5")

    assert case.run(during) == 5


def test_a_signal_ends_what_is_about_to_begin_and_what_it_would_have_replaced(case):
    async def during():
        await case.until_serves("one")
        case.write("never ready")
        await case.until((case.path / "waits").exists, "it waits")
        signal.raise_signal(signal.SIGTERM)

    assert case.run(during) == 0
    assert (case.path / "drained one").exists()
