import json

import pytest

from braidmq import DeadlineExceeded
from braidmq.bridges.http import connection as module
from braidmq.bridges.http.core.callers import Callers
from braidmq.bridges.http.core.limits import ANSWER_S_MAX, HEAD_BYTES_MAX, IDLE_S_MAX, PIPELINED_MAX
from tests.support.http_peer import Peer, post, reply


def test_a_call_is_made_and_answered_and_the_connection_goes_on():
    peer = Peer()
    for number in range(3):
        peer.send(post(b"%d" % number))
        assert peer.busy
        peer.calls[number].end(reply(b"ok%d" % number))
        assert not peer.busy
    assert [body for _, _, body in peer.answers()] == [b"ok0", b"ok1", b"ok2"]
    assert [each.call.payload for each in peer.calls] == [b"0", b"1", b"2"]
    assert not peer.transport.ended
    peer.gateway.check()


def test_it_does_not_matter_how_the_bytes_come():
    peer = Peer()
    peer.send(*(bytes([byte]) for byte in post(b"14", fields=["Braid-Header-X: y"])))
    assert peer.calls[0].call.headers == {"x": "y"}
    assert peer.calls[0].call.payload == b"14"


def test_a_chunked_body_is_a_body():
    peer = Peer()
    peer.send(
        b"POST /services/pricing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\n1\r\n1;x=y\r\n4\r\n0\r\nBraid-Timeout: 1\r\n\r\n"
    )
    assert peer.calls[0].call.payload == b"14"
    assert peer.calls[0].call.timeout_s == 5.0


@pytest.mark.parametrize("fields", [b"gzip, chunked", b"gzip\r\nTransfer-Encoding: chunked", b"deflate,chunked"])
def test_a_body_that_would_have_to_be_unpacked_is_refused(fields):
    peer = Peer()
    peer.send(
        b"POST /services/pricing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: %b\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        % fields
    )
    assert not peer.calls
    assert [status for status, _, _ in peer.answers()] == [415]


