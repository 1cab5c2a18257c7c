"""The names of reasons, for observers."""

from braidmq.wire.envelope import Reason


def name_of(reason: int) -> str:
    """Return the name of a reason; its number, if it is of a newer version."""
    try:
        return Reason(reason).name
    except ValueError:
        return str(reason)
