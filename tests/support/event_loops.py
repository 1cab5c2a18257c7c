"""The event loops and the kinds of tasks that a program may run its nodes on."""

import asyncio
import inspect

import uvloop


def plain_factory(loop, work, **_unknown):
    """It takes no notice of a context that is asked for."""
    return asyncio.Task(work, loop=loop)


def naming_factory(loop, work, **_unknown):
    """It looks at what it is handed, as debuggers and tracers do."""
    assert inspect.iscoroutine(work)
    return asyncio.Task(work, loop=loop, name=work.__qualname__)


KINDS = {
    "asyncio": (asyncio.new_event_loop, None),
    "uvloop": (uvloop.new_event_loop, None),
    "asyncio, plain tasks": (asyncio.new_event_loop, plain_factory),
    "uvloop, plain tasks": (uvloop.new_event_loop, plain_factory),
    "asyncio, named tasks": (asyncio.new_event_loop, naming_factory),
}
if hasattr(asyncio, "eager_task_factory"):
    KINDS["asyncio, eager tasks"] = (asyncio.new_event_loop, asyncio.eager_task_factory)
"""How such a loop is made, and its task factory."""
