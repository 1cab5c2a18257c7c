"""What a broker's memory grows by. Few nodes and requests, so each bears more of what all share: half as much again."""

import asyncio

from bench.memory import KIB, idle, under_way


def test_an_idle_node_costs_a_broker_little_and_is_back_soon(tmp_path):
    found = idle(tmp_path / "net", nodes=200)
    assert 0 < found.node_bytes <= 60 * KIB
    assert 0 < found.back_s <= 10


def test_a_request_costs_a_broker_little_beside_its_payload(tmp_path):
    found = asyncio.run(under_way(tmp_path / "net", waiting=300))
    assert 0 < found.at_work_bytes <= 3 * KIB
    assert -KIB < found.in_queue_bytes <= 3 * KIB
