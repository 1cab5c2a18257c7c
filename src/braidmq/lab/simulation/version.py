"""Which code a seed was run with: a seed stands for the same run only as long as the code is the same."""

import hashlib
from pathlib import Path

import braidmq
from braidmq import __version__


def version() -> str:
    """Return the version of BraidMQ with a digest of its sources, as `0.1.0+1a2b3c4d`."""
    root = Path(braidmq.__file__).parent
    found = hashlib.blake2b(digest_size=4)
    for path in sorted(root.rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode())
        found.update(path.read_bytes())
    return f"{__version__}+{found.hexdigest()}"
