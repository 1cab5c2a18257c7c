"""What bytes make of a connection of the HTTP gateway: they come in pieces, calls end, time goes by."""

from braidmq import NoWorker, ServiceError
from braidmq.bridges.http.core import gateway
from braidmq.bridges.http.core.limits import PIPELINED_MAX
from tests.support.http_peer import Peer, post, reply

BYTES_MAX = 2_000

PURE = ((gateway, "description"),)
"""Each gateway describes itself when it is made."""

OUTCOMES = (reply(), NoWorker("none", service="pricing"), ServiceError("UNAVAILABLE", details={1: b"x"}), ValueError())

WAIT_S_MAX = 16.0


def one(data: bytes) -> int:
    """Let a caller send some bytes; the first one says how they are cut, the second one what comes of calls.

    Returns:
        How many answers there were.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    piece, how, sent = 1 + data[0] if data else 1, data[1] if len(data) > 1 else 0, data[2:]
    peer = Peer()
    ended = 0
    for at in range(0, len(sent), piece):
        if peer.transport.ended:
            break
        peer.send(sent[at : at + piece])
        assert len(peer.calls) - ended <= 1, "two calls at once"
        assert peer.waiting <= PIPELINED_MAX + 1, "too many wait"
        if how & 1 and len(peer.calls) > ended:
            peer.calls[ended].end(OUTCOMES[(how >> 1) % len(OUTCOMES)])
            ended += 1
            peer.loop.run()
        if how & 8:
            peer.loop.advance((how >> 4) / 16 * WAIT_S_MAX)
        peer.gateway.check()
    count = 0 if b"HEAD " in sent else len(peer.answers())
    peer.hang_up()
    peer.gateway.check()
    assert peer.gateway.under_way == peer.gateway.held_bytes == 0, "something is held for who has gone"
    assert all(timer.cancelled for timer in peer.loop.timers), "a timer of who has gone"
    return count


SEEDS = (
    b"\xff\x01" + post() + post(fields=['Idempotency-Key: "k"'], close=True),
    b"\x10\x03" + post(b"", length=40) + bytes(40),
    (
        b"\x05\x05POST /services/a%2Fb HTTP/1.1\r\nHost: localhost\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n14\r\n0\r\nX: y\r\n\r\n"
    ),
    b"\x07\x8fGET /readyz HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
)
"""Requests, whole and in pieces."""
