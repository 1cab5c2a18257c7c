import itertools
import logging
import os
import time

import pytest

from braidmq.host.notify import ALIVE, ALIVE_S, BEATS_PER_PERIOD, STATUS_CHARS_MAX, STATUS_S, Notifier
from tests.support.service_manager import ServiceManager

NUMBERS = itertools.count()


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = tmp_path / "notify" if request.param == "path" else f"@braidmq-{os.getpid()}-{next(NUMBERS)}"
    manager = ServiceManager(name)
    yield manager
    manager.close()


@pytest.fixture
def notifier(manager):
    made = []

    def make(status=lambda: "works", **variables):
        made.append(Notifier(status, manager.environment() | variables))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_it_says_that_it_is_ready_and_that_it_ends(manager, notifier):
    told = notifier()
    told.ready(0.0)
    assert manager.take() == ["READY=1", "STATUS=works"]
    told.stopping(1.0)
    assert manager.take() == ["STOPPING=1", "STATUS=draining"]
    told.on_time(100.0)
    assert manager.take() == []


def test_before_it_is_ready_it_has_no_status(manager, notifier):
    notifier(lambda: pytest.fail("there is none yet")).on_time(0.0)
    assert manager.take() == []


def test_it_says_that_it_lives_several_times_in_each_period_of_the_watchdog(manager, notifier):
    told = notifier(WATCHDOG_USEC="2000000", WATCHDOG_PID=str(os.getpid()))
    assert told.watchdog_s == 2.0
    assert told.beat_s == 2.0 / BEATS_PER_PERIOD
    told.ready(0.0)
    assert manager.take() == ["READY=1", "STATUS=works", "WATCHDOG=1"]
    told.on_time(0.4)
    assert manager.take() == []
    told.on_time(0.5)
    assert manager.take() == ["WATCHDOG=1"]
    told.stopping(0.9)
    manager.take()
    told.on_time(1.0)
    assert manager.take() == ["WATCHDOG=1"], "what drains can hang as well"


@pytest.mark.parametrize(
    "variables", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "-1"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}]
)
def test_without_a_watchdog_for_this_process_it_does_not_say_that_it_lives(manager, notifier, variables):
    told = notifier(**variables)
    assert told.watchdog_s is None
    assert told.beat_s == STATUS_S
    told.ready(0.0)
    manager.take()
    told.on_time(0.1)
    assert manager.take() == []


def test_a_status_is_told_when_it_has_changed_and_looked_at_now_and_then(manager, notifier):
    said = ["one"]
    told = notifier(lambda: said[0])
    told.ready(0.0)
    manager.take()
    told.on_time(STATUS_S)
    assert manager.take() == []
    said[0] = "two"
    told.on_time(STATUS_S + 1.0)
    assert manager.take() == []
    told.on_time(2 * STATUS_S)
    assert manager.take() == ["STATUS=two"]


def test_a_status_can_say_nothing_else(manager, notifier):
    notifier(lambda: "x\nREADY=0\r\n" + "y" * 1_000).ready(0.0)
    _, status = manager.take()
    assert status.startswith("STATUS=x READY=0 y")
    assert len(status) == len("STATUS=") + STATUS_CHARS_MAX


def test_what_a_full_socket_does_not_take_is_said_later_and_holds_up_nobody(manager, notifier):
    manager.fill()
    told = notifier(WATCHDOG_USEC="4000000")
    told.ready(0.0)
    told.on_time(1.0)
    assert "READY=1" not in manager.take()
    told.on_time(1.5)
    assert sorted(manager.take()) == ["READY=1", "STATUS=works", "WATCHDOG=1"]


def test_a_service_manager_that_is_not_there_is_told_of_once(tmp_path, caplog):
    told = Notifier(lambda: "works", {"NOTIFY_SOCKET": str(tmp_path / "nothing")})
    told.ready(0.0)
    told.stopping(1.0)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "No such file" in caplog.text
    told.close()


def test_a_service_manager_that_comes_back_hears_all_of_it(tmp_path, caplog):
    told = Notifier(lambda: "works", {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4000000"})
    told.ready(0.0)
    manager = ServiceManager(tmp_path / "notify")
    told.on_time(0.5)
    assert sorted(manager.take()) == ["READY=1", "STATUS=works", "WATCHDOG=1"]
    manager.close()
    told.on_time(1.0)
    manager = ServiceManager(tmp_path / "notify")
    told.on_time(2.0)
    assert manager.take() == ["WATCHDOG=1"]
    assert len(caplog.records) == 1
    told.close()
    manager.close()


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative"])
def test_another_kind_of_socket_is_told_of(address, caplog):
    told = Notifier(lambda: "works", {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    told.ready(0.0)
    assert (told.beat_s, told.watchdog_s) == (None, None)
    assert "no Unix socket" in caplog.text


# -- the file


def age_s(path):
    return time.time() - path.stat().st_mtime


def test_a_file_is_changed_as_long_as_a_process_lives(tmp_path):
    path = tmp_path / "alive"
    told = Notifier(lambda: "works", {ALIVE: str(path)})
    assert told.beat_s == ALIVE_S
    told.on_time(0.0)
    assert not path.exists(), "it is not ready yet"
    told.ready(1.0)
    for number in range(3):
        os.utime(path, (0, 0))
        told.on_time(1.0 + number + 0.9 * ALIVE_S)
        assert age_s(path) > 1_000
        told.on_time(1.0 + number + ALIVE_S)
        assert age_s(path) < 10
    told.stopping(9.0)
    os.utime(path, (0, 0))
    told.on_time(11.0)
    assert age_s(path) < 10, "what drains lives"
    told.close()
    os.utime(path, (0, 0))
    told.on_time(13.0)
    assert age_s(path) > 1_000


def test_a_file_goes_beside_a_socket(manager, tmp_path):
    path = tmp_path / "alive"
    told = Notifier(lambda: "works", {**manager.environment(20.0), ALIVE: str(path)})
    assert told.beat_s == ALIVE_S
    told.ready(0.0)
    assert path.exists()
    assert "READY=1" in manager.take()
    told.close()


def test_a_file_that_cannot_be_made_is_told_of_once(tmp_path, caplog):
    told = Notifier(lambda: "works", {ALIVE: str(tmp_path / "nothing" / "alive")})
    told.ready(0.0)
    told.on_time(2.0)
    (record,) = caplog.records
    assert "says that this process lives, cannot be changed: No such file" in record.getMessage()


def test_where_nobody_listens_nothing_is_done(caplog):
    told = Notifier(lambda: pytest.fail("nobody has asked"), {"WATCHDOG_USEC": "1000000"})
    assert (told.beat_s, told.watchdog_s) == (None, None)
    told.ready(0.0)
    told.on_time(100.0)
    told.stopping(101.0)
    assert not caplog.records
