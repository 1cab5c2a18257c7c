"""Observers that keep books of what they are told: the rigs check that these say what the cores hold.

So whatever a test does, each thing that is told to begin is told to end once.
"""

from collections import Counter
from typing import Any

from braidmq.core.broker.broker import BrokerCore
from braidmq.core.node.node import NodeCore
from braidmq.observer import AttemptEnd, BrokerObserver, GivenUp, JobEnd, NodeObserver


class NodeBooks(NodeObserver):
    """What a node says that it does; `observer` is told, too."""

    def __init__(self, observer: NodeObserver | None = None) -> None:
        self._next = observer or NodeObserver()
        self.calls: dict[bytes, int] = {}
        self.attempts: dict[bytes, str] = {}
        self.jobs: Counter[bytes] = Counter()
        self.begun: Counter[bytes] = Counter()
        self.credit: dict[tuple[str, str], int] = {}

    def check(self, core: NodeCore) -> None:
        """Assert that the books say what the node holds."""
        client, worker = core.client, core.worker
        assert len(self.calls) == len(client)
        assert len(self.attempts) == sum(link.in_flight for link in core.links.links.values())
        assert self.jobs.total() == len(worker)
        assert self.begun.total() <= sum(service.running for service in worker.services)
        granted = {service.name.decode(): service.granted for service in worker.services if not service.withdrawn}
        for (service, broker), credit in self.credit.items():
            grant = granted[service].get(broker)
            assert grant is None or grant.share == credit
            assert not worker.draining

    def on_call(self, id_: bytes, service: str, now: float) -> None:
        assert id_ not in self.calls
        self.calls[id_] = 0
        self._next.on_call(id_, service, now)

    def on_attempt(self, id_: bytes, broker: str, number: int, now: float) -> None:
        assert id_ not in self.attempts
        self.attempts[id_] = broker
        assert 1 <= number <= self.calls[id_] + 1
        self.calls[id_] = number
        self._next.on_attempt(id_, broker, number, now)

    def on_attempt_end(self, id_: bytes, broker: str, how: AttemptEnd, reason: str, now: float) -> None:
        assert self.attempts.pop(id_) == broker
        assert bool(reason) == (how is AttemptEnd.REJECTED)
        self._next.on_attempt_end(id_, broker, how, reason, now)

    def on_call_end(self, id_: bytes, outcome: Any, took_s: float, now: float) -> None:
        assert id_ not in self.attempts
        del self.calls[id_]
        assert took_s >= 0.0
        self._next.on_call_end(id_, outcome, took_s, now)

    def on_credit(self, service: str, broker: str, credit: int, now: float) -> None:
        assert credit != self.credit.pop((service, broker), 0)
        if credit:
            self.credit[service, broker] = credit
        self._next.on_credit(service, broker, credit, now)

    def on_job(self, id_: bytes, service: str, client: str, broker: str, now: float) -> None:
        self.jobs[id_] += 1
        self._next.on_job(id_, service, client, broker, now)

    def on_certificate_end(self, member: str, left_s: float, now: float) -> None:
        self._next.on_certificate_end(member, left_s, now)

    def on_job_refused(self, id_: bytes, service: str, broker: str, reason: str, now: float) -> None:
        self._next.on_job_refused(id_, service, broker, reason, now)

    def on_job_joined(self, id_: bytes, broker: str, now: float) -> None:
        self._next.on_job_joined(id_, broker, now)

    def on_job_begun(self, id_: bytes, now: float) -> None:
        self.begun[id_] += 1
        assert self.begun[id_] <= self.jobs[id_]
        self._next.on_job_begun(id_, now)

    def on_job_end(self, id_: bytes, how: JobEnd, took_s: float, now: float) -> None:
        _take(self.jobs, id_)
        if self.begun[id_]:
            _take(self.begun, id_)
        assert took_s >= 0.0
        self._next.on_job_end(id_, how, took_s, now)


