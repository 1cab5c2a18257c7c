"""Runs tests that are `async def`, each in an event loop of its own, and waits for conditions.

An error that the event loop would only log, such as one in a callback of the product, fails the test.
"""

import asyncio
import inspect
import threading
from collections.abc import Callable
from time import monotonic

import pytest

TEST_S_MAX = 60.0
POLL_S = 0.005


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(_run(pyfuncitem.obj, arguments))
    return True


async def _run(test, arguments):
    unhandled = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    async with asyncio.timeout(TEST_S_MAX):
        await test(**arguments)
    assert not unhandled


def wait_until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    """Do what `until` does, without asyncio."""
    give_up_at = monotonic() + timeout
    while not condition():
        assert monotonic() < give_up_at, f"it did not come to this in {timeout:g} s: {inspect.getsource(condition)}"
        threading.Event().wait(POLL_S)


async def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    """Wait until `condition` holds; fail after `timeout` seconds."""
    give_up_at = monotonic() + timeout
    while not condition():
        assert monotonic() < give_up_at, f"it did not come to this in {timeout:g} s: {inspect.getsource(condition)}"
        await asyncio.sleep(POLL_S)
