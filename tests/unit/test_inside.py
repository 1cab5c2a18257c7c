"""Whether code runs inside a handler of a node."""

import asyncio
import gc
from contextlib import contextmanager
from contextvars import copy_context
from weakref import ref

from braidmq.inside import Run, inside


class Member:
    """Stands for a node."""


@contextmanager
def a_run(node):
    """One run of a handler of `node`, as its node makes it."""
    run = Run(ref(node))
    run.enter()
    yield
    run.over = True


def test_only_a_run_of_that_node_is_inside():
    one, other = Member(), Member()
    assert not inside(one)
    with a_run(one):
        assert (inside(one), inside(other)) == (True, False)
    assert not inside(one)


def test_what_a_run_has_made_is_inside_until_the_run_ends():
    node = Member()
    with a_run(node):
        context = copy_context()
        assert context.run(inside, node)
    assert not context.run(inside, node)


def test_tasks_of_a_handler_are_inside():
    node = Member()

    async def ask():
        return inside(node)

    async def handler():
        with a_run(node):
            return await asyncio.create_task(ask())

    async def main():
        return await asyncio.create_task(handler()), await asyncio.create_task(ask())

    assert asyncio.run(main()) == (True, False)


def test_a_context_does_not_keep_the_node():
    node = Member()
    with a_run(node):
        context = copy_context()
    gone = ref(node)
    del node
    gc.collect()
    assert gone() is None
    assert len(context) >= 1
