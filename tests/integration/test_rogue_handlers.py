"""Handlers that raise whatever can be raised, and return whatever can be awaited, over real brokers and sockets."""

import asyncio
import concurrent.futures
import functools
import gc
import logging
import sys
import threading
import warnings
from unittest.mock import AsyncMock, Mock

import pytest

from braidmq import ServiceError
from braidmq.runner import AWAITS_MAX
from tests.support.nights import cases
from tests.support.services import handler_that, one_service

# -- whatever is raised


class UnspeakableError(Exception):
    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


class PretenderError(Exception):
    @property
    def __class__(self):
        return ServiceError


class MuteError(ServiceError):
    """A ServiceError whose message cannot be had."""

    def __init__(self):
        super().__init__("MUTE")
        del self.message

    def __getattr__(self, _name):
        raise SystemExit


class Nameless(type):
    @property
    def __name__(cls):  # type: ignore[override]
        raise SystemExit


class NamelessError(BaseException, metaclass=Nameless):
    pass


class OwnError(ServiceError):
    def __init__(self, sku):
        super().__init__("OUT_OF_STOCK", "none left", {"sku": sku})


def too_deep():
    return too_deep()


def fail_with(error):
    raise error


FAILURES = {
    "StopIteration": lambda: next(iter(())),
    "StopAsyncIteration": lambda: fail_with(StopAsyncIteration),
    "KeyboardInterrupt": lambda: fail_with(KeyboardInterrupt),
    "SystemExit": lambda: sys.exit("no"),
    "GeneratorExit": lambda: fail_with(GeneratorExit),
    "CancelledError": lambda: fail_with(asyncio.CancelledError),
    "CancelledError of threads": lambda: fail_with(concurrent.futures.CancelledError),
    "TimeoutError": lambda: fail_with(TimeoutError),
    "MemoryError": lambda: fail_with(MemoryError),
    "RecursionError": too_deep,
    "derived from BaseException": lambda: fail_with(type("OwnError", (BaseException,), {})),
    "a group": lambda: fail_with(BaseExceptionGroup("all", [KeyboardInterrupt(), ServiceError("BAD")])),
    "without a text": lambda: fail_with(UnspeakableError()),
    "with another class": lambda: fail_with(PretenderError()),
    "whose class has no name": lambda: fail_with(NamelessError()),
    "a ServiceError without its fields": lambda: fail_with(MuteError()),
    "no exception": lambda: fail_with("text"),
}


@cases("how", ["async def", "def", "awaited for a def"], one_in=4)
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_whatever_a_handler_raises_the_caller_is_told_and_the_place_is_free(failure, how):
    def act(request):
        return b"fine" if request.payload else failure()

    async def async_act(request):
        await asyncio.sleep(0)
        return act(request)

    handler = {"async def": async_act, "def": act, "awaited for a def": lambda request: async_act(request)}[how]  # noqa: PLW0108
    async with one_service(handler, concurrency=1) as (_net, client):
        for _ in range(2):
            with pytest.raises(ServiceError, match=r"^INTERNAL"):
                await client.request("s")
            assert (await client.request("s", b"x")).payload == b"fine"


async def test_an_error_that_pretends_to_be_of_another_class_is_told_by_its_own(caplog):
    async with one_service(handler_that(lambda: fail_with(PretenderError()), blocking=False)) as (_net, client):
        with pytest.raises(ServiceError, match="failed with PretenderError"):
            await client.request("s")
    assert "AttributeError" not in caplog.text


