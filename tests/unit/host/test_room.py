"""A limit of the machine is told with its name, and with what to do."""

import errno
import os
import threading

import pytest

from braidmq.host.room import NoRoom, room, start
from tests.support.scarcity import descriptors, no_thread, only


@descriptors
def test_a_lack_of_descriptors_says_how_many_there_are():
    why = r"^a test needs more file descriptors; this process may open [0-9]+ files"
    with only(0), pytest.raises(NoRoom, match=why), room("a test"):
        os.pipe()


@pytest.mark.parametrize("number", [errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_what_the_whole_machine_lacks_is_told_in_its_words(number):
    why = f"^a test needs more file descriptors; {os.strerror(number)}: close files"
    with pytest.raises(NoRoom, match=why), room("a test"):
        raise OSError(number, "no")


def test_other_errors_stay_what_they_are():
    with pytest.raises(PermissionError), room("a test"):
        raise PermissionError(errno.EACCES, "no")


def test_a_lack_of_threads_says_which_limits_there_are():
    ran = threading.Event()
    start(threading.Thread(target=ran.set), "a test")
    assert ran.wait(10.0)
    with no_thread(), pytest.raises(NoRoom, match=r"^a test needs another thread, .*TasksMax="):
        start(threading.Thread(target=ran.set), "a test")
