"""A worker of a benchmark, as a process: ``python -m braidmq.lab.bench.worker MEMBER``. It says when it is ready."""

import importlib
import sys
from typing import cast

import msgspec

from braidmq.lab.bench.ends.caller import Ends, run
from braidmq.lab.bench.orders import Member


def say_ready() -> None:
    """Write a line to stdout."""
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    member = msgspec.json.decode(sys.argv[1], type=Member)
    run(cast("Ends", importlib.import_module(member.ends)).serve(member.address, say_ready))
