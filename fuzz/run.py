"""One target under atheris, which ends the process: `python -m fuzz.run TARGET SECONDS RUNS FOLDER`."""

import gc
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zlib import crc32

import atheris

from fuzz import sodium
from fuzz.sodium import Signatures, remember
from fuzz.trace import Trace

EXACT: Final = 64
"""Of so many executions one makes signatures by Ed25519: the same ones each time, as their bytes say."""

GARBAGE: Final = 50_000
"""Objects after which the collector looks for cycles: errors and loops of events leave some."""


class Execution:
    """What atheris calls, one time for each input.

    Args:
        one: the target.
        signatures: how it signs.
    """

    def __init__(self, one: Callable[[bytes], object], signatures: Signatures) -> None:
        self._one = one
        self._signatures = signatures
        self._trace: Trace | None = None

    def __call__(self, data: bytes) -> None:
        """Execute the target with an input."""
        trace = self._trace
        if trace is None:
            trace = self._trace = Trace()
        self._signatures.exact = not crc32(data) % EXACT
        trace.begin()
        self._one(data)
        trace.end()


def main() -> None:
    """Run until the time or the runs are over, or something is found."""
    name, seconds, runs, folder = sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])
    signatures = sodium.replace()
    with atheris.instrument_imports(include=["braidmq"]):
        target = importlib.import_module(f"fuzz.{name}")
    for module, function in getattr(target, "PURE", ()):
        remember(module, function)
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.SEEDS):
        (folder / f"seed-{number}").write_bytes(seed)
    options = [
        *(f"-max_total_time={seconds}", f"-runs={runs}", f"-max_len={target.BYTES_MAX}"),
        *("-print_final_stats=1", f"-artifact_prefix={folder}-"),
    ]
    gc.freeze()
    gc.set_threshold(GARBAGE)
    atheris.Setup([sys.argv[0], *options, str(folder)], Execution(target.one, signatures))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
