import asyncio
import threading

import pytest

from braidmq.host.loop_notify import LoopNotifier
from tests.support.async_tests import until
from tests.support.service_manager import ServiceManager

WATCHDOG_S = 0.2


@pytest.fixture
def manager(tmp_path, monkeypatch):
    manager = ServiceManager(tmp_path / "notify")
    for name, value in manager.environment(WATCHDOG_S).items():
        monkeypatch.setenv(name, value)
    yield manager
    manager.close()


def test_it_speaks_as_long_as_the_event_loop_goes_on_and_no_longer(manager):
    asyncio.run(speak_and_hang(manager))


async def speak_and_hang(manager):
    with LoopNotifier(lambda: "works") as told:
        told.ready()
        await until(lambda: manager.take() == ["WATCHDOG=1"])
        await until(lambda: manager.take() == ["WATCHDOG=1"])
        manager.take()
        threading.Event().wait(2 * WATCHDOG_S)  # the loop hangs
        assert manager.take() == []
        await until(lambda: manager.take() == ["WATCHDOG=1"])
        told.stopping()
        await until(lambda: "STOPPING=1" in manager.take())


def test_at_its_end_it_is_silent(manager):
    asyncio.run(speak_and_end(manager))


async def speak_and_end(manager):
    with LoopNotifier(lambda: "works") as told:
        told.ready()
    manager.take()
    told.ready()
    await asyncio.sleep(2 * WATCHDOG_S)
    assert manager.take() == []
