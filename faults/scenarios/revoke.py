"""A key is revoked while its owner goes on talking: also with a broker that does not hear of it at first."""

import shutil
import subprocess
from pathlib import Path
from time import monotonic, sleep

import msgspec

from braidmq.lab.processes.child import BRAIDMQ
from braidmq.lab.processes.waiting import wait_until
from faults.loaded import MODULE
from faults.net import LISTENER, TALKER
from faults.scenario import FLAWLESS, Run, Scenario
from faults.talker import SERVICE, Said
from faults.wire import Rule

QUIET_S = 3.0
"""How long it is looked afterwards whether the member is heard again."""


def ask(run: Run) -> Said:
    """Return what has become of the member."""
    child = run.net.children[TALKER]
    child.tell("")
    return msgspec.json.decode(child.hear(), type=Said)


def authority(run: Run) -> Path:
    """Return a copy of the authority's directory, where no broker's file lies."""
    net = run.net
    away = net.live.directory.with_name("authority")
    if not away.exists():
        files = (f"{name}.braid" for name in net.brokers)
        shutil.copytree(net.live.directory, away, ignore=shutil.ignore_patterns(*files))
    return away


def operate(run: Run, *command: str) -> None:
    """Change the registry there, as an operator does."""
    done = subprocess.run(
        [*BRAIDMQ, *command, "--net", str(authority(run))], capture_output=True, text=True, timeout=60.0, check=False
    )
    assert done.returncode == 0, done.stderr


def begin(run: Run) -> None:
    """Let the member talk to every broker; after a run, in which its key was revoked, with another key."""
    net, join = run.net, authority(run) / f"{TALKER}.braid"
    if TALKER in net.children:
        join.unlink(missing_ok=True)
        operate(run, "add", "node", TALKER, "--call", SERVICE)
    net.launch(TALKER, [*MODULE, "faults.talker", join, net.live.join(LISTENER)], talks=True)
    wait_until(lambda: len(ask(run).brokers) == len(net.brokers), "the member is connected to all", poll_s=0.1)
    wait_until(lambda: ask(run).accepted_at > 0.0, "the member is heard", poll_s=0.1)


def revoke(run: Run) -> float:
    """Revoke its key; return when that is done."""
    operate(run, "revoke", TALKER)
    return monotonic()


def measure(run: Run, since: float) -> None:
    """Wait until it is cut off, and note when it was heard last."""
    wait_until(lambda: not ask(run).brokers, "the member is cut off", timeout=20.0, poll_s=0.02)
    run.figures["cut_after_s"] = monotonic() - since
    sleep(QUIET_S)
    said = ask(run)
    assert not said.brokers, f"{TALKER} is connected to {said.brokers} again"
    run.figures["accepted_after_s"] = max(0.0, said.accepted_at - since)
    run.net.children[TALKER].end()


def act(run: Run) -> None:
    """Revoke the key of a member that talks."""
    begin(run)
    run.begin()
    run.shows = revoke(run)
    measure(run, run.shows)
    run.heal()


def act_apart(run: Run) -> None:
    """The same while a broker is partitioned off, which hears of it when it is back."""
    net, wire = run.net, run.net.wire
    assert wire is not None
    begin(run)
    victim = net.next_broker()
    run.began = net.hurt(victim, "partition")
    wire.rule(Rule(target=victim, loss=1.0), Rule(source=victim, loss=1.0))
    revoke(run)
    run.last(run.length_s)
    wire.rule()
    net.heal(victim)
    run.heal()
    measure(run, run.healed)


SCENARIOS = (
    Scenario(
        "revoke",
        "a key is revoked",
        "last message accepted <= 1 s after `revoke` has returned; connection cut <= 2 s",
        act,
        most={**FLAWLESS, "flagged": 0, "accepted_after_s": 1.0, "cut_after_s": 2.0},
        runs=5,
    ),
    Scenario(
        "revoke-apart",
        "a key is revoked while a broker is partitioned off",
        "the same <= 2 s after it is back",
        act_apart,
        most={**FLAWLESS, "accepted_after_s": 2.0, "cut_after_s": 2.0},
        length_s=8.0,
        quick_s=4.0,
        runs=5,
        wired=True,
    ),
)
