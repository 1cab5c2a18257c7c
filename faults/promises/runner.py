"""Tries a promise as often as it is asked for, each time in a net of its own."""

import random
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from faults.promises.net import PromiseNet
from faults.promises.promise import Promise, Row
from faults.promises.stage import Stage


def try_promise(promise: Promise, runs: int, seed: int, say: Callable[[str], None]) -> Row:
    """Try a promise, and return what has become of it.

    Args:
        promise: what is tried.
        runs: how often.
        seed: decides what a run draws.
        say: takes a line on each run.
    """
    row, began = Row(promise), monotonic()
    for number in range(runs):
        rng = random.Random(f"{seed}/{promise.name}/{number}")
        seen = len(row.evidence.notes)
        try:
            with (
                tempfile.TemporaryDirectory(prefix="promises-") as directory,
                PromiseNet(Path(directory)) as net,
            ):
                promise.run(Stage(net, rng, row.evidence, number))
        except (AssertionError, subprocess.TimeoutExpired) as error:  # what the harness itself waits for in vain
            row.why = f"run {number + 1}: {str(error).strip() or 'what should hold did not'}"
            break
        row.runs += 1
        figures = "; ".join(bound.shown(row.evidence) for bound in promise.bounds)
        say(f"  {number + 1} of {runs}: {figures}")
        for note in row.evidence.notes[seen:]:
            say(f"    {note}")
    row.took_s = monotonic() - began
    return row
