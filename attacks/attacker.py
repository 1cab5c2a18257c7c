"""A hostile process: `python -m attacks.attacker PLAN`. It attacks once it is told so, for its time, and then ends.

It says a line when it is ready, and one that counts what it did when it is done. It runs at a low priority: attackers
have machines of their own, and here they would take the processors from those that they attack.
"""

import importlib
import os
import resource
import sys
import traceback
from typing import Final

import msgspec

from attacks.arms import Arms, Plan

NICENESS: Final = 10

FAILED: Final = "failed"
"""What it counts if it could not go on: then it was no attack."""


def main(text: str) -> None:
    """Attack."""
    plan = msgspec.json.decode(text, type=Plan)
    os.nice(NICENESS)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    module, _, name = plan.act.partition(":")
    act = getattr(importlib.import_module(module), name)
    print("ready", flush=True)
    sys.stdin.readline()
    arms = Arms(plan)
    try:
        act(arms)
    except Exception:  # noqa: BLE001 - whatever it is, it is told
        traceback.print_exc()
        arms.sent[FAILED] += 1
    print(msgspec.json.encode(dict(arms.sent)).decode(), flush=True)
    os._exit(0)  # connections that are full would keep it


if __name__ == "__main__":
    main(sys.argv[1])
