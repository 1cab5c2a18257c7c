"""The gateway's core: what becomes of each request, without sockets, clock and event loop.

For each request: `on_head`, `on_part` for each piece of its body, `on_body`; then `on_end`, if `on_body` has returned
a call; and `release` at last, when its answer has left or is not wanted any more. `on_hang_up` takes the place of
`on_body` or `on_end` where the caller has gone. All that raises `Refused` ends the request but for `release`.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from braidmq.bridges.http.core import problems
from braidmq.bridges.http.core.answers import OCTETS, error_answer, maybe_executed, reply_answer
from braidmq.bridges.http.core.callers import NOBODY, Caller, Callers
from braidmq.bridges.http.core.fields import Fields
from braidmq.bridges.http.core.idempotency import Entry, Memory
from braidmq.bridges.http.core.limits import (
    CALLS_PER_CALLER,
    HELD_BYTES_MAX,
    HELD_BYTES_PER_CALLER_MAX,
    TIMEOUT_S_MAX,
)
from braidmq.bridges.http.core.messages import Answer, Head
from braidmq.bridges.http.core.openapi import description
from braidmq.bridges.http.core.problems import Refused, problem_answer
from braidmq.bridges.http.core.target import Place, Route, route
from braidmq.errors import ServiceError
from braidmq.messages import Reply

_TEXT: Final = b"text/plain; charset=utf-8"


class Readiness(Protocol):
    """Says whether calls have a chance."""

    def __call__(self) -> str:
        """Return why calls have no chance at present; nothing if they have."""


class Call(msgspec.Struct, eq=False, frozen=True):
    """A call that is to be made.

    Attributes:
        caller: whose it is, and by which member it is to be made.
        service: to call.
        payload: to send.
        timeout_s: until it gives up.
        attempts: how often it may be sent; None for the member's own setting.
        headers: for the handler.
        possible_duplicate: whether it may have been run before.
    """

    caller: Caller
    service: str
    payload: bytes
    timeout_s: float
    attempts: int | None
    headers: dict[str, str]
    possible_duplicate: bool


class Exchange:
    """One request and what becomes of it.

    Attributes:
        head: as it came.
        route: where it goes.
        caller: whose it is.
        timeout_s: of its call.
        attempts: of its call; None for the member's own setting.
        headers: for the handler.
        key: its Idempotency-Key, if it has one.
        entry: what is remembered of it while its call is under way, if it has a key.
        held_bytes: what it has of HELD_BYTES_MAX, and of its caller's HELD_BYTES_PER_CALLER_MAX.
        released: whether it holds nothing any more.
    """

    __slots__ = (
        "attempts",
        "caller",
        "entry",
        "head",
        "headers",
        "held_bytes",
        "key",
        "released",
        "route",
        "timeout_s",
    )

    def __init__(self, head: Head, where: Route, caller: Caller) -> None:
        self.head = head
        self.route = where
        self.caller = caller
        self.timeout_s = 0.0
        self.attempts: int | None = None
        self.headers: dict[str, str] = {}
        self.key: str | None = None
        self.entry: Entry | None = None
        self.held_bytes = 0
        self.released = False


class Gateway:
    """Takes requests of HTTP, and says which calls to make and what to answer.

    Args:
        callers: who may call.
        readiness: asked for `/readyz`.
        payload_bytes_max: largest payload.
        timeout_s: of a call that says nothing.
        timeout_s_max: longest that a call may say.
        calls_max: most calls that one caller has under way.
        content_types: of the replies of services, by name.

    Attributes:
        callers: who may call; may be replaced at any time.
        draining: whether new calls are refused, as the gateway ends.
        counters: what has come, and what was refused, by the names of problems.
        answers: how many answers there were, by their status.
    """

    def __init__(
        self,
        callers: Callers,
        *,
        readiness: Readiness,
        payload_bytes_max: int,
        timeout_s: float,
        timeout_s_max: float = TIMEOUT_S_MAX,
        calls_max: int = CALLS_PER_CALLER,
        content_types: Mapping[str, str] | None = None,
    ) -> None:
        self.callers = callers
        self.draining = False
        self.counters = {"requests": 0, "calls": 0, "hang-ups": 0, "replayed": 0}
        self.answers: dict[int, int] = {}
        self._readiness = readiness
        self._memory = Memory()
        self._payload_bytes_max = payload_bytes_max
        self._timeout_s = timeout_s
        self._timeout_s_max = timeout_s_max
        self._calls_max = calls_max
        self._content_types = {name: kind.encode() for name, kind in (content_types or {}).items()}
        self._under_way: dict[str, int] = {}
        self._held_by_caller: dict[str, int] = {}
        self._held_bytes = 0
        self._description = description(payload_bytes_max, timeout_s_max)

    @property
    def under_way(self) -> int:
        """Requests to services that have come and have not been released."""
        return sum(self._under_way.values())

    @property
    def held_bytes(self) -> int:
        """Bytes of payloads of these requests."""
        return self._held_bytes

    @property
    def remembered(self) -> int:
        """Requests that are remembered for their Idempotency-Key."""
        return len(self._memory)

    def on_head(self, head: Head) -> Exchange:
        """Take the head of a request; its body may come. Raises Refused."""
        self.counters["requests"] += 1
        where = route(head)
        if where.place is not Place.SERVICE:
            return Exchange(head, where, NOBODY)
        fields = Fields(head.fields)
        exchange = Exchange(head, where, self.callers.identify(head, fields))
        self._read(exchange, fields)
        if self.draining:
            raise Refused(problems.NODE_CLOSED, "it ends", service=where.service, retry=True, closes=True)
        name = exchange.caller.name
        count = self._under_way.get(name, 0)
        if count >= self._calls_max:
            raise Refused(
                problems.TOO_MANY_CALLS, f"{self._calls_max} calls are under way", service=where.service, retry=True
            )
        self._hold(exchange, fields.content_length() or 0)
        self._under_way[name] = count + 1
        return exchange

    def _read(self, exchange: Exchange, fields: Fields) -> None:
        """Read what a request asks for. Raises Refused."""
        coding, transfer = fields.get(b"content-encoding"), fields.get(b"transfer-encoding")
        if (coding or b"identity").lower() != b"identity" or (transfer or b"chunked").lower() != b"chunked":
            raise Refused(problems.CODED_BODY, "send the body as it is", fields=((b"accept-encoding", b"identity"),))
        expected = fields.get(b"expect")
        if expected is not None and expected.lower() != b"100-continue":
            raise Refused(problems.EXPECTATION, "only 100-continue is known")
        exchange.timeout_s = fields.timeout_s(self._timeout_s, self._timeout_s_max)
        exchange.attempts = fields.attempts()
        exchange.key = fields.idempotency_key()
        headers = exchange.headers = fields.handed_on()
        if exchange.key is not None:
            headers["idempotency-key"] = exchange.key
        via = exchange.caller.via
        if via is not None:
            headers["via"] = via

    def on_part(self, exchange: Exchange, length: int) -> None:
        """Take note that the body is `length` bytes long by now. Raises Refused."""
        if exchange.route.place is not Place.SERVICE:
            raise Refused(problems.BAD_REQUEST, "a body is for services", closes=True)
        if length > exchange.held_bytes:
            self._hold(exchange, length)

    def _hold(self, exchange: Exchange, length: int) -> None:
        service = exchange.route.service
        if length > self._payload_bytes_max:
            raise Refused(problems.PAYLOAD_TOO_LARGE, f"{self._payload_bytes_max} bytes are the limit", service=service)
        name = exchange.caller.name
        others = self._held_by_caller.get(name, 0) - exchange.held_bytes
        if others and others + length > HELD_BYTES_PER_CALLER_MAX:
            text = f"{others} bytes of this caller are under way"
            raise Refused(problems.TOO_MANY_CALLS, text, service=service, retry=True)
        held = self._held_bytes + length - exchange.held_bytes
        if held > HELD_BYTES_MAX:
            raise Refused(problems.OVERLOADED, "too many large requests are under way", service=service, retry=True)
        self._held_bytes = held
        self._held_by_caller[name] = others + length
        exchange.held_bytes = length

    def on_body(self, exchange: Exchange, payload: bytes, now: float) -> Call | Answer:
        """Take a request that is complete; return the call to make, or the answer if there is none. Raises Refused."""
        place = exchange.route.place
        if place is not Place.SERVICE:
            return self._own_answer(place)
        entry = None
        if exchange.key is not None:
            digest = hashlib.sha256(payload).digest()
            begun = self._memory.begin(exchange.caller.name, exchange.route.service, exchange.key, digest, now)
            if isinstance(begun, Answer):
                self.counters["replayed"] += 1
                return begun
            entry = exchange.entry = begun
        self.counters["calls"] += 1
        return Call(
            exchange.caller,
            exchange.route.service,
            payload,
            exchange.timeout_s,
            exchange.attempts,
            exchange.headers,
            entry is not None and entry.repeated,
        )

    def _own_answer(self, place: Place) -> Answer:
        if place is Place.DESCRIPTION:
            return Answer(200, self._description)
        if place is Place.HEALTH:
            return Answer(200, b"ok\n", _TEXT)
        why = "the gateway ends" if self.draining else self._readiness()
        return problem_answer(problems.NODE_CLOSED, why, retry=True) if why else Answer(200, b"ok\n", _TEXT)

    def on_end(self, exchange: Exchange, outcome: Reply | BaseException, now: float) -> Answer:
        """Take the end of a call; return what to answer."""
        entry, exchange.entry = exchange.entry, None
        service = exchange.route.service
        if isinstance(outcome, Reply):
            answer = reply_answer(outcome, self._content_types.get(service, OCTETS))
        else:
            answer = error_answer(outcome, service)
        if entry is not None:
            if isinstance(outcome, (Reply, ServiceError)):
                self._memory.done(entry, answer, now)
            elif maybe_executed(outcome):
                self._memory.unknown(entry, now)
            else:
                self._memory.forget(entry, now)
        return answer

    def on_hang_up(self, exchange: Exchange, now: float) -> None:
        """Take note that the caller has gone before it was answered; its call, if there is one, is to be cancelled."""
        self.counters["hang-ups"] += 1
        entry, exchange.entry = exchange.entry, None
        if entry is not None:
            self._memory.unknown(entry, now)

    def on_answer(self, answer: Answer) -> None:
        """Count an answer that leaves."""
        self.answers[answer.status] = self.answers.get(answer.status, 0) + 1

    def on_refused(self, refused: Refused) -> Answer:
        """Count a refusal, of this class or of whoever reads the bytes, and return its answer."""
        name = refused.problem.name
        self.counters[name] = self.counters.get(name, 0) + 1
        return refused.answer

    def release(self, exchange: Exchange) -> None:
        """Let go of what a request holds. Only its first call counts."""
        if exchange.released or exchange.route.place is not Place.SERVICE:
            return
        exchange.released = True
        self._held_bytes -= exchange.held_bytes
        name = exchange.caller.name
        self._held_by_caller[name] -= exchange.held_bytes
        count = self._under_way[name] - 1
        if count:
            self._under_way[name] = count
        else:
            del self._under_way[name], self._held_by_caller[name]

    def check(self) -> None:
        """Assert what holds between requests."""
        assert self._held_bytes >= 0
        assert all(count > 0 for count in self._under_way.values())
        assert self._held_by_caller.keys() == self._under_way.keys()
        assert sum(self._held_by_caller.values()) == self._held_bytes
