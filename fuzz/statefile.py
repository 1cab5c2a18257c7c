"""What bytes make of state files: what is taken can be written, and is the same then; all else raises ConfigError."""

import tempfile
from pathlib import Path

from braidmq.errors import ConfigError
from braidmq.trust import statefile
from braidmq.wire.limits import BROKERS_MAX
from fuzz.private import PrivateFile
from tests.support.tokens import BROKER

BYTES_MAX = 2_000

_file = PrivateFile()


def one(data: bytes) -> bool:
    """Read some bytes as a file.

    Returns:
        Whether they were one.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    _file.put(data)
    try:
        found = statefile.load(_file.path)
    except ConfigError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 500, "repeats what somebody has said at length"
        return False
    assert len(found) <= BROKERS_MAX
    return True


def _seeds() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        statefile.save(path, (BROKER.blob, b"x"))
        saved = path.read_bytes()
    return (saved, b"", b'{"braidmq_state_file":1,"brokers":[]}', b'{"braidmq_state_file":2,"brokers":[]}')


SEEDS = _seeds()
"""Files to begin with."""
