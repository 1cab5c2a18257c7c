import json
import os
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from braidmq import cli, stderr
from braidmq.core.client import attempts, client
from braidmq.lab.simulation.run import run
from braidmq.lab.simulation.version import version
from tests.support.processes import BRAIDMQ, WAIT_S_MAX, environment

FAILING = ("--scenario", "brokers-die", "--jobs", "1")


def simulate(capfd, *arguments):
    """Run the command; return its exit code, stdout and stderr."""
    code = cli.run(["simulate", *map(str, arguments)])
    stderr.flush()
    return code, *capfd.readouterr()


@pytest.fixture
def broken(patch_cores):
    """Break a guarantee: clients do not say that a request may run twice. Return a seed that meets it."""
    patch_cores.setattr(attempts, "_DUPLICATE", 0)
    return next(seed for seed in range(200) if run(seed, "brokers-die").violations)


# -- what it tells


def test_a_sound_seed_is_told_on_two_lines(capfd):
    code, out, err = simulate(capfd, "--seed", 1, "--scenario", "calm")
    first, second = out.splitlines()
    found = run(1, "calm")
    assert (code, err) == (0, "")
    assert first == f"1 seed, 1: {found.plan}; digest {found.digest}, calm, version {version()}: 0 failed"
    assert second.startswith(f"{len(found.record.calls):,} calls and {found.events:,} events in ")


@pytest.mark.nightly
def test_several_seeds_are_told_together(capfd):
    code, out, err = simulate(capfd, "--seed", 1, "--seeds", 3, "--scenario", "calm", "--jobs", 1)
    assert (code, err) == (0, "")
    assert out.startswith(f"3 seeds, 1 to 3, calm, version {version()}: 0 failed\n")


def test_a_seed_that_was_drawn_is_told_and_can_be_run_again(capfd):
    told = []
    for _ in range(2):
        code, out, _ = simulate(capfd, "--scenario", "calm")
        assert code == 0
        found = re.match(r"1 seed, (\d+): ", out)
        assert found is not None
        told.append(int(found[1]))
    assert told[0] != told[1]
    assert simulate(capfd, "--seed", told[1], "--scenario", "calm")[1].splitlines()[0] == out.splitlines()[0]


def test_json_has_every_field(capfd):
    code, out, err = simulate(capfd, "--seed", 5, "--seeds", 2, "--scenario", "calm", "--jobs", 1, "--json")
    told = json.loads(out)
    found = [run(seed, "calm") for seed in (5, 6)]
    seconds = {name: told.pop(name) for name in ("seconds", "seconds_per_seed", "seconds_per_seed_max")}
    assert (code, err) == (0, "")
    assert told == {
        "version": version(),
        "scenario": "calm",
        "first_seed": 5,
        "seeds": 2,
        "failed": {},
        "calls": sum(len(each.record.calls) for each in found),
        "events": sum(each.events for each in found),
        "simulated_s": round(sum(each.simulated_s for each in found), 1),
    }
    assert all(value >= 0.0 for value in seconds.values())
    assert seconds["seconds_per_seed"] <= seconds["seconds_per_seed_max"]


@pytest.mark.nightly
def test_a_trace_has_every_event_and_the_digest(capfd):
    code, out, err = simulate(capfd, "--seed", 1, "--scenario", "calm", "--trace")
    found = run(1, "calm", keep_trace=True)
    assert code == 0
    assert out.splitlines() == [str(line) for line in found.trace.lines]
    assert len(out.splitlines()) == found.events
    assert err == f"seed 1, calm, version {version()}: {found.plan}; digest {found.digest}\n"


