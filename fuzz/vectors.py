"""The golden vectors of the wire, to begin with."""

import json
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "tests" / "vectors"


def vectors(*names: str) -> tuple[bytes, ...]:
    """Return the bytes of all vectors in some files, without those that are too long to be changed much."""
    found = [
        bytes.fromhex(entry["hex"].replace(" ", ""))
        for name in names
        for entry in json.loads((_FOLDER / f"{name}.json").read_text())
    ]
    return tuple(each for each in found if len(each) <= 1_000)
