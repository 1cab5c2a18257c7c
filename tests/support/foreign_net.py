"""A core of a bridge in virtual time: foreign peers before it, and a net behind it that answers or hands jobs back."""

from collections.abc import Callable
from typing import Any

from braidmq.bridges.port import (
    OWN,
    BridgeCore,
    Call,
    Cancel,
    Finish,
    Job,
    Offer,
    Peer,
    Send,
    Unfinished,
    Withdraw,
)
from braidmq.errors import AttemptsExhausted, BraidError, NoWorker, ServiceError
from braidmq.members import Member, Role
from braidmq.messages import Reply, Request

JOB_S = 30.0


class ForeignNet:
    """Drives a core. Calls of services that the core offers come back to it as jobs.

    Attributes:
        sent: what has been sent, as (peer's name, frames).
        calls: those under way, by number.
        services: what the net itself provides: a reply, an error, or None for one that does not answer yet.
        finished: how jobs of `job` ended, by number.
        offers: how many jobs of a service run at once, by member and service.
        withdrawn: what was withdrawn, in order.
        unreachable: names of peers to whom nothing can be sent.
        members: with their rights.
    """

    def __init__(self, make: Callable[[Callable[[str], Member]], BridgeCore]) -> None:
        self.now = 1_000.0
        self.members = {OWN: Member("bridge-1", Role.NODE, calls=("*",), serves=("*",))}
        self.core: Any = make(self.members.__getitem__)
        self.peers: dict[str, Peer] = {}
        self.sent: list[tuple[str, list[bytes]]] = []
        self.calls: dict[int, Call] = {}
        self.services: dict[str, bytes | BraidError | None] = {}
        self.finished: dict[int, bytes | ServiceError | Unfinished] = {}
        self.offers: dict[tuple[str, str], int] = {}
        self.withdrawn: list[str] = []
        self.cancelled: list[int] = []
        self.unreachable: set[str] = set()
        self._numbers = 0
        self._callers: dict[int, int] = {}

    # -- foreign peers

    def peer(self, name: str, *, user: str = "", member: str = OWN, host: str = "127.0.0.1") -> Peer:
        """Return the peer of that name, new if it is not there."""
        if name not in self.peers:
            self.peers[name] = Peer(b"\0" + name.encode(), host, user, member)
        return self.peers[name]

    def say(self, name: str, *frames: bytes) -> list[list[bytes]]:
        """Let a peer send a message; return what it gets at once."""
        before = len(self.sent)
        self.core.on_message(self.peer(name), list(frames), self.now)
        self.settle()
        return [frames for told, frames in self.sent[before:] if told == name]

    def close(self, name: str) -> None:
        """End the connection of a peer that has said something."""
        peer = self.peers.pop(name, None)
        if peer is not None:
            peer.gone = True
            self.core.on_gone(peer, self.now)
            self.settle()

    def heard(self, name: str) -> list[list[bytes]]:
        """Return what a peer has got, and forget all that was sent."""
        got = [frames for told, frames in self.sent if told == name]
        self.sent.clear()
        return got

    # -- the net

    def job(self, service: str, payload: bytes = b"", *, member: str = OWN, duplicate: bool = False) -> int:
        """Let a node of the net call a foreign service; return the number of the job."""
        self._numbers += 1
        number = self._numbers
        request = Request(
            payload, "shop", "bridge-1", service, bytes(16), duplicate, 0, self.now + JOB_S, {}, "b1", lambda: self.now
        )
        self.core.on_job(Job(number, member, request), self.now)
        self.settle()
        return number

    def drop(self, number: int) -> None:
        """Let nobody wait for a job any more."""
        self.core.on_job_dropped(number, self.now)
        self.settle()

    def answer(self, call: int, end: bytes | BraidError) -> None:
        """End a call of the core's."""
        asked = self.calls.pop(call)
        self.core.on_call_end(call, _end(asked, end), self.now)
        self.settle()

    def tell_services(self, *names: str, member: str = OWN) -> None:
        """Let brokers report which services have a worker."""
        self.core.on_services(member, frozenset(names), self.now)
        self.settle()

    # -- time

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while (due := self.core.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.core.on_timer(self.now)
            self.settle()
        self.now = until

    def settle(self) -> None:
        """Do what the core asks for, and what follows from it."""
        while outputs := self.core.take():
            for output in outputs:
                self._do(output)
        self.core.validate_state()

    def _do(self, output: Any) -> None:
        match output:
            case Send(peer, frames):
                name = peer.route[1:].decode()
                if name in self.unreachable or peer.gone:
                    self.core.on_unsent(output, self.now)
                else:
                    self.sent.append((name, list(frames)))
            case Call(number):
                assert number not in self.calls
                self.calls[number] = output
                self._begin(output)
            case Cancel(number):
                del self.calls[number]
                self.cancelled.append(number)
            case Offer(member, service, concurrency):
                assert concurrency >= 1
                self.offers[member, service] = concurrency
                for call in [each for each in self.calls.values() if each.service == service]:
                    if call.number not in self._callers.values() and call.member == member:
                        self._begin(call)
            case Withdraw(member, service):
                del self.offers[member, service]
                self.withdrawn.append(service)
            case Finish(number, outcome):
                assert number not in self.finished, "a job ends once"
                self.finished[number] = outcome
                self._return(number, outcome)
            case _:
                raise AssertionError(output)

    def _begin(self, call: Call) -> None:
        if call.service in self.services:
            end = self.services[call.service]
            if end is not None:
                self.answer(call.number, end)
        elif (call.member, call.service) in self.offers:
            caller = call.number
            number = self._numbers + 1
            self._callers[number] = caller
            self.job(call.service, call.payload, member=call.member)
        elif not call.wait:
            self.answer(call.number, NoWorker("nobody", service=call.service))

    def _return(self, number: int, outcome: bytes | ServiceError | Unfinished) -> None:
        caller = self._callers.pop(number, None)
        if caller in self.calls:
            if isinstance(outcome, Unfinished):
                end: bytes | BraidError = AttemptsExhausted("lost", maybe_executed=outcome is Unfinished.UNKNOWN)
            else:
                end = outcome
            self.answer(caller, end)


def _end(call: Call, end: bytes | BraidError) -> Reply | BraidError:
    if isinstance(end, BraidError):
        return end
    return Reply(end, "worker", "bridge-1", call.service, bytes(16), bytes(16), False, 0, "b1")
