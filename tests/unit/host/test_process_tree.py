"""Trees of processes: found by their parents or by a mark, and never mistaken."""

import os
import secrets
import subprocess
import sys

import pytest

from braidmq.host import process_tree
from braidmq.host.process_tree import Process, kill, marked, processes, tree
from braidmq.lab.processes.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


@pytest.fixture
def mark():
    return f"BRAIDMQ_TREE={secrets.token_hex(16)}"


@pytest.fixture
def start(mark):
    """Return a function that starts a command with the mark in its environment; it is killed after the test."""
    started = []

    def start(*command, marks=(mark,), **options):
        env = {**os.environ, **dict(each.split("=") for each in marks)}
        started.append(subprocess.Popen(command, env=env, **options))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.wait()


def test_a_tree_is_a_process_and_all_that_descend_from_it():
    among = [Process(id_, 0, parent) for id_, parent in [(1, 0), (2, 1), (3, 1), (4, 3), (5, 4), (6, 2)]]
    assert {each.id for each in tree(3, among)} == {3, 4, 5}
    assert tree(7, among) == []


def test_a_tree_that_goes_round_in_circles_ends():
    among = [Process(2, 0, 3), Process(3, 0, 2)]
    assert {each.id for each in tree(2, among)} == {2, 3}


def test_real_processes_are_found_by_parent_and_mark_whatever_their_names(start, mark, tmp_path):
    odd = tmp_path / "a) R 1 1 (b"
    odd.symlink_to("/bin/sleep")
    child = start(str(odd), "100")
    wait_until(lambda: marked([mark], processes()), "it has begun")
    (found,) = marked([mark], processes())
    assert (found.id, found.parent) == (child.pid, os.getpid())
    assert found in tree(os.getpid(), processes())
    assert marked([mark, "OTHER=1"], processes()) == []
    assert marked([mark[:-1]], processes()) == []


def test_all_are_killed_and_this_process_is_not(start, mark):
    children = [start("sh", "-c", "trap '' TERM; setsid sleep 100 & wait") for _ in range(3)]
    wait_until(lambda: len(marked([mark], processes())) >= 6, "they have begun")
    kill(lambda among: [*marked([mark], among), *(each for each in among if each.id == os.getpid())])
    assert [child.wait(10) for child in children] == [-9] * 3
    wait_until(lambda: not marked([mark], processes()), "all have ended")


def test_who_starts_others_without_end_is_killed_with_them(start, mark):
    start("sh", "-c", "while :; do setsid sleep 5 & sleep 0.001; done")
    wait_until(lambda: len(marked([mark], processes())) > 20, "it has begun")
    kill(lambda among: marked([mark], among))
    wait_until(lambda: not marked([mark], processes()), "all have ended")


@pytest.mark.parametrize("with_pidfd", [True, False])
def test_another_process_with_the_number_of_one_that_has_ended_is_not_signalled(start, monkeypatch, with_pidfd):
    if not with_pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    child = start("sleep", "100")
    (found,) = (each for each in processes() if each.id == child.pid)
    kill(lambda _among: [found._replace(began=found.began - 1)])
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.1)
    kill(lambda _among: [found])
    assert child.wait(10) == -9


def test_the_warden_kills_what_is_marked_once_its_parent_has_gone(start, mark):
    program = [sys.executable, "-I", "-S", process_tree.__file__, mark]
    warden = start(*program, marks=(), stdin=subprocess.PIPE)
    child, other = start("sleep", "100"), start("sleep", "100", marks=("BRAIDMQ_TREE=other",))
    wait_until(lambda: marked([mark], processes()), "it has begun")
    warden.stdin.close()
    assert child.wait(10) == -9
    assert warden.wait(10) == 0
    assert other.poll() is None


def test_without_proc_there_is_nothing_to_find(monkeypatch):
    monkeypatch.setattr(process_tree, "_PROC", "/nonexistent")
    assert processes() == []
    kill(lambda among: among)
