"""What a broker's memory grows by: the figures of docs/performance.md."""

import asyncio

import pytest

from bench.memory import KIB, idle, under_way


def test_an_idle_node_costs_a_broker_little_and_is_connected_soon(tmp_path):
    found = idle(tmp_path / "net", nodes=200)
    assert 1 * KIB < found.node_bytes <= 4 * KIB  # less cannot be: a socket and a session are in it
    assert max(found.started_s, found.back_s) <= 10


@pytest.mark.nightly
def test_a_request_costs_a_broker_little_beside_its_payload(tmp_path):
    found = asyncio.run(under_way(tmp_path / "net", waiting=1_000))
    assert found.at_work_bytes <= 2 * KIB
    assert found.in_queue_bytes <= 2 * KIB
