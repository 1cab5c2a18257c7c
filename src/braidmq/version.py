"""How this installation was built: see docs/decisions/0015."""

from importlib.util import find_spec
from typing import Literal


def cores() -> Literal["compiled", "interpreted"]:
    """Return whether the cores are machine code or Python."""
    spec = find_spec("braidmq.core.client.client")
    assert spec is not None
    assert spec.origin is not None
    return "interpreted" if spec.origin.endswith(".py") else "compiled"
