"""A caller of the HTTP gateway without sockets: an event loop, a transport and a server that tests drive by hand."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, cast

from braidmq import Reply
from braidmq.bridges.http.connection import Connection
from braidmq.bridges.http.core.callers import Callers
from braidmq.bridges.http.core.gateway import Call, Exchange, Gateway
from braidmq.bridges.http.core.problems import Refused

Parsed = tuple[int, dict[str, str], bytes]
"""Status, fields and body of an answer."""


def gateway(**changes: Any) -> Gateway:
    """Return a gateway whom anybody may call."""
    usual: dict[str, Any] = {
        "callers": Callers(anonymous=True),
        "readiness": lambda: "",
        "payload_bytes_max": 1_024,
        "timeout_s": 5.0,
    }
    return Gateway(**(usual | changes))


def reply(payload: bytes = b"42", service: str = "pricing") -> Reply:
    return Reply(payload, "w1", "gateway", service, b"r" * 16, b"\x01" * 16, False, 0, "b1")


class Loop:
    """Virtual time: what is due is run by `advance`."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.timers: list[_Timer] = []
        self.soon: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], object]) -> "_Timer":
        timer = _Timer(when, call)
        self.timers.append(timer)
        return timer

    def call_soon(self, call: Callable[..., object], *arguments: object) -> None:
        self.soon.append((call, arguments))

    def create_task(self, coroutine: Coroutine[Any, Any, None]) -> "_Task":
        return _Task(coroutine, self)

    def run(self) -> None:
        while self.soon:
            call, arguments = self.soon.popleft()
            call(*arguments)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.run()
        for timer in [timer for timer in self.timers if timer.due <= self.now]:
            self.timers.remove(timer)
            if not timer.cancelled:
                timer.call()
        self.run()


class _Timer:
    def __init__(self, due: float, call: Callable[[], object]) -> None:
        self.due, self.call, self.cancelled = due, call, False

    def when(self) -> float:
        return self.due

    def cancel(self) -> None:
        self.cancelled = True


class _Task:
    def __init__(self, coroutine: Coroutine[Any, Any, None], loop: Loop) -> None:
        self._coroutine = coroutine
        self._over = False
        loop.call_soon(self._step)

    def _step(self) -> None:
        if self._over:
            return
        try:
            awaited = self._coroutine.send(None)
        except StopIteration:
            self._over = True
        else:
            awaited.on_end = self._step

    def cancel(self) -> None:
        if not self._over:
            self._over = True
            try:
                self._coroutine.throw(asyncio.CancelledError())
            except asyncio.CancelledError:
                return
            raise AssertionError("a cancelled task went on")


class Pending:
    """A call that is under way until `end`."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.on_end: Callable[[], object] | None = None
        self.outcome: Reply | BaseException | None = None
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, Reply]:
        try:
            yield self
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome

    def end(self, outcome: Reply | BaseException) -> None:
        self.outcome = outcome
        assert self.on_end is not None
        self.on_end()


class Transport:
    """Keeps what is written; `takes` says whether the caller reads it."""

    def __init__(self, *, certificate: dict[str, Any] | None = None) -> None:
        self.written = bytearray()
        self.unread = 0
        self.takes = True
        self.ended = ""
        self.half_closed = False
        self.protocol: Connection | None = None
        self._certificate = certificate

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("127.0.0.1", 50_000), "peercert": self._certificate}.get(name)

    def write(self, data: bytes) -> None:
        assert not self.ended, "written after its end"
        self.written += data
        if not self.takes:
            before, self.unread = self.unread, self.unread + len(data)
            if before <= 65_536 < self.unread:
                assert self.protocol is not None
                self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self.unread

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Peer:
    """One connection of a gateway, and the server that it is served by."""

    request_s_max = 10.0

    def __init__(self, *, certificate: dict[str, Any] | None = None, room: bool = True, **changes: Any) -> None:
        self.gateway = gateway(**changes)
        self.calls: list[Pending] = []
        self.refused: list[str] = []
        self.failed: list[BaseException] = []
        self.hung_up: list[str] = []
        self.busy = False
        self.gone = False
        self.unread = 0
        self.heard = bytearray()
        self._room = room
        self.loop = Loop()
        self.transport = Transport(certificate=certificate)
        self.connection = self.transport.protocol = Connection(self, cast("asyncio.AbstractEventLoop", self.loop))
        self.connection.connection_made(cast("asyncio.BaseTransport", self.transport))

    # -- what a server does

    def date(self) -> bytes:
        return b"date: Sun, 29 Nov 2026 08:00:00 GMT\r\n"

    async def make(self, call: Call) -> Reply:
        pending = Pending(call)
        self.calls.append(pending)
        return await pending

    def on_connected(self, connection: Connection) -> bool:
        return self._room

    def on_busy(self, connection: Connection, *, busy: bool) -> None:
        self.busy = busy

    def on_blocked(self, connection: Connection, unread_bytes: int) -> None:
        self.unread = unread_bytes

    def on_gone(self, connection: Connection) -> None:
        self.gone = True

    def on_hang_up(self, exchange: Exchange) -> None:
        self.hung_up.append(exchange.route.service)

    def on_refused(self, refused: Refused, address: str) -> None:
        self.refused.append(refused.problem.name)

    def on_failed(self, error: BaseException, service: str) -> None:
        self.failed.append(error)

    # -- what a caller does

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            if self.transport.ended:
                break
            self.heard += piece
            self.connection.data_received(piece)
        self.loop.run()

    def hang_up(self) -> None:
        self.connection.connection_lost(None)
        self.loop.run()

    @property
    def waiting(self) -> int:
        """Requests that have come behind the one whose turn it is."""
        return len(self.connection._turns)

    def answers(self) -> list[Parsed]:
        """Return the answers so far as (status, fields, body), and check that they are whole."""
        return parsed(bytes(self.transport.written))

    def answer(self) -> Parsed:
        (only,) = self.answers()
        return only

    def problem(self) -> tuple[int, str]:
        """Return the only answer's status and the name of its problem."""
        status, fields, body = self.answer()
        assert fields["content-type"] == "application/problem+json"
        said = json.loads(body)
        assert said["status"] == status
        return status, said["type"].removeprefix("urn:braidmq:")


def parsed(data: bytes) -> list[Parsed]:
    answers: list[Parsed] = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1"
        if status == "100":
            continue
        fields = dict(cast("tuple[str, str]", tuple(each.split(": ", 1))) for each in lines)
        assert len(fields) == len(lines), lines
        length = int(fields["content-length"])
        assert len(data) >= length
        answers.append((int(status), fields, data[:length]))
        data = data[length:]
    return answers


def post(
    body: bytes = b"14",
    service: str = "pricing",
    *,
    fields: Iterable[str] = (),
    close: bool = False,
    length: int | None = None,
) -> bytes:
    """Return the bytes of a request."""
    lines = [
        f"POST /services/{service} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(body) if length is None else length}",
        *fields,
        *(["Connection: close"] if close else []),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
