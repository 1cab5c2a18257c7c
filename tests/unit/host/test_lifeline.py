"""A process that holds a lifeline, and what it does at its end. The process is a real one."""

import os
import queue
import socket
import subprocess
import sys
import threading

import pytest

from braidmq.host import lifeline
from braidmq.host.lifeline import READY, Lifeline

WAIT_S = 30.0

HOLDS = """
import os, sys, threading
from braidmq.host import lifeline
lifeline.ENDING_S_MAX = 0.1
ended = threading.Event()
line = lifeline.Lifeline()
print(os.read(0, 1), flush=True)
what = sys.argv[1]
if what == "never ready":
    threading.Event().wait()
line.hold(ended.set if what == "drains" else int, 0.1)
line.ready()
ended.wait()
sys.exit(7)
"""


@pytest.fixture
def held():
    """Start a process that holds a lifeline, and return it with our end."""
    children = []

    def start(what):
        ours, theirs = socket.socketpair()
        ours.settimeout(WAIT_S)
        with theirs:
            command = [sys.executable, "-c", HOLDS, what]
            child = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.PIPE)
        children.append((child, ours))
        assert child.stdout.readline() == b"b''\n"  # its stdin is nothing that it could hand down
        return child, ours

    yield start
    for child, ours in children:
        ours.close()
        child.kill()
        child.communicate()


@pytest.mark.parametrize("end", [socket.socket.close, lambda ours: ours.shutdown(socket.SHUT_WR)])
def test_it_says_when_it_is_ready_and_drains_when_the_lifeline_ends(held, end):
    child, ours = held("drains")
    assert READY.unpack(ours.recv(READY.size)) == (0.1,)
    assert child.poll() is None
    end(ours)
    assert child.wait(WAIT_S) == 7


def test_what_is_not_ready_yet_ends_at_once(held):
    child, ours = held("never ready")
    ours.close()
    assert child.wait(WAIT_S) == 0


def test_what_does_not_drain_in_time_is_given_up(held):
    child, ours = held("hangs")
    assert len(ours.recv(READY.size)) == READY.size
    ours.close()
    assert child.wait(WAIT_S) == 1


def test_a_process_without_one_does_not_start():
    code = "from braidmq.host.lifeline import Lifeline; Lifeline()"
    result = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert b"non-socket" in result.stderr
    assert result.returncode == 1


@pytest.fixture
def exits(monkeypatch):
    """The exit codes with which this process would have ended."""
    exits = queue.Queue()
    monkeypatch.setattr(lifeline, "ENDING_S_MAX", 0.0)
    monkeypatch.setattr(os, "_exit", exits.put)
    yield exits
    for thread in threading.enumerate():
        if thread.name == "braidmq-lifeline":
            thread.join()  # or it would end this process once its exit is its own again


@pytest.fixture
def ours(exits):
    """Put a lifeline in the place of this process's own stdin, and return the other end."""
    kept = os.dup(0)
    ours, theirs = socket.socketpair()
    ours.settimeout(WAIT_S)
    os.dup2(theirs.fileno(), 0)
    theirs.close()
    with ours:
        yield ours
    os.dup2(kept, 0)
    os.close(kept)


def test_only_its_end_counts_and_not_what_is_said(ours, exits):
    drained = threading.Event()
    line = Lifeline()
    line.hold(drained.set, 0.01)
    line.ready()
    assert READY.unpack(ours.recv(READY.size)) == (0.01,)
    ours.send(b"word")
    assert not drained.wait(0.05)
    ours.shutdown(socket.SHUT_WR)
    assert drained.wait(WAIT_S)
    assert exits.get(timeout=WAIT_S) == 1


def test_a_supervisor_that_has_ended_meanwhile_is_noticed(ours, exits):
    line = Lifeline()
    ours.close()
    assert exits.get(timeout=WAIT_S) == 0
    line.hold(int, 0.0)
    line.ready()
