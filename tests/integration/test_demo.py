"""The real command, small: what it reports, and that it leaves nothing behind however it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.support.nights import cases, nightly_but

DEMO = [sys.executable, "-m", "braidmq", "demo"]
SMALL = ["--brokers", "2", "--workers", "2", "--clients", "1", "--duration", "10", "--kill-every", "2", "--rate", "200"]
LASTING = [*SMALL, "--duration", "60"]
"""For one that is ended half way, however slow the machine is."""

WAIT_S = 60.0

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture
def start(tmp_path):
    """Starts demos, and ends what a test that fails has left of them."""
    started = []

    def begin(*arguments):
        demo = subprocess.Popen(
            [*DEMO, *arguments],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(demo)
        return demo

    yield begin
    for demo in started:
        with demo:
            demo.kill()


def processes_of(temporary):
    """The command lines of all processes that were given a file below `temporary`, by pid."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(f"{temporary}/braidmq-demo-") in command:
            found[int(entry.name)] = command
    return found


def left_behind(temporary):
    return list(temporary.iterdir()), processes_of(temporary)


def until(condition, what):
    give_up_at = monotonic() + WAIT_S
    while not condition():
        assert monotonic() < give_up_at, f"not within {WAIT_S:g} s: {what}"
        sleep(0.02)


def wait_for_kill(demo):
    """Read the demo's progress until it has killed a broker."""
    for line in demo.stderr:
        if "kill -9" in line:
            return
    pytest.fail("the demo ended without a kill")


@linux
def test_brokers_are_killed_and_nothing_is_lost(start, tmp_path):
    demo = start(*SMALL, "--json")
    out, err = demo.communicate(timeout=100)
    assert demo.returncode == 0, f"{out}\n{err}"
    assert out.count("\n") == 1
    summary = json.loads(out)
    assert (summary["lost"], summary["errors"], summary["problems"], summary["ok"]) == (0, 0, [], True)
    assert summary["replies"] == summary["requests"] == sum(summary["replies_by_broker"].values()) > 600
    assert summary["brokers_killed"] == summary["brokers_restarted"] >= 2
    assert set(summary["replies_by_broker"]) == {"b1", "b2"}
    assert 5.0 < summary["p50_ms"] <= summary["p99_ms"] <= summary["max_ms"] < 5_250
    assert summary["possible_duplicates"] >= summary["recovery"]["retried"]
    assert summary["retries"] >= summary["recovery"]["retried"]
    assert left_behind(tmp_path) == ([], {})


@pytest.mark.nightly
@linux
def test_requests_wait_for_a_single_broker(start):
    demo = start(
        "--brokers", "1", "--workers", "1", "--clients", "1", "--duration", "5", "--kill-every", "3",
        "--rate", "50", "--json",
    )  # fmt: skip
    out, err = demo.communicate(timeout=100)
    assert demo.returncode == 0, f"{out}\n{err}"
    summary = json.loads(out)
    assert (summary["lost"], summary["errors"], summary["brokers_killed"]) == (0, 0, 1)
    assert summary["max_ms"] > 1_000


@pytest.mark.nightly
@linux
@pytest.mark.parametrize("number", nightly_but({signal.SIGINT}, (signal.SIGINT, signal.SIGTERM)))
def test_a_signal_half_way_leaves_nothing_behind(start, tmp_path, number):
    demo = start(*LASTING, "--json")
    wait_for_kill(demo)
    assert processes_of(tmp_path)
    demo.send_signal(number)
    out, err = demo.communicate(timeout=WAIT_S)
    assert demo.returncode == 128 + number
    assert out == ""
    assert "Traceback" not in err
    assert left_behind(tmp_path) == ([], {})


@linux
def test_a_signal_while_it_starts_leaves_nothing_behind(start, tmp_path):
    demo = start(*LASTING, "--json")
    until(lambda: processes_of(tmp_path), "a first process")
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=WAIT_S)
    assert demo.returncode == 130
    assert left_behind(tmp_path) == ([], {})


@pytest.mark.nightly
@linux
def test_no_process_outlives_a_demo_that_is_killed(start, tmp_path):
    demo = start(*LASTING, "--json")
    wait_for_kill(demo)
    demo.kill()
    demo.communicate(timeout=WAIT_S)
    until(lambda: not processes_of(tmp_path), "the end of the processes")


@pytest.mark.nightly
@linux
def test_a_process_that_ends_by_itself_is_told_in_one_line(start, tmp_path):
    demo = start(*LASTING, "--json")
    wait_for_kill(demo)
    worker = next(pid for pid, command in processes_of(tmp_path).items() if b"braidmq.lab.demo.worker" in command)
    os.kill(worker, signal.SIGKILL)
    out, err = demo.communicate(timeout=WAIT_S)
    assert demo.returncode == 1
    assert out == ""
    complaints = [line for line in err.splitlines() if line.startswith("braidmq: ")]
    assert len(complaints) == 1
    assert "was ended by SIGKILL" in complaints[0]
    assert left_behind(tmp_path) == ([], {})


@pytest.mark.nightly
def test_without_a_terminal_there_are_plain_lines_and_a_summary(start):
    demo = start(
        "--brokers", "2", "--workers", "1", "--clients", "1", "--duration", "10", "--kill-every", "6",
        "--rate", "50",
    )  # fmt: skip
    out, err = demo.communicate(timeout=100)
    assert demo.returncode == 0, f"{out}\n{err}"
    assert "\x1b" not in out
    assert "kill -9 b1" in out
    assert "b1 serves again" in out
    assert "1 broker killed with kill -9" in out
    assert err == ""


@cases("wrong", [["--brokers", "0"], ["--kill-every", "40"], ["--rate", "inf"], ["--workers", "x"]], one_in=3)
def test_wrong_arguments_are_told_in_one_line(start, tmp_path, wrong):
    demo = start(*wrong)
    out, err = demo.communicate(timeout=WAIT_S)
    assert demo.returncode == 2
    assert out == ""
    assert err.startswith("braidmq: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
