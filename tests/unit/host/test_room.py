"""Limits of the machine are met with an error before libzmq meets them and ends the process."""

import os
import threading

import pytest

from braidmq.host.room import NoRoom, room
from tests.support.scarcity import descriptors, only


@descriptors
def test_descriptors_are_counted_and_given_back():
    with only(20):
        for _ in range(3):
            with room("a test", descriptors=12):
                pass
            with pytest.raises(NoRoom, match=r"a test needs [0-9]+ file descriptors more; this process may open"):
                room("a test", descriptors=30).__enter__()


def test_threads_are_counted_and_end(monkeypatch):
    before = threading.active_count()
    with room("a test", descriptors=1, threads=3):
        assert threading.active_count() == before

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(NoRoom, match="a test needs 2 threads more, and the system gives none"):
        room("a test", descriptors=1, threads=2).__enter__()


def test_a_child_process_can_make_room_whoever_was_at_it():
    with room("a test", descriptors=1):
        pass
    pid = os.fork()
    if pid == 0:
        with room("a child", descriptors=1):
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
