"""The bench of what onlookers cost, as a user runs it: each row tells its figures."""

import json
import os
import subprocess
import sys

import pytest

from bench.onlookers import full_pipe


def rows_of(*arguments):
    command = [sys.executable, "-m", "bench.onlookers", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.nightly
def test_the_monitor_and_its_polls_are_measured():
    without_page, with_page, idle, loaded, after = rows_of("monitor", "--seconds", 2, "--rounds", 2)
    assert (without_page["monitor"], with_page["monitor"], after["monitor"]) == ("no page", "one page", "after calls")
    assert all(row["rss_mib"] > 10 for row in (without_page, with_page, after))
    assert with_page["read_bytes"] > 1_000
    assert idle["broker_processor_percent"].keys() == {"polled", "alone"}
    assert (loaded["rounds"], loaded["calls_polled_to_alone"] > 0.0) == (2, True)


@pytest.mark.nightly
def test_calls_are_measured_whatever_becomes_of_the_log():
    rows = rows_of("log", "--seconds", 1, "--rounds", 2)
    assert [row.get("stderr") for row in rows] == ["read", "full", "disk full", "closed"]
    assert all(len(row["of"]) == 2 for row in rows)


def test_a_pipe_that_is_full_takes_nothing_more(tmp_path):
    with full_pipe(tmp_path) as path:
        end = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            with pytest.raises(BlockingIOError):
                os.write(end, b"x")
        finally:
            os.close(end)
