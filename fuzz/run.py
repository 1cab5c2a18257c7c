"""One target under atheris, which ends the process: `python -m fuzz.run TARGET SECONDS RUNS FOLDER`."""

import importlib
import sys
from pathlib import Path

import atheris


def main() -> None:
    """Run until the time or the runs are over, or something is found."""
    name, seconds, runs, folder = sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])
    with atheris.instrument_imports(include=["braidmq"]):
        target = importlib.import_module(f"fuzz.{name}")
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.SEEDS):
        (folder / f"seed-{number}").write_bytes(seed)
    options = [
        *(f"-max_total_time={seconds}", f"-runs={runs}", f"-max_len={target.BYTES_MAX}"),
        *("-print_final_stats=1", f"-artifact_prefix={folder}-"),
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
