"""The side of clients: their requests become calls, and what comes of these becomes replies."""

from collections.abc import Callable
from typing import Final

import msgspec

from braidmq.bridges.bodies import to_body, to_payload
from braidmq.bridges.codes import code_of
from braidmq.bridges.limits import CALLS_BYTES_PER_PEER_MAX, CALLS_PER_PEER_MAX, PEERS_MAX
from braidmq.bridges.majordomo import wire
from braidmq.bridges.majordomo.options import MajordomoOptions, ServiceOptions
from braidmq.bridges.majordomo.unanswered import Unanswered
from braidmq.bridges.port import Call, Cancel, Output, Peer, Rights, Send
from braidmq.errors import BraidError, RequestError, ServiceError
from braidmq.members import is_service
from braidmq.messages import Reply

MMI: Final = "mmi."
"""How the names of services begin that the bridge itself answers: RFC 8 (https://rfc.zeromq.org/spec/8/)."""

_MMI_SERVICE: Final = "mmi.service"

_FOUND: Final = b"200"
_NOT_FOUND: Final = b"404"
_NOT_IMPLEMENTED: Final = b"501"

_ERROR: Final = b"$braidmq"
"""The first frame of a reply that tells an error."""


class _Waiting(msgspec.Struct, eq=False):
    """A client's request that is under way.

    Attributes:
        peer: who waits.
        asked: what it has asked for.
        name: the service.
        options: what holds for it.
        size: bytes of its body.
        reply: what it is to be sent, once that is known; empty: it is to hear nothing.
    """

    peer: Peer
    asked: wire.Request
    name: str
    options: ServiceOptions
    size: int
    reply: list[bytes] | None = None


class Clients:
    """All clients of a bridge.

    Args:
        options: of the bridge.
        outputs: where what is to be done goes.
        counters: see BridgeCore; `requests`, `replies`, `errors`, `copies`, `dropped` are counted here.
        rights: who may call what.
        served_here: whether a worker of this bridge provides a service.
    """

    def __init__(
        self,
        options: MajordomoOptions,
        outputs: list[Output],
        counters: dict[str, int],
        rights: Rights,
        served_here: Callable[[str], bool],
    ) -> None:
        self._options = options
        self._outputs = outputs
        self._counters = counters
        self._rights = rights
        self._served_here = served_here
        self._numbers = 0
        self._calls: dict[int, _Waiting] = {}
        self._by_peer: dict[Peer, dict[int, _Waiting]] = {}
        self._bytes_by_peer: dict[Peer, int] = {}
        self._services: dict[str, frozenset[str]] = {}
        self._unanswered = Unanswered()
        self.draining = False

    def __len__(self) -> int:
        """How many requests are under way."""
        return len(self._calls)

    def on_request(self, peer: Peer, asked: wire.Request, now: float) -> None:
        """Take a request: begin a call, answer it here, or drop it, as RFC 7 has no word for a refusal."""
        name = asked.service.decode("ascii", "replace")
        own = self._by_peer.get(peer, {})
        size = sum(map(len, asked.body))
        own_bytes = self._bytes_by_peer.get(peer, 0) + size
        too_much = len(own) >= CALLS_PER_PEER_MAX or (own and own_bytes > CALLS_BYTES_PER_PEER_MAX)
        if (
            not asked.body
            or self.draining
            or not is_service(name)
            or too_much
            or (not own and len(self._by_peer) >= PEERS_MAX)
        ):
            self._counters["dropped"] += 1
            return
        self._counters["requests"] += 1
        self._numbers += 1
        number = self._numbers
        waiting = self._calls[number] = _Waiting(peer, asked, name, self._options.of(name), size)
        self._by_peer.setdefault(peer, own)[number] = waiting
        self._bytes_by_peer[peer] = own_bytes
        if name.startswith(MMI):
            self._answer(number, [*asked.body[:-1], self._status(peer, name, asked.body[-1])])
            return
        payload = to_payload(asked.body, waiting.options.frames)
        if isinstance(payload, ServiceError):
            peer.refused += 1
            self.on_call_end(number, payload, now)
            return
        copy = self._unanswered.has(peer.host, asked.service, asked.body, now)
        self._counters["copies"] += copy
        via = f"majordomo:{peer.user}" if peer.user else "majordomo"
        timeout_s = waiting.options.timeout_s or self._options.timeout_s
        wait = waiting.options.wait
        self._outputs.append(Call(number, peer, name, payload, timeout_s, {"via": via}, copy, wait))

    def on_call_end(self, number: int, end: Reply | BraidError, now: float) -> None:
        """Answer a request with what has come of its call."""
        waiting = self._calls[number]
        body = to_body(end.payload, waiting.options.frames) if isinstance(end, Reply) else end
        if isinstance(body, list):
            self._answer(number, body)
            return
        if isinstance(end, Reply):  # its form is not what the service's options promise: it is no less an answer
            self._answer(number, [end.payload])
            return
        self._counters["errors"] += 1
        if isinstance(end, RequestError) and end.maybe_executed:
            asked = waiting.asked
            self._unanswered.note(waiting.peer.host, asked.service, asked.body, now)
        told = [_ERROR, code_of(end).encode(), f"{end}".encode()] if waiting.options.error_frames else None
        self._answer(number, told)

    def on_services(self, member: str, services: frozenset[str]) -> None:
        """Note which services have a worker in the net, as a member is told."""
        self._services[member] = services

    def on_gone(self, peer: Peer, now: float) -> None:
        """Give up what a client waited for: its protocol gets nothing to it any more."""
        self._bytes_by_peer.pop(peer, None)
        for number, waiting in self._by_peer.pop(peer, {}).items():
            if self._calls.pop(number, None) is not None:
                self._outputs.append(Cancel(number))
                self._unanswered.note(peer.host, waiting.asked.service, waiting.asked.body, now)

    def _status(self, peer: Peer, name: str, asked: bytes) -> bytes:
        """Return the answer to a question about the bridge itself."""
        if name != _MMI_SERVICE:
            return _NOT_IMPLEMENTED
        service = asked.decode("ascii", "replace")
        there = service in self._services.get(peer.member, ()) or self._served_here(service)
        return _FOUND if there and self._rights(peer.member).may_call(service) else _NOT_FOUND

    def _answer(self, number: int, body: list[bytes] | None) -> None:
        """End a request with a reply, or in silence; in order, if that is wanted."""
        waiting = self._calls.pop(number)
        waiting.reply = [] if body is None else wire.reply(waiting.asked.dialect, waiting.asked.service, body)
        own = self._by_peer[waiting.peer]
        if self._options.ordered:
            while own:
                first = next(iter(own))
                if own[first].reply is None:
                    return
                self._send(own.pop(first))
        else:
            self._send(own.pop(number))
        if not own:
            del self._by_peer[waiting.peer], self._bytes_by_peer[waiting.peer]

    def _send(self, waiting: _Waiting) -> None:
        self._bytes_by_peer[waiting.peer] -= waiting.size
        if waiting.reply:
            self._counters["replies"] += 1
            self._outputs.append(Send(waiting.peer, waiting.reply))

    def validate_state(self) -> None:
        """Assert that the two tables say the same. For tests."""
        held = {number for own in self._by_peer.values() for number, each in own.items() if each.reply is None}
        assert held == set(self._calls)
        assert all(self._by_peer.values())
        assert len(self._by_peer) <= PEERS_MAX
        sizes = {peer: sum(each.size for each in own.values()) for peer, own in self._by_peer.items()}
        assert sizes == self._bytes_by_peer
        assert all(len(own) <= CALLS_PER_PEER_MAX for own in self._by_peer.values())