@pytest.mark.parametrize("blocking", [False, True])
async def test_an_error_derived_from_service_error_reaches_the_caller_as_one(blocking):
    async with one_service(handler_that(lambda: fail_with(OwnError(7)), blocking)) as (_net, client):
        with pytest.raises(ServiceError) as caught:
            await client.request("s")
    error = caught.value
    assert (error.code, error.message, error.details) == ("OUT_OF_STOCK", "none left", {"sku": 7})


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
async def test_a_log_that_fails_ends_nothing(blocking, error, capsys):
    def refuse(record):
        if record.levelno >= logging.ERROR:  # a standstill, of which a slow machine has some, is told of elsewhere
            raise error
        return True

    log = logging.getLogger("braidmq.node")
    async with one_service(handler_that(too_deep, blocking), concurrency=1) as (_net, client):
        log.addFilter(refuse)
        try:
            for _ in range(2):
                with pytest.raises(ServiceError, match="INTERNAL: the handler failed with RecursionError"):
                    await client.request("s")
        finally:
            log.removeFilter(refuse)
    assert capsys.readouterr().err.count(error.__name__) == 2


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_handler_that_cancels_its_own_task_is_internal(blocking):
    async def cancel_itself(_request):
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    handler = (lambda request: cancel_itself(request)) if blocking else cancel_itself  # noqa: PLW0108
    async with one_service(handler, concurrency=1) as (_net, client):
        for _ in range(2):
            with pytest.raises(ServiceError, match="CancelledError"):
                await client.request("s")


# -- whatever can be awaited


class Awaitable:
    def __init__(self, result):
        self._result = result

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return self._result


async def answer(_request):
    await asyncio.sleep(0)
    return b"ok"


def on_loop_of(loop):
    """A `def` that lets something run on an event loop and returns its future."""

    def handler(request):
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer(request), loop), loop=loop)

    return handler


class Called:
    async def __call__(self, request):
        return await answer(request)


async def twice(request):
    return answer(request)


AWAITED = {
    "object": lambda _loop: Called(),
    "partial of an object": lambda _loop: functools.partial(Called()),
    "lambda": lambda _loop: lambda request: answer(request),  # noqa: PLW0108 - it is no `async def`
    "cached": lambda _loop: functools.cache(answer),
    "AsyncMock": lambda _loop: AsyncMock(return_value=b"ok"),
    "Mock that returns a coroutine": lambda _loop: Mock(side_effect=answer),
    "future": on_loop_of,
    "task": lambda loop: functools.partial(_task_on, loop),
    "awaitable": lambda _loop: lambda _request: Awaitable(b"ok"),
    "coroutine of an async def": lambda _loop: twice,
    "awaitable of an awaitable": lambda _loop: lambda request: Awaitable(answer(request)),
}


async def _task_on(loop, request):
    return loop.create_task(answer(request))


@cases("handler", AWAITED.values(), ids=AWAITED, one_in=3)
async def test_what_a_handler_returns_is_awaited(handler):
    async with one_service(handler(asyncio.get_running_loop())) as (_net, client):
        assert (await client.request("s")).payload == b"ok"


async def test_what_a_def_returns_is_awaited_on_the_loop_and_its_error_is_the_handlers():
    async def inner(_request):
        assert threading.current_thread() is threading.main_thread()
        raise ServiceError("BAD")

    async with one_service(lambda request: inner(request)) as (_net, client):  # noqa: PLW0108
        with pytest.raises(ServiceError, match=r"^BAD$"):
            await client.request("s")


@pytest.mark.parametrize("deep", [AWAITS_MAX, AWAITS_MAX + 1])
async def test_so_many_things_to_await_are_awaited_and_no_more(deep):
    async def nest(depth):
        return nest(depth - 1) if depth else b"found"

    async def handler(_request):
        return nest(deep - 2)

    with warnings.catch_warnings(action="ignore"):  # of the one that is not awaited
        async with one_service(handler) as (_net, client):
            if deep == AWAITS_MAX:
                assert (await client.request("s")).payload == b"found"
            else:
                with pytest.raises(ServiceError, match="returned coroutine, not bytes"):
                    await client.request("s")
        gc.collect()


async def test_something_to_await_without_end_is_internal():
    async def handler(_request):
        return endless()

    async def endless():
        return endless()

    with pytest.warns(RuntimeWarning, match="never awaited"):  # noqa: PT031 - it may be told at any time
        async with one_service(handler) as (_net, client):
            with pytest.raises(ServiceError, match="returned coroutine, not bytes"):
                await client.request("s")
        gc.collect()
