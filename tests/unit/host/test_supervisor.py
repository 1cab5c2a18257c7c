"""Processes that are looked after: small programs that hold a lifeline and do as they are told."""

import asyncio
import logging
import os
import signal
import sys

import pytest

from braidmq.host import loop_signals, supervised
from braidmq.host.process_tree import processes
from braidmq.host.supervised import Program
from braidmq.host.supervisor import Restarted, Supervisor
from braidmq.lab.processes.waiting import wait_until

WAIT_S = 30.0

PROGRAM = """
import os, sys, threading
from braidmq.host.lifeline import Lifeline
path, what, drain_s = sys.argv[1:]
lives = sum(name[0].isdigit() for name in os.listdir(path))
open(os.path.join(path, f"{lives}-{os.getpid()}-{os.getsid(0)}"), "w").close()
if what == "fails" or (what == "fails later" and lives):
    sys.exit(5)
if what == "killed":
    os.kill(os.getpid(), 9)
line, over = Lifeline(), threading.Event()
if what == "never ready":
    over.wait()
line.hold(int if what == "hangs" else over.set, float(drain_s))
line.ready()
open(os.path.join(path, f"ready-{lives}"), "w").close()
over.wait()
sys.exit(6 if what == "fails at its end" else 0)
"""


class Case:
    """Some processes under a supervisor, each with a directory in which its lives leave a file."""

    def __init__(self, path, caplog):
        self._path = path
        self._caplog = caplog
        self.names = []

    def program(self, what, drain_s=0.1):
        self.names.append(f"p{len(self.names)}")
        path = self._path / self.names[-1]
        path.mkdir()
        return Program(self.names[-1], (sys.executable, "-c", PROGRAM, str(path), what, str(drain_s)))

    def lives(self, name):
        """Return the process ids and sessions of all lives so far."""
        files = sorted((self._path / name).glob("[0-9]*"), key=lambda path: int(path.name.split("-")[0]))
        return [tuple(map(int, path.name.split("-")[1:])) for path in files]

    @property
    def lines(self):
        return [record.getMessage() for record in self._caplog.records]

    async def until_begun(self, name):
        """Wait until its first life has begun."""
        await asyncio.to_thread(wait_until, lambda: (self._path / name).is_dir() and self.lives(name), f"{name} begins")

    async def until_ready(self, name, life=1):
        """Wait until one of its lives has said that it is ready."""
        path = self._path / name / f"ready-{life - 1}"
        await asyncio.to_thread(wait_until, path.exists, f"life {life} of {name} is ready")

    async def until_line(self, text, count=1):
        """Wait until so many lines have a text."""

        def found():
            return sum(text in line for line in self.lines) >= count

        await asyncio.to_thread(wait_until, found, f"{count} lines say {text!r}")

    def run(self, *whats, during=None, drain_s=0.1):
        """Run these processes; return the exit code."""
        lives = [Restarted(self.program(what, drain_s)) for what in whats]

        async def main():
            task = asyncio.create_task(Supervisor(lives).run())
            if during is not None:
                await asyncio.wait_for(during(), WAIT_S)
            return await asyncio.wait_for(task, WAIT_S)

        code = asyncio.run(main())
        there = {process.id for process in processes()}
        assert not there & {pid for name in self.names for pid, _ in self.lives(name)}
        return code


