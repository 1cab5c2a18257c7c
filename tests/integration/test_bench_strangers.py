"""Foreign peers in great number before each bridge, and one that floods. No test asserts how fast anything is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.nights import nightly_but

ROOT = Path(__file__).parents[2]
KINDS = ("majordomo", "malamute", "http")

UNDER_WAY_MIB_MAX = 128
"""What 1,000 peers with 10 short calls under way each may take: half of it was measured."""


def rows(*arguments, timeout=100):
    command = [sys.executable, "-m", "bench.strangers", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.nightly
@pytest.mark.parametrize("kind", nightly_but({"majordomo"}, KINDS))
def test_calls_of_many_peers_are_all_under_way_and_answered_once(kind):
    (row,) = rows("crowd", kind, "--peers", 40, "--calls", 10)
    assert (row["kind"], row["answered_once"]) == (kind, 400)
    assert row["mib"].keys() >= {"empty", "under_way", "after"}


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_peers_with_ten_calls_each_take_bounded_memory(kind):
    (row,) = rows("crowd", kind, timeout=600)
    assert row["answered_once"] == 10_000
    assert row["mib"]["under_way"] - row["mib"]["empty"] < UNDER_WAY_MIB_MAX, row


@pytest.mark.parametrize("kind", nightly_but({"malamute"}, KINDS))
@pytest.mark.nightly
def test_peers_are_served_on_beside_one_that_floods(kind):
    *measured, cost = rows("flood", kind, "--peers", 8, "--calls", 2, "--rounds", 1, "--seconds", 0.4)
    assert [row["flooded"] for row in measured] == [False, True]
    assert all(row["calls_per_s"] > 0 for row in measured)
    percents = {"p50_longer_by_percent", "throughput_less_by_percent", "bridge_more_by_percent"}
    assert cost.keys() == {"kind", "mib", *percents}


@pytest.mark.parametrize("kind", nightly_but({"http"}, KINDS))
@pytest.mark.nightly
def test_all_peers_are_served_again_after_their_bridge_was_killed(kind):
    (row,) = rows("restart", kind, "--peers", 8)
    assert 0 < row["listens_s"] <= row["half_s"] <= row["all_s"]
