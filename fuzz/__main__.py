"""Runs atheris on the engine of ZMTP and on fragments: `python -m fuzz SECONDS [FOLDER]`.

The folder keeps what was found to be new.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["braidmq.zmtp", "braidmq.carrier.fragments", "braidmq.carrier.outbox"]):
    from fuzz import fragments, zmtp


def target(data: bytes) -> None:
    """Try some bytes."""
    zmtp.one(data)
    fragments.one(data)


def main() -> None:
    """Run until the time is over, or something is found."""
    seconds, folder = sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "build/fuzz/zmtp")
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(zmtp.SEEDS + fragments.SEEDS):
        (folder / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-max_len=600", "-print_final_stats=1", f"-artifact_prefix={folder}-"]
    atheris.Setup([sys.argv[0], *options, str(folder)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
