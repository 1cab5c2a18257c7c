"""What it is for a connection of ZMTP to be cut."""

import pytest

from braidmq.zmtp.violation import Violation
from tests.support.zmtp import (
    COMMAND,
    HandClient,
    framed,
    greeting,
)


def cut(line, data, reason, error=Violation):
    """Whether a line is cut for some bytes, and nothing is said to the peer any more."""
    with pytest.raises(error, match=reason):
        line.give(data)
    assert line.take() == b""
    return True


def cut_in_handshake(line, data, reason, error=Violation):
    """Whether a line is cut for some bytes, and hears nothing any more, whatever comes."""
    assert cut(line, data, reason, error)
    assert not line.engine.open
    for again in (data, greeting(), framed(HandClient().hello(), COMMAND)):
        line.unread = b""
        with pytest.raises(Violation, match="goes on after its end"):
            line.give(again)
    assert not line.engine.open
    assert line.take() == b""
    return True
