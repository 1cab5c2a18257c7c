"""What is given back when nobody closes its owner."""

import gc
import subprocess
import sys

import pytest

from braidmq.host.forgotten import Guard


class Owner:
    """Stands for a node."""

    def __init__(self, given_back, *, has=True):
        self.cycle: Owner | None = None
        self.guard = Guard(self, "the node n", lambda: (given_back.append(1), has)[1])


def test_what_is_forgotten_is_given_back_once_with_a_warning():
    given_back = []
    owner = Owner(given_back)
    guard = owner.guard
    owner.cycle = owner
    del owner
    with pytest.warns(ResourceWarning, match="the node n was not closed"):
        gc.collect()
    assert not guard.give_back()
    assert given_back == [1]


def test_without_anything_to_give_back_there_is_no_warning():
    given_back = []
    owner = Owner(given_back, has=False)
    del owner
    gc.collect()
    assert given_back == [1]


def test_what_was_closed_is_left_alone():
    given_back = []
    owner = Owner(given_back)
    owner.guard.dismiss()
    del owner
    gc.collect()
    assert given_back == []


def test_at_the_end_of_a_program_its_own_functions_come_first():
    code = """
import atexit
from braidmq.host.forgotten import Guard
class Owner: pass
def give_back():
    print("given back")
    return True
atexit.register(print, "the program's own")
owner = Owner()
guard = Guard(owner, "the node n", give_back)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines() == ["the program's own", "given back"]
    assert done.stderr == ""


def test_at_the_end_of_a_program_everything_is_given_back_and_warned_of_even_if_that_fails():
    code = """
from braidmq.host.forgotten import Guard
class Owner: pass
def give_back(number):
    print("given back")
    if number == 2:
        raise OSError("a node cannot be given back")
    return True
owners = [Owner() for _ in range(4)]
guards = [
    Guard(owner, f"node {number}", lambda number=number: give_back(number)) for number, owner in enumerate(owners)
]
"""
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines() == ["given back"] * 4
    for number in (0, 1, 3):
        assert f"ResourceWarning: node {number} was not closed" in done.stderr
    assert "a node cannot be given back" in done.stderr
