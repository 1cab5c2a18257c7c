"""The pure core of the zgossip bridge: a node among nodes, to which others connect, and which connects to others.

The bridge's own tuples, and those that it has heard from others, are each kept in the order of their last change. A
contact is a number in either: what has changed since is due to it. So each key is sent with its newest value only,
what a node does not take now it is sent later, and nothing has to be kept for it.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from braidmq.bridges.port import OWN, Finish, Job, Offer, Output, Peer, Rights, Send, Withdraw
from braidmq.bridges.zgossip import wire
from braidmq.bridges.zgossip.contact import Contact
from braidmq.bridges.zgossip.departed import Departed
from braidmq.bridges.zgossip.hearsay import Hearsay
from braidmq.bridges.zgossip.keys import Keys
from braidmq.bridges.zgossip.limits import PASS_S, PEERS_MAX, PING_S, SILENCE_S
from braidmq.bridges.zgossip.own import Own
from braidmq.bridges.zgossip.passing import Passing
from braidmq.bridges.zgossip.requests import CONCURRENCY, GET, PUT, Requests
from braidmq.errors import BraidError
from braidmq.messages import Reply

_COUNTED: Final = (
    "messages", "malformed", "unexpected", "too_many_peers", "invalid_sent", "known", "news", "too_many_changes",
    "unsent", "evicted", "settled", "disputes",
)  # fmt: skip


class GossipCore:
    """See bridges/port.py for the order of calls. Besides: `on_connected`, `on_facts` and `on_listed`.

    Args:
        keys: those of this bridge.
        rights: what its member may do: it offers zgossip.get and zgossip.put if it may serve them.
        put_prefix: what keys begin with that members may publish; empty: they may publish none.

    Attributes:
        counters: what has happened. `known`: tuples that were no news; `unexpected`: messages that make no sense
            where they came; `evicted`: foreign tuples that were given up for others; `settled`: how often a key was
            settled that had changed too often; `disputes`: how often others have written to an own key.
    """

    def __init__(self, keys: Keys, rights: Rights, put_prefix: bytes = b"") -> None:
        self.counters = dict.fromkeys(_COUNTED, 0)
        self._own = Own(keys, self.counters)
        self._hearsay = Hearsay(self.counters)
        self._departed = Departed(keys)
        self._passing = Passing(self._own.log, self._hearsay.log)
        self._requests = Requests(self._own, self._hearsay, put_prefix)
        self._rights = rights
        self._services = (GET, PUT) if put_prefix else (GET,)
        self._offered: set[str] = set()
        self._contacts: dict[Peer, Contact] = {}
        self._outputs: list[Output] = []
        self._pass_at: float | None = None
        self._passed_at = -PASS_S
        self._ping_at: float | None = None
        self._draining = False
        self._on: Final[dict[wire.Kind, Callable[[Contact, float], None]]] = {
            wire.Kind.HELLO: self._on_hello,
            wire.Kind.PING: self._on_ping,
            wire.Kind.PONG: self._on_pong,
            wire.Kind.INVALID: self._on_invalid,
        }

    @property
    def gauges(self) -> dict[str, int]:
        """What there is at present."""
        return {
            "contacts": len(self._contacts), "own_tuples": len(self._own.log), "own_left_out": self._own.left_out,
            "foreign_tuples": len(self._hearsay.log), "foreign_bytes": self._hearsay.size_bytes,
        }  # fmt: skip

    @property
    def idle(self) -> bool:
        """Whether everybody who reads has been told everything: what is gone is told when the bridge drains."""
        return not any(self._passing.owes_own(each) and not each.hindered for each in self._contacts.values())

    # -- foreign nodes

    def on_connected(self, peer: Peer, now: float) -> None:
        """Note that a connection stands that the bridge has opened. It ends by `on_gone`."""
        contact = self._contacts[peer] = Contact(peer, outgoing=True, now=now)
        contact.ask_to_greet(now)
        self._greet(contact, now)
        if self._ping_at is None:
            self._ping_at = now + PING_S

    def on_message(self, peer: Peer, frames: list[bytes], now: float) -> None:
        """See BridgeCore."""
        self.counters["messages"] += 1
        try:
            kind, key, value = wire.read(frames[0] if len(frames) == 1 else b"")
        except wire.Malformed:
            self.counters["malformed"] += 1
            return
        contact = self._contacts.get(peer) or self._welcome(peer, now)
        if contact is None:
            self.counters["too_many_peers"] += 1
            return
        contact.heard_at = now
        if kind is wire.Kind.PUBLISH:
            self._on_publish(contact, key, value, now)
        else:
            self._on[kind](contact, now)

    def on_gone(self, peer: Peer, now: float) -> None:
        """See BridgeCore."""
        if self._contacts.pop(peer, None) is not None:
            self._hearsay.on_gone(peer)

    def on_unsent(self, send: Send, now: float) -> None:
        """See BridgeCore."""
        self.counters["unsent"] += 1
        contact = self._contacts.get(send.peer)
        if contact is None:
            return
        kind, key, _ = wire.read(send.frames[0])
        if kind is wire.Kind.PUBLISH:
            self._passing.on_unsent(contact, key)
            self._pass_soon(now)
        elif kind is wire.Kind.HELLO:
            contact.ask_to_greet(now)

    def _welcome(self, peer: Peer, now: float) -> Contact | None:
        """Return the contact of a peer that has come, if there is a place for it."""
        come = [each for each in self._contacts.values() if not each.outgoing]
        if len(come) >= PEERS_MAX:
            silent = min(come, key=lambda each: each.heard_at)
            if now - silent.heard_at < SILENCE_S:
                return None
            self.on_gone(silent.peer, now)
        contact = self._contacts[peer] = Contact(peer, outgoing=False, now=now)
        return contact

    def _on_hello(self, contact: Contact, now: float) -> None:
        if contact.outgoing:
            self.counters["unexpected"] += 1
        else:
            contact.ask_to_greet(now)
            self._greet(contact, now)

    def _on_ping(self, contact: Contact, now: float) -> None:
        if contact.outgoing:  # PONG would make a node of libczmq forget the bridge
            self.counters["unexpected"] += 1
        else:
            self._send(contact, wire.PONG)

    def _on_pong(self, contact: Contact, now: float) -> None:
        if not contact.outgoing:
            self.counters["unexpected"] += 1
        elif contact.reads_own and not contact.reads_foreign:
            contact.reads_foreign = True
            self._pass_soon(now)

    def _on_invalid(self, contact: Contact, now: float) -> None:
        if contact.outgoing:
            contact.ask_to_greet(now)
            self._greet(contact, now)
        else:
            self.counters["unexpected"] += 1

    def _on_publish(self, contact: Contact, key: bytes, value: bytes, now: float) -> None:
        if not contact.outgoing and not contact.reads_own:
            self.counters["invalid_sent"] += 1
            self._send(contact, wire.INVALID)  # so it says HELLO
        own = self._own.holds(key)
        if not (self._own.differs(key, value) if own else self._hearsay.hears(key, value, now)):
            self.counters["known"] += 1
        elif not contact.may_change(now):
            self.counters["too_many_changes"] += 1
        else:
            self.counters["news"] += 1
            if own:
                self._own.on_heard(key, now)
            else:
                self._hearsay.hear(key, value, contact.peer, now)
            self._pass_soon(now)

    def _greet(self, contact: Contact, now: float) -> None:
        """Begin with a contact from the start, if that is due."""
        if contact.greet_at is not None and contact.greet_at <= now:
            contact.greet(now)
            if contact.outgoing:
                self._send(contact, wire.HELLO)
            self._pass_soon(now)

    # -- the net

    def on_facts(self, facts: Mapping[bytes, bytes], now: float) -> None:
        """Publish what is so now (see Keys.facts) instead of what was so before, and offer what may be served now."""
        if self._draining:
            return
        for service in self._services:
            if not self._rights(OWN).may_serve(service):
                self._offered.discard(service)
            elif service not in self._offered:
                self._offered.add(service)
                self._outputs.append(Offer(OWN, service, CONCURRENCY))
        newest = self._own.log.newest
        self._own.tell(facts)
        if self._own.log.newest != newest:
            self._pass_soon(now)

    def on_listed(self, names: AbstractSet[str] | None, now: float) -> None:
        """Take who is connected to any broker; None: that is not known, or not of all."""
        for key in self._departed.on_listed(names, self._hearsay.log.all(), now):
            self._hearsay.hear(key, b"", None, now)
            self._pass_soon(now)

    def on_job(self, job: Job, now: float) -> None:
        """See BridgeCore."""
        self._outputs.append(Finish(job.number, self._requests.answer(job)))
        self._pass_soon(now)

    def on_job_dropped(self, number: int, now: float) -> None:
        """See BridgeCore: every job has been finished as it came."""

    def on_call_end(self, number: int, end: Reply | BraidError, now: float) -> None:
        """See BridgeCore: this bridge makes no calls."""

    def on_refused(self, member: str, service: str, now: float) -> None:
        """See BridgeCore: it is offered again when it was not allowed meanwhile."""

    def on_services(self, member: str, services: frozenset[str], now: float) -> None:
        """See BridgeCore: `on_facts` has them, with how many brokers say so."""

    def drain(self, now: float) -> None:
        """Say that all that this bridge has published of the net is gone."""
        if not self._draining:
            self._draining = True
            self._own.tell({})
            self._outputs += [Withdraw(OWN, service) for service in sorted(self._offered)]
            self._offered.clear()
            self._pass_soon(now)

    def end(self, now: float) -> None:
        """See BridgeCore: whoever still reads is told now."""
        self.drain(now)
        self._outputs += self._passing.flush(self._contacts.values())

    # -- time

    def on_timer(self, now: float) -> None:
        """See BridgeCore."""
        for contact in self._contacts.values():
            self._greet(contact, now)
        if self._own.due_at is not None and self._own.due_at <= now:
            self._own.repeat(now)
            self._pass_soon(now)
        if self._pass_at is not None and self._pass_at <= now:
            self._pass_at, self._passed_at = None, now
            self._outputs += self._passing.flush(self._contacts.values())
            if any(map(self._passing.is_due, self._contacts.values())):
                self._pass_soon(now)
        if self._ping_at is not None and self._ping_at <= now:
            remotes = [contact for contact in self._contacts.values() if contact.outgoing]
            self._ping_at = now + PING_S if remotes else None
            for contact in remotes:
                self._send(contact, wire.PING)

    def next_deadline(self) -> float | None:
        """See BridgeCore."""
        greetings = [each.greet_at for each in self._contacts.values()]
        due = [each for each in (self._pass_at, self._ping_at, self._own.due_at, *greetings) if each is not None]
        return min(due, default=None)

    def take(self) -> list[Output]:
        """See BridgeCore."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def _pass_soon(self, now: float) -> None:
        """Pass on what is due, as soon as may be."""
        if self._pass_at is None:
            self._pass_at = max(now, self._passed_at + PASS_S)

    def _send(self, contact: Contact, frame: bytes) -> None:
        self._outputs.append(Send(contact.peer, (frame,)))

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests."""
        self._own.validate_state()
        self._hearsay.validate_state()
        own = {each.key for each in self._own.log.all()}
        assert not own & {each.key for each in self._hearsay.log.all()}
        assert sum(not each.outgoing for each in self._contacts.values()) <= PEERS_MAX
        assert {each.source for each in self._hearsay.log.all()} <= {None, *self._contacts}
        assert self._pass_at is not None or not any(map(self._passing.is_due, self._contacts.values()))
        assert self._ping_at is not None or not any(each.outgoing for each in self._contacts.values())
