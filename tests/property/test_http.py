"""Whatever a caller of the HTTP gateway sends: no exception, whole answers, nothing held once it has gone."""

from hypothesis import example, given
from hypothesis import strategies as st

from braidmq import AttemptsExhausted, NoWorker, ServiceError
from braidmq.bridges.http.core import problems
from braidmq.bridges.http.core.limits import HEAD_BYTES_MAX, PIPELINED_MAX
from tests.support.http_peer import Peer, post, reply

STATUSES = {
    200,
    *(kind.status for kind in vars(problems).values() if isinstance(kind, problems.Problem)),
}

TOKENS = st.sampled_from(
    [
        b"POST /services/pricing HTTP/1.1\r\n",
        b"POST /services/%2e%2e/x HTTP/1.1\r\n",
        b"GET /readyz HTTP/1.1\r\n",
        b"HEAD /openapi.json HTTP/1.0\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"Host: localhost\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 2000\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"Authorization: Bearer x\r\n",
        b'Idempotency-Key: "k"\r\n',
        b"Braid-Timeout: 1e400\r\n",
        b"Braid-Header-X: \xff\r\n",
        b"\r\n",
        b"hello",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        post(),
        post(close=True),
        post(fields=['Idempotency-Key: "k"']),
    ]
)

STEPS = st.one_of(
    st.tuples(st.just("send"), st.lists(TOKENS, max_size=8).map(b"".join)),
    st.tuples(st.just("send"), st.binary(max_size=64)),
    st.tuples(st.just("crumble"), st.lists(TOKENS, max_size=4).map(b"".join)),
    st.tuples(st.just("wait"), st.floats(0.0, 20.0)),
    st.tuples(
        st.just("end"),
        st.sampled_from(
            [
                reply(),
                reply(bytes(70_000)),
                NoWorker("none", service="pricing"),
                AttemptsExhausted("lost", service="pricing", maybe_executed=True),
                ServiceError("UNAVAILABLE", details={1: b"x"}),
                RuntimeError("a bug"),
            ]
        ),
    ),
    st.tuples(st.just("read"), st.booleans()),
    st.tuples(st.just("drain"), st.none()),
)


@given(st.lists(STEPS, max_size=30))
@example([("send", post(b"", length=9)), ("wait", 10.0), ("send", b"123456789"), ("wait", 10.0)])
@example([("read", False), ("send", post() + post()), ("end", reply(bytes(70_000))), ("wait", 10.0)])
def test_whatever_comes_is_answered_or_cut(steps):
    peer = Peer()
    running = 0
    for what, value in steps:
        if peer.transport.ended:
            break
        if what == "send":
            peer.send(value)
        elif what == "crumble":
            peer.send(*(bytes([byte]) for byte in value))
        elif what == "wait":
            peer.loop.advance(value)
        elif what == "end" and running < len(peer.calls):
            peer.calls[running].end(value)
            running += 1
            peer.loop.run()
        elif what == "read":
            peer.transport.takes = value
            if value and peer.transport.unread > 65_536:
                peer.transport.unread = 0
                peer.connection.resume_writing()
        elif what == "drain":
            peer.gateway.draining = True
            peer.connection.shut()
        assert len(peer.calls) - running <= 1, "a connection has one call under way"
        assert peer.waiting <= PIPELINED_MAX + 1
        assert len(peer.connection._body) <= 1_024
        assert len(peer.connection._fields) <= 101
        assert sum(len(name) + len(value) for name, value in peer.connection._fields) <= HEAD_BYTES_MAX + 4_096
        assert peer.gateway.held_bytes <= 1_024 * (PIPELINED_MAX + 3)
        peer.gateway.check()
    if b"HEAD " not in peer.heard:  # their answers have no bodies, and are not told apart
        for status, fields, _ in peer.answers():
            assert status in STATUSES
            assert fields["content-type"]
    peer.hang_up()
    peer.gateway.check()
    assert peer.gateway.under_way == peer.gateway.held_bytes == 0
    assert not [timer for timer in peer.loop.timers if not timer.cancelled]