class BrokerBooks(BrokerObserver):
    """What a broker says that it does; `observer` is told, too."""

    def __init__(self, observer: BrokerObserver | None = None) -> None:
        self._next = observer or BrokerObserver()
        self.sessions = 0
        self.requests: Counter[bytes] = Counter()
        self.open = 0
        self.peers: dict[str, str] = {}

    def check(self, core: BrokerCore) -> None:
        """Assert that the books say what the broker holds."""
        sessions = core.sessions.values()
        assert self.sessions == len(sessions)
        assert self.open == sum(len(session.requests) for session in sessions)
        members = core.peering.membership.members.values()
        assert self.peers == {member.name: member.state for member in members}

    def on_session(self, member: str, role: str, now: float) -> None:
        self.sessions += 1
        self._next.on_session(member, role, now)

    def on_refused(self, kind: str, who: str, where: str, what: str, now: float) -> None:
        self._next.on_refused(kind, who, where, what, now)

    def on_certificate_end(self, member: str, left_s: float, now: float) -> None:
        self._next.on_certificate_end(member, left_s, now)

    def on_operated(self, member: str, action: str, name: str, now: float) -> None:
        self._next.on_operated(member, action, name, now)

    def on_session_refused(self, who: str, why: str, now: float) -> None:
        self._next.on_session_refused(who, why, now)

    def on_session_state(self, member: str, state: str, now: float) -> None:
        self._next.on_session_state(member, state, now)

    def on_session_end(self, member: str, now: float) -> None:
        self.sessions -= 1
        self._next.on_session_end(member, now)

    def on_credit(self, worker: str, service: str, credit: int, now: float) -> None:
        self._next.on_credit(worker, service, credit, now)

    def on_request(self, id_: bytes, client: str, service: str, retry_count: int, now: float) -> None:
        self.requests[id_] += 1
        self.open += 1
        self._next.on_request(id_, client, service, retry_count, now)

    def on_request_queued(self, id_: bytes, service: str, depth: int, now: float) -> None:
        assert self.requests[id_]
        assert depth > 0
        self._next.on_request_queued(id_, service, depth, now)

    def on_request_dispatched(self, id_: bytes, service: str, worker: str, depth: int, now: float) -> None:
        assert self.requests[id_]
        self._next.on_request_dispatched(id_, service, worker, depth, now)

    def on_request_returned(self, id_: bytes, worker: str, reason: str, now: float) -> None:
        self._next.on_request_returned(id_, worker, reason, now)

    def on_request_answered(self, id_: bytes, worker: str, took_s: float, now: float) -> None:
        self._end(id_)
        assert took_s >= 0.0
        self._next.on_request_answered(id_, worker, took_s, now)

    def on_request_rejected(self, id_: bytes, client: str, reason: str, now: float) -> None:
        self._end(id_)
        self._next.on_request_rejected(id_, client, reason, now)

    def on_request_lost(self, id_: bytes, worker: str, now: float) -> None:
        self._end(id_)
        self._next.on_request_lost(id_, worker, now)

    def on_request_given_up(self, id_: bytes, why: GivenUp, now: float) -> None:
        self._end(id_)
        self._next.on_request_given_up(id_, why, now)

    def _end(self, id_: bytes) -> None:
        _take(self.requests, id_)
        self.open -= 1

    def on_peer(self, broker: str, before: str, state: str, now: float) -> None:
        assert self.peers.get(broker, "unknown") == before
        self.peers[broker] = state
        if state == "unknown":
            del self.peers[broker]
        self._next.on_peer(broker, before, state, now)

    def on_received(self, connection: bytes, member: str, frame: bytes) -> None:
        self._next.on_received(connection, member, frame)

    def on_sent(self, connection: bytes, member: str, messages: list[bytes]) -> None:
        self._next.on_sent(connection, member, messages)


def _take(open_: Counter[bytes], id_: bytes) -> None:
    """Note the end of what was told to begin; a Counter keeps no zeros here."""
    assert open_[id_] > 0
    open_[id_] -= 1
    if not open_[id_]:
        del open_[id_]
