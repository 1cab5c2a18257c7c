"""One connection of HTTP/1.1: bytes to requests, answers to bytes, each within its time. llhttp reads, by httptools."""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

import httptools

from braidmq.bridges.http.core import problems
from braidmq.bridges.http.core.gateway import Call, Exchange, Gateway
from braidmq.bridges.http.core.limits import (
    ANSWER_BYTES_MIN,
    ANSWER_S_MAX,
    FIELDS_MAX,
    HEAD_BYTES_MAX,
    IDLE_S_MAX,
    PIPELINED_MAX,
)
from braidmq.bridges.http.core.messages import Answer, Head
from braidmq.bridges.http.core.problems import Refused
from braidmq.messages import Reply

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Serving(Protocol):
    """What a connection is served by."""

    gateway: Gateway
    request_s_max: float

    def date(self) -> bytes:
        """Return the header field Date, with the end of its line."""

    async def make(self, call: Call) -> Reply:
        """Make a call. Raises what a node's `request` raises."""

    def on_connected(self, connection: "Connection") -> bool:
        """Take in a new connection; return whether there is a place for it."""

    def on_busy(self, connection: "Connection", *, busy: bool) -> None:
        """Note whether a connection has a call under way."""

    def on_blocked(self, connection: "Connection", unread_bytes: int) -> None:
        """Note how many bytes of answers the caller does not take; 0 once it goes on."""

    def on_gone(self, connection: "Connection") -> None:
        """Note that a connection has ended."""

    def on_hang_up(self, exchange: Exchange) -> None:
        """Note that a caller has hung up before its answer."""

    def on_refused(self, refused: Refused, address: str) -> None:
        """Note that a request was refused."""

    def on_failed(self, error: BaseException, service: str) -> None:
        """Note that a call has ended with an error that is not its caller's."""


class _Turn:
    """One request in the order of its connection, and its answer if it is known."""

    __slots__ = ("answer", "exchange", "keeps", "names_only", "payload")

    def __init__(self, exchange: Exchange | None, *, keeps: bool, names_only: bool) -> None:
        self.exchange = exchange
        self.keeps = keeps
        self.names_only = names_only
        self.payload = b""
        self.answer: Answer | None = None