@pytest.fixture
def case(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(supervised, "ENDING_S_MAX", 3.0)
    return Case(tmp_path, caplog)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_all(case, number):
    async def during():
        for name in ("p0", "p1", "p2"):
            await case.until_ready(name)
        signal.raise_signal(number)

    assert case.run("sound", "sound", "sound", during=during, drain_s=WAIT_S) == 0
    assert case.lines.count("all 3 processes are told to drain") == 1
    assert all(len(case.lives(name)) == 1 for name in case.names)
    assert not any("while it drained" in line for line in case.lines)


def test_each_has_a_session_of_its_own(case):
    async def during():
        await case.until_ready("p0")
        await case.until_ready("p1")
        signal.raise_signal(signal.SIGTERM)

    case.run("sound", "sound", during=during)
    for name in case.names:
        assert all(pid == session != os.getsid(0) for pid, session in case.lives(name))


def test_one_that_ends_is_started_again_and_the_others_do_not_notice(case):
    async def during():
        for life in (1, 2):
            await case.until_ready("p1", life)
            os.kill(case.lives("p1")[-1][0], signal.SIGKILL)
            await case.until_line("p1 was ended by SIGKILL: it is started again", life)
        await case.until_ready("p1", 3)
        signal.raise_signal(signal.SIGTERM)

    assert case.run("sound", "sound", during=during, drain_s=WAIT_S) == 0
    assert (len(case.lives("p0")), len(case.lives("p1"))) == (1, 3)
    assert "p1 was ended by SIGKILL: it is started again in 0.25 s" in case.lines
    assert "p1 was ended by SIGKILL: it is started again in 0.5 s" in case.lines


def test_one_that_has_been_ready_may_fail_again_and_again(case):
    async def during():
        await case.until_ready("p1")
        os.kill(case.lives("p1")[0][0], signal.SIGKILL)
        await case.until_line("p1 ended with exit code 5: it is started again", 2)
        signal.raise_signal(signal.SIGTERM)

    assert case.run("sound", "fails later", during=during, drain_s=WAIT_S) == 0
    assert len(case.lives("p1")) >= 3
    assert len(case.lives("p0")) == 1


def test_the_first_one_that_fails_at_its_start_keeps_the_others_from_it(case):
    assert case.run("fails", "sound") == 5
    assert case.lives("p1") == []
    assert "all end, as p0 was never ready: it ended with exit code 5" in case.lines


def test_another_one_that_fails_at_its_start_ends_all(case):
    assert case.run("sound", "fails", drain_s=WAIT_S) == 5
    assert (len(case.lives("p0")), len(case.lives("p1"))) == (1, 1)


def test_one_that_a_signal_ends_at_its_start_ends_all_with_a_line(case):
    assert case.run("sound", "killed", drain_s=WAIT_S) == 1
    assert "all end, as p1 was never ready: it was ended by SIGKILL" in case.lines


def test_a_program_that_is_not_there_is_told(case):
    async def run():
        return await Supervisor([Restarted(Program("p0", ("/nothing/there",)))]).run()

    assert asyncio.run(run()) == 1
    [line] = case.lines
    assert line.startswith("all end, as p0 was never ready: it cannot be started (No such file")


@pytest.mark.nightly
def test_one_that_does_not_drain_is_killed(case):
    async def during():
        await case.until_ready("p1")
        signal.raise_signal(signal.SIGTERM)

    assert case.run("sound", "hangs", during=during) == 1
    assert "p1 has not ended 3.1 s after it was told to drain: it is killed" in case.lines
    assert "p1 was ended by SIGKILL while it drained" in case.lines
    assert not any(line.startswith("p0 has not ended") for line in case.lines)


def test_one_that_does_not_end_in_good_order_is_told(case):
    async def during():
        await case.until_ready("p1")
        signal.raise_signal(signal.SIGTERM)

    assert case.run("sound", "fails at its end", during=during, drain_s=WAIT_S) == 1
    assert "p1 ended with exit code 6 while it drained" in case.lines


def test_one_that_is_not_ready_yet_ends_at_once(case):
    async def during():
        await case.until_begun("p0")
        signal.raise_signal(signal.SIGTERM)

    assert case.run("never ready", "sound", during=during, drain_s=WAIT_S) == 0
    assert case.lives("p1") == []


def test_a_second_signal_kills_them(case, monkeypatch):
    ended = []
    monkeypatch.setattr(loop_signals, "end_by_signal", ended.append)

    async def during():
        await case.until_ready("p1")
        signal.raise_signal(signal.SIGTERM)
        await case.until_line("told to drain")
        signal.raise_signal(signal.SIGTERM)

    assert case.run("hangs", "hangs", during=during, drain_s=WAIT_S) == 1
    assert ended == [signal.SIGTERM]
