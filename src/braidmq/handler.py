"""What may handle requests, and where it runs."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TypeVar

from braidmq.errors import ConfigError
from braidmq.messages import Request

Result = bytes | bytearray | memoryview
"""What a handler answers with."""

Handler = Callable[[Request], Awaitable[Result]] | Callable[[Request], Result]
"""Runs a request: `async def` on the event loop, `def` in a thread. Whatever either returns that can be awaited is
awaited on the event loop."""

H = TypeVar("H", bound=Handler)


class Kind(Enum):
    """Where a handler is called."""

    ON_LOOP = "on the event loop"
    IN_THREAD = "in a thread"


def kind_of(handler: Handler) -> Kind:
    """Return where a handler is to be called.

    What is known to be `async def` is called on the event loop: functions, methods, partial functions of them, and
    objects whose `__call__` is one. All else may block, even if it returns something to await.

    Raises:
        ConfigError: it cannot be a handler; the message names it and says why.
    """
    if not callable(handler):
        raise ConfigError(f"{_name(handler)} cannot be called: a handler is a function that takes the request")
    inner = _innermost(handler)
    if inspect.isclass(inner):
        raise ConfigError(f"{_name(handler)} is a class: a handler is a function, or an object that can be called")
    if _is(handler, inspect.isgeneratorfunction) or _is(handler, inspect.isasyncgenfunction):
        raise ConfigError(f"{_name(handler)} is a generator: a handler returns its one result, so it has no yield")
    _check_arguments(handler)
    return Kind.ON_LOOP if _is(handler, inspect.iscoroutinefunction) else Kind.IN_THREAD


def _check_arguments(handler: Handler) -> None:
    try:
        # A wrapper's own arguments count, not those of what it wraps: it may add some, or leave some out.
        signature = inspect.signature(handler, follow_wrapped=False)
    except Exception:  # noqa: BLE001 - whatever keeps it from being inspected, it may work
        return
    try:
        signature.bind(None)
    except TypeError:
        names = ", ".join(signature.parameters)
        raise ConfigError(
            f"{_name(handler)} takes ({names}): a handler is called with one argument, the request; "
            "give a method as object.method, and bind further arguments with functools.partial"
        ) from None


def _innermost(handler: object) -> object:
    while True:
        if isinstance(handler, functools.partial):
            handler = handler.func
        elif isinstance(handler, staticmethod):
            handler = handler.__func__
        else:
            return handler


def _is(handler: object, kind: Callable[[object], bool]) -> bool:
    inner = _innermost(handler)
    return kind(inner) or kind(getattr(type(inner), "__call__", None))  # noqa: B004 - an instance's own does not count


def _name(handler: object) -> str:
    inner = _innermost(handler)
    if not isinstance(name := getattr(inner, "__qualname__", None), str):
        inner, name = type(inner), type(inner).__qualname__
    return f"{getattr(inner, '__module__', None) or 'builtins'}.{name}"
