"""What may be a handler, and where it runs."""

import functools
from unittest.mock import AsyncMock, Mock

import pytest

from braidmq.errors import ConfigError
from braidmq.handler import Kind, kind_of


class AsyncObject:
    async def __call__(self, _request):
        return b""

    async def method(self, _request):
        return b""

    @classmethod
    async def class_method(cls, _request):
        return b""

    @staticmethod
    async def static_method(_request):
        return b""


class Generating:
    def __call__(self, _request):
        yield b""


class Unwilling:
    """A function whose arguments cannot be told."""

    @property
    def __signature__(self):
        raise RuntimeError("no")

    def __call__(self, _request):
        return b""


async def on_loop(_request):
    return b""


def in_thread(_request):
    return b""


async def with_more(prefix, _request, suffix=b""):
    return prefix + suffix


def generator(_request):
    yield b""


async def async_generator(_request):
    yield b""


def of_no_request():
    return b""


@functools.wraps(on_loop)
def wrapper(request):
    return on_loop(request)


@functools.wraps(of_no_request)
def without_its_request(_request):
    return of_no_request()


ON_LOOP = {
    "async def": on_loop,
    "method": AsyncObject().method,
    "class method": AsyncObject.class_method,
    "static method": AsyncObject.static_method,
    "staticmethod, undecorated": staticmethod(on_loop),
    "object": AsyncObject(),
    "partial": functools.partial(with_more, b""),
    "partial of a partial": functools.partial(functools.partial(with_more, b""), suffix=b""),
    "partial of an object": functools.partial(AsyncObject()),
    "AsyncMock": AsyncMock(),
}

IN_THREAD = {
    "def": in_thread,
    "lambda that returns a coroutine": lambda request: on_loop(request),  # noqa: PLW0108 - it is no `async def`
    "wrapper of async def": wrapper,
    "wrapper with other arguments": without_its_request,
    "Mock": Mock(),
    "builtin": "".join,
    "arguments that cannot be told": Unwilling(),
}

REFUSED = {
    "nothing": (None, "NoneType cannot be called"),
    "text": ("app:handler", "str cannot be called"),
    "classmethod, undecorated": (classmethod(on_loop), "cannot be called"),
    "class": (AsyncObject, "AsyncObject is a class"),
    "partial of a class": (functools.partial(AsyncObject), "AsyncObject is a class"),
    "generator": (generator, r"test_handler\.generator is a generator"),
    "async generator": (async_generator, "async_generator is a generator"),
    "object that generates": (Generating(), "Generating is a generator"),
    "partial of a generator": (functools.partial(generator), "generator is a generator"),
    "no argument": (of_no_request, r"of_no_request takes \(\)"),
    "two arguments": (with_more, r"with_more takes \(prefix, _request, suffix\)"),
    "method without its object": (AsyncObject.method, r"AsyncObject\.method takes \(self, _request\).*object\.method"),
    "all bound": (functools.partial(in_thread, b""), r"in_thread takes \(\)"),
    "a keyword that is required": (lambda request, *, database: request, r"takes \(request, database\)"),
}


@pytest.mark.parametrize("handler", ON_LOOP.values(), ids=ON_LOOP)
def test_what_is_known_to_be_async_runs_on_the_loop(handler):
    assert kind_of(handler) is Kind.ON_LOOP


@pytest.mark.parametrize("handler", IN_THREAD.values(), ids=IN_THREAD)
def test_all_else_runs_in_a_thread(handler):
    assert kind_of(handler) is Kind.IN_THREAD


@pytest.mark.parametrize(("handler", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_by_its_name(handler, why):
    with pytest.raises(ConfigError, match=why):
        kind_of(handler)