# -- what it refuses


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scenario", "nonsense"], "'nonsense' is not one of 'swarm', "),
        (["--seeds", "0"], "0 is not in the range 1<=x<=10000000"),
        (["--seed", "-1"], "-1 is not in the range x>=0"),
        (["--jobs", "0"], "0 is not in the range 1<=x<=256"),
        (["--seed", "x"], "'x' is not a valid integer range"),
        (["--seeds", "2", "--trace"], "--trace shows one seed: leave out --seeds"),
        (["--json", "--trace"], "--trace prints lines: leave out --json"),
        (["5"], "Got unexpected extra argument"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(capfd, arguments, complaint):
    code, out, err = simulate(capfd, *arguments)
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.startswith("braidmq: ")
    assert err.count("\n") == 1


def test_a_machine_with_more_processors_than_jobs_may_be_is_no_misuse():
    code = "import os; os.cpu_count = lambda: 1_000; from braidmq import cli; raise SystemExit(cli.run({!r}))"
    arguments = ["simulate", "--seed", "1", "--scenario", "calm"]
    child = subprocess.run(
        [sys.executable, "-c", code.format(arguments)], capture_output=True, text=True, check=False, env=environment()
    )
    assert (child.returncode, child.stderr) == (0, "")


# -- what it finds


@pytest.mark.nightly
def test_a_failing_seed_is_told_with_what_led_to_it(capfd, broken):
    code, out, err = simulate(capfd, "--seed", broken, *FAILING)
    lines = err.splitlines()
    again = f"braidmq simulate --seed {broken} --scenario brokers-die --trace"
    found = run(broken, "brokers-die", keep_trace=True)
    assert code == 1
    assert ": 1 failed\n" in out
    assert lines[0] == f"seed {broken} of version {version()} failed; `{again}` shows all of it"
    assert lines[1].startswith("  I3: ")
    trace = [str(line) for line in found.trace.around(found.violations[0].at, found.violations[0].id)]
    assert [line[2:] for line in lines[-len(trace) - 1 :]] == [str(found.plan), *trace]
    assert 1 < len(trace) <= 60
    assert any("REQUEST" in line for line in trace)
    assert any("** kill b" in line or "** vanish b" in line or "** stop b" in line for line in trace)


@pytest.mark.nightly
def test_failures_are_in_the_json(capfd, broken):
    code, out, _ = simulate(capfd, "--seed", broken, *FAILING, "--json")
    ((seed, violations),) = json.loads(out)["failed"].items()
    assert (code, seed) == (1, str(broken))
    assert violations[0].startswith("I3: ")


@pytest.mark.nightly
def test_the_trace_of_a_failing_seed_ends_with_what_is_wrong(capfd, broken):
    code, out, err = simulate(capfd, "--seed", broken, "--scenario", "brokers-die", "--trace")
    assert code == 1
    assert out
    assert err.startswith(f"seed {broken}: I3: ")


def test_only_the_first_failures_are_told_with_their_traces(capfd, patch_cores):
    def fall(*_args, **_options):
        raise ZeroDivisionError("broken")

    patch_cores.setattr(client.ClientCore, "request", fall)
    code, out, err = simulate(capfd, "--seed", 1, "--seeds", 5, "--jobs", 1)
    assert code == 1
    assert ": 5 failed\n" in out
    assert [f"seed {seed} of " in err for seed in range(1, 6)] == [True] * 5
    assert err.count("--trace` shows all of it") == 5
    assert err.count("faults: ") == 3
    assert "I8: a process ended: ZeroDivisionError in fall (test_simulate.py:" in err


# -- Ctrl-C


@pytest.fixture
def heed_interrupts():
    """A shell lets its background jobs ignore SIGINT, and processes inherit that: tests send SIGINT on purpose."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def first_line(pipe):
    """Return the first line that a child writes; unbuffered, as it is written."""
    line, give_up_at = b"", time.monotonic() + 2 * WAIT_S_MAX  # interpreters are started for it, one after the other
    while not line.endswith(b"\n"):
        assert select.select([pipe], [], [], max(0.0, give_up_at - time.monotonic()))[0], "nothing was told"
        line += os.read(pipe.fileno(), 1)
    return line.decode()


HURRIED = (
    "import sys; from braidmq import cli; from braidmq.cli import simulate; from braidmq.lab.simulation import batch; "
    "simulate.PROGRESS_S = 0.0; batch.PORTION_MAX = 1; sys.exit(cli.run(sys.argv[1:]))"
)
"""Tells how far it is after each seed, so that a test knows that it is under way."""


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_it_at_once_without_a_traceback(heed_interrupts, jobs):
    arguments = ["simulate", "--seed", "0", "--seeds", "100000", "--scenario", "calm", "--jobs", str(jobs)]
    child = subprocess.Popen(
        [sys.executable, "-c", HURRIED, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), start_new_session=True,
    )  # fmt: skip
    try:
        assert "of 100000 seeds, 0 failed" in first_line(child.stderr)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all of its processes
        out, err = child.communicate(timeout=WAIT_S_MAX)  # until all of them have closed the pipes
    finally:
        child.kill()
        child.wait()
    told = [line for line in err.decode().splitlines() if line.strip() and " seeds, 0 failed" not in line]
    assert (child.returncode, out, told) == (130, b"", [])


def test_it_is_a_command_of_braidmq():
    child = subprocess.run(
        [*BRAIDMQ, "simulate", "--seed", "1", "--scenario", "calm"],
        capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout.startswith("1 seed, 1: ")
