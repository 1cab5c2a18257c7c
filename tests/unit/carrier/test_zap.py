"""Handshakes are judged from memory; what goes wrong there refuses, and cannot flood the log."""

import pytest
import zmq
from braidmq.carrier.sockets import ZAP_DOMAIN, new_context
from braidmq.carrier.zap import TELL_S, ZapHandler

from braidmq.carrier import zap


class Broken:
    def member(self, _principal):
        raise RuntimeError("it is broken")


@pytest.fixture
def asks(monkeypatch):
    """Return a function that asks a handler whose directory is broken some times at a time, and returns its status."""
    now = [1_000.0]
    monkeypatch.setattr(zap, "monotonic", lambda: now[0])
    context = new_context()
    handler = ZapHandler(context, Broken())
    asking = context.socket(zmq.DEALER)
    asking.connect("inproc://zeromq.zap.01")

    def ask(count, at):
        now[0] = at
        found = set()
        for _ in range(count):
            asking.send_multipart([b"", b"1.0", b"1", ZAP_DOMAIN, b"127.0.0.1", b"", b"CURVE", bytes(32)])
            while not asking.poll(1):
                handler.answer()
            found.add(asking.recv_multipart()[3])
        return found

    yield ask
    asking.close(0)
    handler.close()
    context.term()


def test_handshakes_that_cannot_be_judged_are_refused_and_told_of_once_in_a_while(asks, caplog):
    assert asks(500, 1_000.0) == {b"500"}
    assert len(caplog.records) == 1
    asks(1, 1_000.0 + TELL_S)
    first, second = caplog.records
    assert ": 1 since" in first.getMessage()
    assert ": 500 since" in second.getMessage()
    assert second.exc_info