def test_requests_ahead_of_their_answers_have_their_turn_in_order():
    peer = Peer()
    peer.send(post(b"a") + post(b"b") + b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n" + post(b"c", close=True))
    for number, payload in enumerate((b"a", b"b", b"c")):
        assert len(peer.calls) == number + 1
        assert peer.calls[number].call.payload == payload
        peer.calls[number].end(reply(payload))
        peer.loop.run()
    assert [body for _, _, body in peer.answers()] == [b"a", b"b", b"ok\n", b"c"]
    assert peer.transport.ended == "closed"


def test_what_comes_at_once_behind_the_last_request_has_no_answer_of_its_own():
    peer = Peer()
    peer.send(b"GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nmore\r\n\r\n")
    assert [status for status, _, _ in peer.answers()] == [404]
    assert peer.transport.ended == "closed"


def test_one_that_comes_between_two_turns_does_not_overtake():
    peer = Peer()
    peer.send(post(b"a") + post(b"b"))
    peer.calls[0].end(reply())
    peer.connection.data_received(post(b"c"))
    for number in (1, 2):
        peer.loop.run()
        peer.calls[number].end(reply())
    assert [each.call.payload for each in peer.calls] == [b"a", b"b", b"c"]


def test_too_many_requests_ahead_are_not_heard():
    peer = Peer()
    peer.send(post() * (PIPELINED_MAX + 20))
    for _ in range(PIPELINED_MAX + 1):
        peer.calls[-1].end(reply())
        peer.loop.run()
    assert len(peer.calls) == len(peer.answers()) == PIPELINED_MAX + 1
    assert peer.transport.half_closed
    assert peer.gateway.under_way == 0


def test_a_caller_that_hangs_up_cancels_its_call():
    peer = Peer()
    peer.send(post() + post())
    peer.hang_up()
    assert peer.calls[0].cancelled
    assert peer.hung_up == ["pricing"]
    assert peer.gateway.counters["hang-ups"] == 1
    assert peer.gone
    assert peer.gateway.under_way == peer.gateway.held_bytes == 0
    assert not [timer for timer in peer.loop.timers if not timer.cancelled]


def test_a_connection_lost_in_the_middle_of_a_body_holds_nothing():
    peer = Peer()
    peer.send(post(b"half", length=1_000))
    assert peer.gateway.held_bytes == 1_000
    peer.hang_up()
    assert peer.gateway.under_way == peer.gateway.held_bytes == 0
    assert not peer.hung_up


@pytest.mark.parametrize(
    ("sent", "status", "name"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "malformed"),
        (b"hello\r\n\r\n", 400, "malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", 400, "malformed"),
        (post().replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 3"), 400, "malformed"),
        (post().replace(b"Content-Length: 2", b"Content-Length: 2\r\nTransfer-Encoding: chunked"), 400, "malformed"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-request"),
        (b"GET /healthz HTTP/0.9\r\n\r\n", 505, "http-version"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed"),
        (b"CONNECT db:5432 HTTP/1.1\r\nHost: db\r\n\r\n", 404, "not-found"),
        (b"GET /" + b"x" * HEAD_BYTES_MAX + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431, "head-too-large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431, "head-too-large"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES_MAX, 431, "head-too-large"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 400, "bad-request"),
        (post(bytes(1_025)), 413, "payload-too-large"),
    ],
)
def test_bad_input_is_answered_with_a_problem(sent, status, name):
    peer = Peer()
    peer.send(sent)
    assert peer.problem() == (status, name)
    assert not peer.calls
    assert peer.refused == [name]
    assert peer.gateway.under_way == peer.gateway.held_bytes == 0


def test_trailers_are_bounded_too():
    peer = Peer()
    peer.send(b"POST /services/pricing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
    for _ in range(10):
        peer.send(b"x" * (HEAD_BYTES_MAX // 4))
    assert peer.problem() == (431, "head-too-large")


def test_a_refused_request_whose_body_is_there_does_not_cost_the_connection():
    peer = Peer()
    peer.send(post(fields=["Braid-Timeout: -1"]))
    peer.send(post())
    peer.calls[0].end(reply())
    assert [status for status, _, _ in peer.answers()] == [400, 200]
    assert not peer.transport.ended


def test_a_refused_request_is_answered_before_its_body_comes_and_ends_the_connection():
    peer = Peer()
    peer.send(post(b"", length=10**9))
    status, fields, _ = peer.answer()
    assert (status, fields["connection"]) == (413, "close")
    assert peer.transport.half_closed
    assert not peer.transport.ended  # else the system may throw the answer away with what still comes
    peer.send(bytes(100_000))
    assert len(peer.answers()) == 1
    peer.loop.advance(ANSWER_S_MAX)
    assert peer.transport.ended == "aborted"


def test_the_token_is_asked_for_before_the_body():
    peer = Peer(callers=Callers())
    peer.send(post(b"", length=1_000, fields=["Expect: 100-continue"]))
    assert peer.problem() == (401, "unauthenticated")
    assert not peer.transport.written.startswith(b"HTTP/1.1 100")


def test_who_asks_whether_to_go_on_is_told_to():
    peer = Peer()
    peer.send(post(b"", length=2, fields=["Expect: 100-Continue"]))
    assert peer.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.send(b"14")
    assert peer.calls[0].call.payload == b"14"


def test_who_asks_whether_to_go_on_is_told_to_when_what_came_before_is_answered():
    peer = Peer()
    peer.send(post(b"a") + post(b"b") + post(b"", length=2, fields=["Expect: 100-continue"]))
    for number in (0, 1):
        assert b"100 Continue" not in peer.transport.written
        peer.loop.advance(peer.request_s_max)
        peer.calls[number].end(reply())
        peer.loop.run()
    assert peer.transport.written.endswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    peer.loop.advance(peer.request_s_max / 2)
    peer.send(b"14")
    assert peer.calls[2].call.payload == b"14"
    assert peer.transport.written.count(b"100 Continue") == 1


def test_who_asks_between_two_turns_is_told_to_go_on_after_the_second():
    peer = Peer()
    peer.send(post(b"a") + post(b"b"))
    peer.calls[0].end(reply())
    peer.connection.data_received(post(b"", length=2, fields=["Expect: 100-continue"]))
    assert b"100 Continue" not in peer.transport.written
    peer.loop.run()
    peer.calls[1].end(reply())
    peer.loop.run()
    assert peer.transport.written.endswith(b"HTTP/1.1 100 Continue\r\n\r\n")


def test_who_is_told_to_go_on_and_does_not_is_answered_in_time():
    peer = Peer()
    peer.send(post(b"a") + post(b"", length=2, fields=["Expect: 100-continue"]))
    peer.loop.advance(2 * peer.request_s_max)
    peer.calls[0].end(reply())
    peer.loop.run()
    peer.transport.written = peer.transport.written.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert len(peer.answers()) == 1
    peer.loop.advance(peer.request_s_max)
    assert [status for status, _, _ in peer.answers()] == [200, 408]


def test_an_old_caller_is_never_told_to_go_on():
    peer = Peer()
    peer.send(b"POST /services/pricing HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert not peer.transport.written
    peer.send(b"14")
    assert peer.calls[0].call.payload == b"14"


def test_who_does_not_wait_to_be_told_to_go_on_has_no_more_time():
    peer = Peer()
    peer.send(post(b"a") + post(b"", length=2, fields=["Expect: 100-continue"]))
    peer.loop.advance(peer.request_s_max)
    peer.send(b"1")
    peer.loop.advance(peer.request_s_max)
    peer.calls[0].end(reply())
    peer.loop.run()
    assert [status for status, _, _ in peer.answers()] == [200, 408]


def test_an_old_caller_gets_its_answer_and_the_end():
    peer = Peer()
    peer.send(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert peer.answer()[1]["connection"] == "close"
    assert peer.transport.ended == "closed"


def test_a_head_is_answered_without_its_body():
    peer = Peer()
    peer.send(b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert peer.transport.written.endswith(b"\r\n\r\n")
    assert b"content-length: 3\r\n" in peer.transport.written


def test_an_upgrade_is_not_followed():
    peer = Peer()
    peer.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello")
    assert peer.answer()[0] == 200
    assert peer.transport.half_closed
    peer.send(post())
    assert not peer.calls


def test_half_a_head_is_given_up():
    peer = Peer()
    peer.send(b"POST /services/pricing HTTP/1.1\r\nHo")
    peer.loop.advance(peer.request_s_max - 0.1)
    assert not peer.transport.written
    peer.send(b"st: loc")
    peer.loop.advance(0.1)
    assert peer.problem() == (408, "request-timeout")
    peer.loop.advance(ANSWER_S_MAX)
    assert peer.transport.ended == "aborted"


def test_half_a_body_is_given_up_however_slowly_it_comes():
    peer = Peer()
    peer.send(post(b"", length=100))
    for _ in range(10):
        peer.loop.advance(1.0)
        peer.send(b"x")
    peer.loop.advance(0.1)
    assert peer.problem() == (408, "request-timeout")
    assert not peer.calls
    assert peer.gateway.under_way == 0


def test_who_says_nothing_is_cut():
    peer = Peer()
    peer.loop.advance(peer.request_s_max)
    assert peer.transport.ended == "closed"
    assert not peer.transport.written


def test_a_connection_without_requests_ends():
    peer = Peer()
    peer.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    peer.loop.advance(IDLE_S_MAX - 0.1)
    assert not peer.transport.ended
    peer.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    peer.loop.advance(IDLE_S_MAX - 0.1)
    assert not peer.transport.ended
    peer.loop.advance(0.2)
    assert peer.transport.ended == "closed"


def test_a_call_has_the_time_that_it_has():
    peer = Peer()
    peer.send(post())
    peer.loop.advance(1_000.0)
    peer.calls[0].end(reply())
    assert peer.answer()[0] == 200


def test_an_answer_that_nobody_reads_is_given_up_and_counts_until_then():
    peer = Peer()
    peer.transport.takes = False
    peer.send(post())
    peer.calls[0].end(reply(bytes(500_000)))
    assert peer.unread > 500_000
    assert peer.gateway.under_way == 1
    peer.transport.unread -= 100_000  # it takes some
    peer.loop.advance(ANSWER_S_MAX)
    assert not peer.transport.ended
    peer.transport.unread -= 1
    peer.loop.advance(ANSWER_S_MAX)
    assert peer.transport.ended == "aborted"
    peer.hang_up()
    assert peer.gateway.under_way == 0


def test_an_answer_that_is_read_slowly_counts_until_it_has_left():
    peer = Peer()
    peer.transport.takes = False
    peer.send(post())
    peer.calls[0].end(reply(bytes(500_000)))
    peer.transport.unread = 0
    peer.connection.resume_writing()
    assert peer.gateway.under_way == peer.unread == 0
    peer.loop.advance(ANSWER_S_MAX)
    assert not peer.transport.ended


def test_one_connection_too_many_is_told_so():
    peer = Peer(room=False)
    assert peer.problem() == (503, "too-many-connections")
    assert peer.answer()[1]["retry-after"] == "1"
    peer.send(post())
    assert not peer.calls


def test_what_nobody_meant_is_a_problem_and_told_to_the_log():
    peer = Peer()
    peer.send(post())
    error = RuntimeError("secret")
    peer.calls[0].end(error)
    assert peer.problem() == (500, "internal")
    assert peer.failed == [error]
    assert b"secret" not in peer.transport.written


def test_the_end_of_a_call_is_told():
    peer = Peer()
    peer.send(post())
    peer.calls[0].end(DeadlineExceeded("late", service="pricing", attempts=1, maybe_executed=True))
    assert peer.problem() == (504, "deadline-exceeded")
    assert json.loads(peer.answer()[2])["maybe_executed"] is True


def test_while_it_drains_each_answer_is_the_last():
    peer = Peer()
    peer.send(post())
    peer.gateway.draining = True
    peer.connection.shut()
    assert not peer.transport.ended
    peer.calls[0].end(reply())
    assert peer.answer()[1]["connection"] == "close"
    assert peer.transport.ended == "closed"


def test_an_idle_connection_ends_when_it_drains():
    peer = Peer()
    peer.connection.shut()
    assert peer.transport.ended == "closed"


def test_the_certificate_tells_names():
    names = (("DNS", "a.example"), ("IP Address", "1.2.3.4"), ("URI", "spiffe://x/y"), ("email", "a@b"))
    assert module.certificate_names({"subjectAltName": names}) == ("a.example", "spiffe://x/y")
    assert module.certificate_names({}) == module.certificate_names(None) == ()