class Connection(asyncio.Protocol):
    """One connection: whatever comes in is answered with a problem or cut, and holds no more than the limits say."""

    def __init__(self, serving: Serving, loop: asyncio.AbstractEventLoop) -> None:
        self._serving = serving
        self._gateway = serving.gateway
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._address = ""
        self._names: tuple[str, ...] = ()
        # the message that comes in
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._in_head = False
        self._expects = False
        self._loose_bytes = 0
        self._incoming: _Turn | None = None
        self._body = bytearray()
        # the requests that are complete, and the one whose turn it is
        self._turns: deque[_Turn] = deque()
        self._current: _Turn | None = None
        self._task: asyncio.Task[None] | None = None
        self._unread: list[Exchange] = []
        # times
        self._timer: asyncio.TimerHandle | None = None
        self._message_since: float | None = None
        self._idle_since = 0.0
        self._blocked_since: float | None = None
        self._blocked_bytes = 0
        self._ends_at: float | None = None
        self._deaf = False

    @property
    def address(self) -> str:
        """Where it comes from."""
        return self._address

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take in a new connection."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "a Unix socket"
        self._names = certificate_names(transport.get_extra_info("peercert"))
        now = self._loop.time()
        self._message_since = now  # whoever connects has something to say
        if not self._serving.on_connected(self):
            self._refuse(Refused(problems.TOO_MANY_CONNECTIONS, "come again", retry=True, closes=True))
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read."""
        if self._deaf:
            return
        self._loose_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._stop_listening()
        except httptools.HttpParserError:
            if self._ends_at is None:  # else it is what comes behind a request that was the last one
                self._refuse(Refused(problems.MALFORMED, "it was not understood", closes=True))
        else:
            incoming = self._incoming
            if self._loose_bytes > HEAD_BYTES_MAX:
                self._refuse(_too_large())
            elif incoming is not None and incoming.answer is not None:
                self._answer_early(incoming)
        if not self._deaf and self._current is None and self._message_since is None:
            self._idle_since = self._loop.time()
        self._watch()

    def eof_received(self) -> None:
        """End: who sends nothing more has hung up."""

    def pause_writing(self) -> None:
        """Note that the caller takes less than it is sent."""
        self._blocked_since = self._loop.time()
        self._blocked_bytes = self._transport.get_write_buffer_size()
        self._serving.on_blocked(self, self._blocked_bytes)
        self._watch()

    def resume_writing(self) -> None:
        """Note that the caller has taken most of what it was sent."""
        self._blocked_since = None
        if self._ends_at is not None:
            self._ends_at = self._loop.time() + ANSWER_S_MAX
        self._serving.on_blocked(self, 0)
        self._release_unread()

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel what is under way for a caller that has hung up."""
        self._deaf = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._serving.on_gone(self)
        current, self._current = self._current, None
        for turn in (current, *self._turns, self._incoming):
            if turn is not None and turn.exchange is not None:
                if turn is current:
                    self._gateway.on_hang_up(turn.exchange, self._loop.time())
                    self._serving.on_hang_up(turn.exchange)
                self._gateway.release(turn.exchange)
        self._turns.clear()
        self._incoming = None
        self._release_unread()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _release_unread(self) -> None:
        for exchange in self._unread:
            self._gateway.release(exchange)
        self._unread.clear()

    # -- httptools

    def on_message_begin(self) -> None:
        """Begin with a request."""
        if self._message_since is None:
            self._message_since = self._loop.time()
        self._target = b""
        self._fields = []
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """Take a piece of its target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of its head. Those behind a chunked body reach nobody."""
        if self._in_head and len(self._fields) <= FIELDS_MAX:
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Decide, by its head, whether its body may come."""
        self._in_head = False
        self._loose_bytes = 0
        if self._deaf:
            return
        parser = self._parser
        method = parser.get_method()
        keeps = parser.should_keep_alive() and parser.get_http_version() == "1.1"
        turn = self._incoming = _Turn(None, keeps=keeps, names_only=method == b"HEAD")
        try:
            self._check_head(parser.get_http_version())
            head = Head(method.decode("latin-1"), self._target, self._fields, self._address, self._names)
            turn.exchange = self._gateway.on_head(head)
            if self._expects:
                self._message_since = None  # it waits for its turn
                self._invite()
        except Refused as refused:
            turn.answer = self._refusal(refused)

    def _check_head(self, version: str) -> None:
        size = len(self._target)
        hosts = 0
        self._expects = False
        for name, value in self._fields:
            size += len(name) + len(value) + 4
            if name == b"host":
                hosts += 1
            elif name == b"expect":
                self._expects = value.lower() == b"100-continue" and version == "1.1"
        if len(self._fields) > FIELDS_MAX or size > HEAD_BYTES_MAX:
            raise _too_large()
        if version not in {"1.1", "1.0"}:
            raise Refused(problems.HTTP_VERSION, "use HTTP/1.1", closes=True)
        if hosts != 1 and version == "1.1":
            raise Refused(problems.BAD_REQUEST, "a request names one Host")

    def _invite(self) -> None:
        """Let the body come of a request that waits to be told so, once no other one is to be answered before it."""
        incoming = self._incoming
        if not self._expects or incoming is None or incoming.answer is not None or self._current or self._turns:
            return
        self._go_on()
        self._transport.write(_CONTINUE)

    def _go_on(self) -> None:
        """The body of a request comes that was to wait: its time begins."""
        self._expects = False
        self._message_since = self._loop.time()

    def on_body(self, body: bytes) -> None:
        """Take a piece of its body."""
        self._loose_bytes = 0
        if self._expects:  # it has not waited
            self._go_on()
        turn = self._incoming
        if turn is None or turn.answer is not None or turn.exchange is None:
            return
        self._body += body
        try:
            self._gateway.on_part(turn.exchange, len(self._body))
        except Refused as refused:
            turn.answer = self._refusal(refused)
            self._body.clear()

    def on_message_complete(self) -> None:
        """Let it have its turn."""
        self._message_since = None
        self._loose_bytes = 0
        turn, self._incoming = self._incoming, None
        if turn is None or self._deaf:
            return
        turn.payload = bytes(self._body)
        self._body.clear()
        if len(self._turns) >= PIPELINED_MAX:
            self._stop_listening()
            self._drop(turn)
        elif self._current is None and not self._turns:
            self._begin(turn)
        else:
            self._turns.append(turn)

    # -- turns

    def _begin(self, turn: _Turn) -> None:
        """Answer a request, or begin its call."""
        self._current = turn
        if turn.answer is None:
            assert turn.exchange is not None
            try:
                outcome = self._gateway.on_body(turn.exchange, turn.payload, self._loop.time())
            except Refused as refused:
                turn.answer = self._refusal(refused)
            else:
                turn.payload = b""
                if isinstance(outcome, Call):
                    self._serving.on_busy(self, busy=True)
                    self._task = self._loop.create_task(self._call(turn, turn.exchange, outcome))
                    return
                turn.answer = outcome
        self._finish(turn, turn.answer)

    async def _call(self, turn: _Turn, exchange: Exchange, call: Call) -> None:
        """Make a call and answer with its end. It is cancelled where the caller hangs up."""
        outcome: Reply | Exception
        try:
            outcome = await self._serving.make(call)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to the caller, and to the log
            outcome = error
            self._serving.on_failed(error, call.service)
        if self._current is turn:
            self._task = None
            answer = self._gateway.on_end(exchange, outcome, self._loop.time())
            self._serving.on_busy(self, busy=False)
            self._finish(turn, answer)

    def _finish(self, turn: _Turn, answer: Answer) -> None:
        """Send an answer; go on with the next request, or end."""
        ends = answer.closes or not turn.keeps or self._gateway.draining or (self._deaf and not self._turns)
        self._send(answer, ends=ends, names_only=turn.names_only)
        self._current = None
        self._drop(turn)
        if ends:
            self._end()
        elif self._turns:
            self._loop.call_soon(self._next)
        else:
            self._invite()
            self._idle_since = self._loop.time()
            self._watch()

    def _next(self) -> None:
        if self._current is None and self._turns:
            self._begin(self._turns.popleft())

    def _drop(self, turn: _Turn) -> None:
        """Let go of a request, once what it was answered has left."""
        if turn.exchange is None:
            return
        if self._blocked_since is not None:
            self._unread.append(turn.exchange)
        else:
            self._gateway.release(turn.exchange)

    def _send(self, answer: Answer, *, ends: bool, names_only: bool) -> None:
        lines = [
            _STATUS_LINES[answer.status],
            self._serving.date(),
            b"content-type: %b\r\ncontent-length: %d\r\nx-content-type-options: nosniff\r\n"
            % (answer.content_type, len(answer.body)),
        ]
        lines.extend([b"%b: %b\r\n" % field for field in answer.fields])
        lines.append(b"connection: close\r\n\r\n" if ends else b"\r\n")
        if not names_only:
            lines.append(answer.body)
        self._gateway.on_answer(answer)
        self._transport.write(b"".join(lines))

    # -- what is refused

    def _refusal(self, refused: Refused) -> Answer:
        self._serving.on_refused(refused, self._address)
        return self._gateway.on_refused(refused)

    def _refuse(self, refused: Refused) -> None:
        """Answer to what is no request, as soon as those before it are answered, and end."""
        turn = self._incoming or _Turn(None, keeps=False, names_only=False)
        if turn.answer is None:
            turn.answer = self._refusal(refused)
        self._answer_early(turn)

    def _answer_early(self, turn: _Turn) -> None:
        """Answer a request before it is complete; nothing that comes after is heard."""
        turn.keeps = False
        self._incoming = None
        self._deaf = True
        self._message_since = None
        self._body.clear()
        if self._current is None and not self._turns:
            self._begin(turn)
        else:
            self._turns.append(turn)

    def _stop_listening(self) -> None:
        """Hear nothing more, and end when what has been heard is answered."""
        self._deaf = True
        self._message_since = None
        if self._current is None and not self._turns:
            self._end()

    # -- times

    def shut(self) -> None:
        """End now if nothing is under way; else the gateway, which drains, lets the next answer be the last."""
        if self._current is None and not self._turns and not self._in_head and self._incoming is None:
            self._transport.close()

    def cut(self) -> None:
        """End at once."""
        self._transport.abort()

    def _end(self) -> None:
        """End once the answer has left.

        Where more may come, it is read until the caller ends, too: the system would throw the answer away with it.
        """
        if self._ends_at is None:
            self._ends_at = self._loop.time() + ANSWER_S_MAX
            if self._deaf and self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._deaf = True
                self._transport.close()
        self._watch()

    def _watch(self) -> None:
        """See to it that the timer comes when something is due."""
        due = self._due()
        if due is None:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._on_timer)

    def _due(self) -> float | None:
        """Return when this connection has had the time that it has for what it does now; None while it is served."""
        if self._blocked_since is not None:
            return self._blocked_since + ANSWER_S_MAX
        if self._ends_at is not None:
            return self._ends_at
        if self._message_since is not None:
            return self._message_since + self._serving.request_s_max
        if self._current is None and not self._turns:
            return self._idle_since + IDLE_S_MAX
        return None

    def _on_timer(self) -> None:
        self._timer = None
        due = self._due()
        if due is not None and self._loop.time() >= due:
            self._on_due()
        else:
            self._watch()

    def _on_due(self) -> None:
        if self._blocked_since is not None:
            left = self._transport.get_write_buffer_size()
            if self._blocked_bytes - left < ANSWER_BYTES_MIN:
                self._transport.abort()
                return
            self._blocked_since, self._blocked_bytes = self._loop.time(), left
            self._watch()
        elif self._ends_at is not None:
            self._transport.abort()
        elif self._in_head or self._incoming is not None:
            said = f"head and body have {self._serving.request_s_max:g} s"
            self._refuse(Refused(problems.REQUEST_TIMEOUT, said, closes=True))
        else:  # it has nothing to say
            self._ends_at = self._loop.time() + ANSWER_S_MAX
            self._transport.close()
            self._watch()


def _too_large() -> Refused:
    said = f"{FIELDS_MAX} fields and {HEAD_BYTES_MAX} bytes are the limit"
    return Refused(problems.HEAD_TOO_LARGE, said, closes=True)


def certificate_names(certificate: dict[str, Any] | None) -> tuple[str, ...]:
    """Return the DNS names and URIs of a certificate that was verified (`ssl.SSLSocket.getpeercert`)."""
    if not certificate:
        return ()
    return tuple(name for kind, name in certificate.get("subjectAltName", ()) if kind in {"DNS", "URI"})
