"""Tests of others may freeze or move the time: nets and nodes go on."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from time import time

import freezegun
import pytest

from braidmq.testing import TestNet
from tests.support.nights import cases, nightly_but

MOMENTS = [datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)]
MODES = [{}, {"real_asyncio": True}, {"tick": True}, {"auto_tick_seconds": 60}]


def echo(request):
    return request.payload


async def call(client):
    assert (await client.request("echo", b"1", timeout=3.0)).payload == b"1"


async def a_while():
    """Let heartbeats be missed, if they are going to be."""
    await asyncio.to_thread(threading.Event().wait, 1.5)


async def live_through(moment, mode):
    async with TestNet(brokers=2) as net:
        worker = net.node("worker")
        worker.service("echo")(echo)
        async with worker, net.node("client") as client:
            await net.served("echo")
            with freezegun.freeze_time(moment, **mode) as frozen:
                assert abs(time() - moment.timestamp()) < 1000.0
                await call(client)
                await a_while()
                await call(client)
                if "tick" not in mode:
                    frozen.move_to(moment + timedelta(days=1000))
                await call(client)
                assert [broker.state for broker in client.brokers] == ["up", "up"]
            await call(client)
            await a_while()
            await call(client)
            assert [broker.state for broker in client.brokers] == ["up", "up"]


@pytest.mark.nightly
@pytest.mark.parametrize("moment", nightly_but(MOMENTS[:1], MOMENTS))
@pytest.mark.parametrize("mode", nightly_but(MODES[1:2], MODES))
def test_calls_go_on_in_frozen_time_and_after_it(moment, mode):
    asyncio.run(live_through(moment, mode))


@cases("mode", MODES, one_in=2)
def test_a_whole_net_lives_in_frozen_time(mode):
    with freezegun.freeze_time(MOMENTS[0], **mode), TestNet(brokers=2) as net:
        worker = net.blocking_node("worker")
        worker.service("echo")(echo)
        with worker, net.blocking_node("client") as client:
            net.wait_served("echo")
            client.request("echo")
            net.brokers["b1"].kill()
            client.request("echo")
            net.brokers["b1"].restart()
            net.wait_served("echo")
            client.request("echo", via="b1")
