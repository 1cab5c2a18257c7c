"""Malamute clients that call services of the net: each request becomes a call, and what comes of it becomes mail."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from braidmq.bounds import DAY_S
from braidmq.bridges.bodies import to_body, to_payload
from braidmq.bridges.codes import UNAVAILABLE, code_of
from braidmq.bridges.limits import CALLS_BYTES_PER_PEER_MAX, CALLS_PER_PEER_MAX
from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.limits import LEFT_CALLS_MAX
from braidmq.bridges.malamute.mailboxes import Letter
from braidmq.bridges.malamute.options import MalamuteOptions, ServiceOptions
from braidmq.bridges.malamute.post import Post
from braidmq.bridges.malamute.sessions import BRIDGE, Session
from braidmq.bridges.port import Call, Cancel, Output
from braidmq.errors import BraidError, RequestError, ServiceError
from braidmq.members import is_service
from braidmq.messages import Reply

INVALID_SERVICE: Final = "INVALID_SERVICE"
"""The code of a request whose service cannot be called so in the net."""

_OVERLOADED: Final = "OVERLOADED"

_ERROR: Final = b"$error"
"""The subject of mail that tells an error."""

_MS: Final = 1_000


class _Asked(msgspec.Struct, eq=False):
    """A request that is under way.

    Attributes:
        session: who has asked.
        address: its mailbox, as it was then.
        subject: as sent.
        tracker: as sent.
        size: of the payload.
        options: of the service.
    """

    session: Session
    address: bytes
    subject: bytes
    tracker: bytes
    size: int
    options: ServiceOptions


class Requests:
    """All requests of Malamute clients that are under way.

    A client that has ended is still answered: Malamute keeps the answer as mail. So its calls go on.

    Args:
        options: of the bridge.
        post: brings the answers.
        outputs: where what is to be done goes.
        counters: see BridgeCore; `requests`, `replies`, `errors` and `cancelled` are counted here.
    """

    def __init__(self, options: MalamuteOptions, post: Post, outputs: list[Output], counters: dict[str, int]) -> None:
        self._options = options
        self._post = post
        self._outputs = outputs
        self._counters = counters
        self._numbers = 0
        self._asked: dict[int, _Asked] = {}
        self._by_session: dict[Session, dict[int, None]] = {}
        self._left: OrderedDict[int, None] = OrderedDict()
        self.draining = False

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._asked)

    def on_send(self, session: Session, message: wire.Message, now: float, *, held: bool = False) -> None:
        """Begin a call, or tell why not. It may have been held until its client had opened."""
        self._counters["requests"] += 1
        service = self._options.name_of(message.address)
        options = self._options.of(service)
        if options.subject == "service":
            service = f"{service}.{message.subject.decode(errors='replace')}"
        asked = _Asked(session, session.address, message.subject, message.tracker, 0, options)
        payload = to_payload(message.content, options.frames)
        if isinstance(payload, bytes):
            refusal = self._refusal(session, service, len(payload))
            if refusal is None:
                self._begin(asked, service, payload, message.timeout_ms, held=held)
                return
        else:
            refusal = payload
        session.peer.refused += 1
        self._refuse(asked, refusal, now)

    def _refusal(self, session: Session, service: str, size: int) -> ServiceError | None:
        """Return why a call with a payload of so many bytes cannot begin; None if it can."""
        if self.draining:
            return _error(UNAVAILABLE, "the bridge ends: ask again")
        if not is_service(service):
            text = f"{service[:50]!r} cannot name a service: give it another name by the bridge's names"
            return _error(INVALID_SERVICE, text)
        if session.calls >= CALLS_PER_PEER_MAX or (
            session.calls and session.calls_bytes + size > CALLS_BYTES_PER_PEER_MAX
        ):
            return _error(_OVERLOADED, f"{session.calls} calls of this client are under way")
        return None

    def on_call_end(self, number: int, end: Reply | BraidError, now: float) -> None:
        """Answer a request with what has come of its call."""
        asked = self._forget(number)
        if isinstance(end, Reply):
            self._counters["replies"] += 1
            body = to_body(end.payload, asked.options.frames)
            if isinstance(body, ServiceError):  # not what the options promise, but no less an answer
                body = [end.payload]
            self._answer(asked, end.sender.encode(), asked.subject, body, now)
        else:
            self._refuse(asked, end, now)

    def leave(self, session: Session) -> None:
        """Note that a client's connection has ended."""
        for number in self._by_session.get(session, ()):
            self._left[number] = None
        while len(self._left) > LEFT_CALLS_MAX:
            oldest = next(iter(self._left))
            self._forget(oldest)
            self._counters["cancelled"] += 1
            self._outputs.append(Cancel(oldest))

    def _begin(self, asked: _Asked, service: str, payload: bytes, timeout_ms: int, *, held: bool) -> None:
        self._numbers += 1
        number = self._numbers
        session, options = asked.session, asked.options
        asked.size = len(payload)
        session.calls += 1
        session.calls_bytes += asked.size
        self._asked[number] = asked
        self._by_session.setdefault(session, {})[number] = None
        timeout_s = options.timeout_s or self._options.timeout_s
        if options.timeout == "deadline" and timeout_ms:
            timeout_s = min(timeout_ms / _MS, float(DAY_S))
        address = asked.address.decode(errors="replace")
        headers = {
            "subject": asked.subject.decode(errors="replace"),
            "tracker": asked.tracker.decode(errors="replace"),
            "via": f"malamute:{address}" if address else "malamute",
        }
        wait = True if held and options.wait is None else options.wait
        self._outputs.append(Call(number, session.peer, service, payload, timeout_s, headers, wait=wait))

    def _forget(self, number: int) -> _Asked:
        asked = self._asked.pop(number)
        self._left.pop(number, None)
        session = asked.session
        session.calls -= 1
        session.calls_bytes -= asked.size
        numbers = self._by_session[session]
        del numbers[number]
        if not numbers:
            del self._by_session[session]
        return asked

    def _refuse(self, asked: _Asked, error: BraidError, now: float) -> None:
        """Tell a client of an error, as mail: its protocol has no other word that it would survive."""
        self._counters["errors"] += 1
        if asked.options.errors == "silent":
            return
        maybe = isinstance(error, RequestError) and error.maybe_executed
        content = [code_of(error).encode(), f"{error}".encode(errors="replace"), b"1" if maybe else b"0"]
        self._answer(asked, BRIDGE, _ERROR, content, now)

    def _answer(self, asked: _Asked, sender: bytes, subject: bytes, content: Sequence[bytes], now: float) -> None:
        message = wire.mail(sender, asked.address, subject, asked.tracker, content)
        self._post.answer(asked.session, Letter(message), now)

    def validate_state(self) -> None:
        """Assert that the tables agree. For tests."""
        by_session = {number for numbers in self._by_session.values() for number in numbers}
        assert by_session == set(self._asked)
        for session, numbers in self._by_session.items():
            assert len(numbers) == session.calls <= CALLS_PER_PEER_MAX
            assert session.calls_bytes == sum(self._asked[number].size for number in numbers)
        assert set(self._left) <= by_session
        assert len(self._left) <= LEFT_CALLS_MAX


def _error(code: str, text: str) -> ServiceError:
    return ServiceError(code, text, maybe_executed=False)
