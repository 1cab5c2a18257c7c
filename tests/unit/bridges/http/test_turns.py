"""Calls of the gateway wait for their turn, and say so where they wait in vain."""

import asyncio
from typing import Any

import pytest

from braidmq.bridges.http.core.callers import Caller
from braidmq.bridges.http.core.gateway import Call
from braidmq.bridges.http.server import Server
from braidmq.bridges.waiting_room import WaitingRoom
from braidmq.errors import Overloaded
from braidmq.settings import Settings
from tests.support.async_tests import until

TIMEOUT_S = 60.0


class Node:
    """Answers when it is told to."""

    def __init__(self):
        self.timeouts_s = []
        self.gates = []

    async def request(self, service, payload, *, timeout, **_):
        self.timeouts_s.append(timeout)
        self.gates.append(asyncio.Event())
        await self.gates[-1].wait()
        return payload


class Members:
    """One node for all."""

    def __init__(self):
        self.own = Node()

    def node(self, _join):
        return self.own


def server(**settings):
    gateway: Any = None
    members: Any = Members()
    return Server(gateway, members, WaitingRoom(Settings(in_flight_max=1, **settings))), members.own


def call(payload=b"x", *, possible_duplicate=False):
    return Call(Caller("shop"), "echo", payload, TIMEOUT_S, None, {}, possible_duplicate)


async def test_call_goes_on_with_the_time_that_it_has_left_when_another_one_has_ended():
    serves, node = server()
    first, second = asyncio.ensure_future(serves.make(call(b"1"))), asyncio.ensure_future(serves.make(call(b"2")))
    await until(lambda: node.gates)
    assert len(node.gates) == 1
    node.gates[0].set()
    assert await first == b"1"
    await until(lambda: len(node.gates) == 2)
    assert node.timeouts_s[0] == TIMEOUT_S > node.timeouts_s[1] > 0
    node.gates[1].set()
    assert await second == b"2"


@pytest.mark.parametrize("possible_duplicate", [False, True])
async def test_call_that_cannot_even_wait_is_told_as_what_the_caller_said_of_it(possible_duplicate):
    serves, node = server(waiting_max=0)
    first = asyncio.ensure_future(serves.make(call()))
    await until(lambda: node.gates)
    with pytest.raises(Overloaded) as told:
        await serves.make(call(possible_duplicate=possible_duplicate))
    assert (told.value.service, told.value.maybe_executed) == ("echo", possible_duplicate)
    node.gates[0].set()
    await first
