"""The broker: brings requests to workers and answers back, and keeps nothing that could be lost.

Inputs: `on_frame`, `on_unsent`, `on_disconnect`, `on_registry`, `on_peers`, `drain`, `on_timer`. After any of
them the shell sends what `take_sends` returns and logs what `take_events` returns; it calls `on_timer` no later
than `next_deadline`. Nothing that a peer sends raises.
"""

from typing import Final, Literal

from braidmq.core.events import DEBUG, INFO, WARNING, Event, EventLog
from braidmq.core.exchange import Account, Exchange, Service, Session, SessionState, Slot
from braidmq.core.report import report
from braidmq.core.timers import Timers
from braidmq.errors import ProtocolError
from braidmq.members import Directory, Member, Role, is_service, matches
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.bundle import split
from braidmq.wire.envelope import (
    CANCEL,
    COMMON,
    CONTROL_FIRST,
    LOST,
    MAJOR,
    PREFIX,
    PREFIX_BYTES,
    REJECT,
    REPLY,
    REQUEST,
    UINT32,
    VERSION,
    WORKING,
    Command,
    Progress,
    Reason,
)
from braidmq.wire.limits import ROUTE_BYTES

TICK_S: Final = 0.05
"""How often the broker looks after its sessions and announcements; a fraction of the shortest heartbeat."""

DEMAND_S: Final = 0.05
"""How often a service with a queue asks its workers for more credit: some round trips of a data centre."""

NODES_PER_HEARTBEAT_S: Final = 2_000
"""Above this many nodes the heartbeat interval grows with their number, so that a broker spends at most some
percent of a core on heartbeats."""

WORKING_S_MIN: Final = 0.01
"""Shortest interval at which a client may ask to hear that its request waits."""

CALLABLE_MAX: Final = 1_024
"""Services whose permission is remembered per session; a client that tries more is asked anew."""

STRANGERS_MAX: Final = 1_024
"""Routes without a session that were told so; they are told once."""

_HELLO = int(Command.HELLO)


class BrokerCore:
    """See the module."""

    def __init__(self, name: str, settings: Settings, directory: Directory, *, software: str, now: float) -> None:
        self.name = name
        self.settings = settings
        self.draining = False
        self.counters = dict.fromkeys(
            (
                "requests", "replies", "rejected", "lost", "expired", "cancelled", "malformed", "forged",
                "unmatched", "denied", "sessions", "sessions_dead", "sessions_refused",
            ),
            0,
        )  # fmt: skip
        self.sessions: dict[bytes, Session] = {}
        self.services: dict[bytes, Service] = {}
        self.queued_bytes = 0
        self.peers: list[control.Peer] = []
        self.peer_states: list[control.PeerStatus] = []
        self._name = name.encode()
        self._software = software
        self._directory = directory
        self._started_at = now
        self._accounts: dict[str, Account] = {}
        self._strangers: dict[bytes, None] = {}
        self._timers: Timers[Exchange] = Timers()
        self._tag = 0
        self._sends: dict[bytes, list[bytes]] = {}
        self._events = EventLog()
        self._announce = False
        self._tick_at = now + TICK_S
        self._ticked_at = now
        self._heartbeat_at = now + settings.heartbeat_s

    # -- outputs

    def take_sends(self) -> dict[bytes, list[bytes]]:
        """Return the messages that are due to each route, in order, and forget them."""
        sends, self._sends = self._sends, {}
        return sends

    def take_events(self) -> list[Event]:
        """Return what is worth a line in the log, and forget it."""
        return self._events.take()

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        due = self._timers.next_deadline()
        return self._tick_at if due is None or due > self._tick_at else due

    def report(self, now: float) -> control.Report:
        """Return the broker's state for an observer."""
        return report(self, self._software, now - self._started_at, now)

    @property
    def idle(self) -> bool:
        """Whether this draining broker has nothing left to do: no request is here or still on its way to it."""
        return all(session.noted and not session.requests for session in self.sessions.values())

    # -- inputs

    def on_frame(self, route: bytes, principal: str, frame: bytes, now: float) -> None:
        """Take in a frame from the connection `route`, whose key is `principal`."""
        session = self.sessions.get(route)
        messages, intact = split(frame)
        if session is None:
            if not messages or messages[0][5] != _HELLO or messages[0][4] >> 4 != MAJOR:
                self._turn_away(route, "no-session", "say HELLO first", now)
                return
            session = self._welcome(route, principal, now)
            if session is None:
                return
        elif session.account.principal != principal:
            self.counters["forged"] += 1
            return
        session.heard_at = now
        if session.state is SessionState.SUSPECT:
            self._set_state(session, SessionState.OPEN, now)
        if messages:
            age_s = session.staleness.age_s(int.from_bytes(frame[8:12]), now)
            for message in messages:
                self._on_message(session, message, age_s, now)
        if not intact:
            self._malformed(session, "a frame that is no bundle")

    def on_unsent(self, route: bytes, messages: list[bytes], now: float) -> None:
        """Take back messages for `route` that were certainly not sent; call it before `on_disconnect`."""
        session = self.sessions.get(route)
        if session is None:
            return
        self._remove_slots(session, now)
        for message in messages:
            if message[5] == REQUEST:
                tag = PREFIX.unpack_from(message)[7]
                exchange = session.assigned.pop(tag, None)
                if exchange is not None:
                    exchange.slot = None
                    self._timers.cancel(exchange, exchange.timer)
                    if exchange.client is not None:
                        self._route(exchange, message, None, now)

    def on_disconnect(self, route: bytes, now: float) -> None:
        """Take in that the connection `route` is gone."""
        session = self.sessions.get(route)
        if session is not None:
            self._end(session, now)
            self._events.add(INFO, f"{session.member.name} disconnected")

    def on_registry(self, now: float) -> None:
        """Take in that the directory changed: members that are gone are cut off, rights are looked up anew."""
        for session in list(self.sessions.values()):
            member = self._directory.member(session.account.principal)
            if member is None:
                self._end(session, now)
                self._turn_away(session.route, "refused", "the key is no longer registered", now)
                continue
            session.member = member
            session.callable.clear()
            for slot in list(session.slots.values()):
                if not member.may_serve(slot.service.name.decode()):
                    self._remove_slot(slot, now)
            self._announce = True

    def on_peers(self, peers: list[control.Peer], states: list[control.PeerStatus], now: float) -> None:
        """Take in the brokers that this broker knows and how each stands, and tell every member."""
        self.peers = peers
        self.peer_states = states
        message = control.encode_control(control.Peers(peers), int(now * 1000) & UINT32)
        for session in self.sessions.values():
            self._send(session, message)

    def drain(self, now: float) -> None:
        """Take no new requests from now on, and tell every member."""
        self.draining = True
        for session in self.sessions.values():
            self._send_control(session, control.Goodbye("draining"), now)

    def on_timer(self, now: float) -> None:
        """Take in that time has passed."""
        for exchange in self._timers.take_due(now):
            self._on_due(exchange, now)
        if now >= self._tick_at:
            self._tick(now)

    # -- sessions

    def _welcome(self, route: bytes, principal: str, now: float) -> Session | None:
        member = self._directory.member(principal)
        account = self._accounts.get(principal) or Account(principal)
        why = self._why_refused(route, account, member)
        if why or member is None:
            self.counters["sessions_refused"] += 1
            who = f"key {principal[:16]}..." if member is None else member.name
            if self._turn_away(route, "refused", why, now):
                self._events.add(WARNING, f"refused a session to {who}: {why}")
            return None
        heartbeat_s = self.settings.heartbeat_s * max(1.0, len(self.sessions) / NODES_PER_HEARTBEAT_S)
        session = self.sessions[route] = Session(route, account, member, heartbeat_s, now)
        self._accounts[principal] = account
        account.sessions += 1
        self._strangers.pop(route, None)
        self.counters["sessions"] += 1
        self._events.add(INFO, f"{member.name} connected")
        welcome = control.Welcome(
            self.name, member.name, int(heartbeat_s * 1000), self.settings.payload_bytes_max, self._software
        )
        self._send_control(session, welcome, now)
        self._send_control(session, control.Peers(self.peers), now)
        self._announce_to(session, tuple(s for s in self._available() if member.may_call(s)), now)
        if self.draining:
            self._send_control(session, control.Goodbye("draining"), now)
        return session

    def _why_refused(self, route: bytes, account: Account, member: Member | None) -> str:
        settings = self.settings
        if member is None:
            return "the key is not registered"
        if len(route) != ROUTE_BYTES or not route[0]:
            return f"a routing id must be {ROUTE_BYTES} bytes, the first not 0"
        if len(self.sessions) >= settings.nodes_max:
            return f"nodes_max={settings.nodes_max} is reached"
        if account.sessions >= settings.connections_per_key_max:
            return f"connections_per_key_max={settings.connections_per_key_max} is reached"
        return ""

    def _turn_away(self, route: bytes, reason: Literal["no-session", "refused"], text: str, now: float) -> bool:
        if route in self._strangers:
            return False
        if len(self._strangers) >= STRANGERS_MAX:
            self._strangers.clear()
        self._strangers[route] = None
        goodbye = control.Goodbye(reason, text[:255])
        self._sends.setdefault(route, []).append(control.encode_control(goodbye, int(now * 1000) & UINT32))
        return True

    def _end(self, session: Session, now: float) -> None:
        for exchange in list(session.requests.values()):
            self._forget_client(exchange)
        self._remove_slots(session, now)
        del self.sessions[session.route]
        session.account.sessions -= 1
        if not session.account.sessions:
            del self._accounts[session.account.principal]
        self._sends.pop(session.route, None)
        for exchange in session.assigned.values():
            exchange.slot = None
            if exchange.client is not None:
                self.counters["lost"] += 1
                self._answer(exchange, LOST, 0, now)
        session.assigned.clear()

    def _set_state(self, session: Session, state: SessionState, now: float) -> None:
        if session.state is state or session.state is SessionState.LEAVING:
            return
        session.state = state
        self._events.add(INFO, f"{session.member.name} is {state}")
        self._announce = self._announce or bool(session.slots)
        for slot in session.slots.values():
            slot.service.offer(slot)
            if state is not SessionState.OPEN:
                self._release_addressed(slot, now)
            else:
                self._feed(slot, now)

    def _malformed(self, session: Session, what: str) -> None:
        self.counters["malformed"] += 1
        if not session.warned:
            session.warned = True
            self._events.add(WARNING, f"{session.member.name} sent {what}; more of it is only counted")

    # -- messages

    def _on_message(self, session: Session, message: bytes, age_s: float, now: float) -> None:
        command = message[5]
        if message[4] >> 4 != MAJOR:
            self._malformed(session, f"a message of major version {message[4] >> 4}")
        elif command == REQUEST:
            self._on_request(session, message, age_s, now)
        elif command in (REPLY, WORKING, REJECT, LOST):
            self._on_answer(session, command, message, now)
        elif command == CANCEL:
            self._on_cancel(session, message, now)
        elif command >= CONTROL_FIRST:
            try:
                received = control.decode_control(message)
            except ProtocolError as error:
                self._malformed(session, str(error))
                return
            self._on_control(session, received, now)

    def _on_control(self, session: Session, received: control.Control | None, now: float) -> None:
        if isinstance(received, control.Ready):
            self._on_ready(session, received, now)
        elif isinstance(received, control.Goodbye):
            if received.reason == "noted":
                session.noted = True
            else:
                self._set_state(session, SessionState.LEAVING, now)
                self._remove_slots(session, now)
                self._send_control(session, control.Goodbye("noted"), now)
        elif isinstance(received, control.Status):
            if session.member.observe or session.member.role is Role.BROKER:
                answer = self.report(now)
            else:
                self.counters["denied"] += 1
                answer = control.Report(broker=self.name, denied=True)
            self._send_control(session, answer, now)

    def _on_request(self, session: Session, message: bytes, age_s: float, now: float) -> None:
        self.counters["requests"] += 1
        if len(message) < PREFIX_BYTES:
            self._malformed(session, "a REQUEST that is cut off")
            return
        fields = PREFIX.unpack_from(message)
        time_ms, tag, id_, service_bytes, sender_bytes, receiver_bytes = fields[6:12]
        receiver_at = PREFIX_BYTES + service_bytes + sender_bytes
        payload_bytes = len(message) - receiver_at - receiver_bytes - fields[13]
        if payload_bytes < 0 or tag in session.requests:
            self._malformed(session, "a REQUEST whose lengths or tag are wrong")
            return
        name = message[PREFIX_BYTES : PREFIX_BYTES + service_bytes]
        service = self.services.get(name)
        reason = self._why_not(session, name, service, payload_bytes, time_ms / 1000.0 - age_s)
        if reason is not None or service is None:
            self._reject(session, reason or Reason.NO_WORKER, id_, tag, now)
            return
        deadline = now + time_ms / 1000.0 - age_s
        exchange = Exchange(
            session, tag, id_, service, deadline=deadline, working_s=max(WORKING_S_MIN, fields[14] / 1000.0)
        )
        session.requests[tag] = exchange
        session.account.in_flight += 1
        receiver = message[receiver_at : receiver_at + receiver_bytes] if receiver_bytes else None
        self._route(exchange, message, receiver, now)

    def _why_not(
        self, session: Session, name: bytes, service: Service | None, payload_bytes: int, remaining_s: float
    ) -> Reason | None:
        allowed = session.callable.get(name)
        if allowed is None:
            allowed = self._may_call(session, name)
        if not allowed:
            self.counters["denied"] += 1
            return Reason.DENIED
        if self.draining:
            return Reason.DRAINING
        if remaining_s <= 0.0:
            self.counters["expired"] += 1
            return Reason.EXPIRED
        if service is None:
            return Reason.NO_WORKER
        if session.account.in_flight >= self.settings.in_flight_max:
            return Reason.BUSY
        if payload_bytes > self.settings.payload_bytes_max:
            return Reason.TOO_LARGE
        return None

    def _may_call(self, session: Session, name: bytes) -> bool:
        try:
            service = name.decode("ascii")
        except UnicodeDecodeError:
            return False
        if len(session.callable) >= CALLABLE_MAX:
            session.callable.clear()
        allowed = session.callable[name] = is_service(service) and session.member.may_call(service)
        return allowed

    def _route(self, exchange: Exchange, message: bytes, receiver: bytes | None, now: float) -> None:
        """Send a request to a worker with credit, or let it wait, or reject it."""
        if exchange.deadline <= now:
            self.counters["expired"] += 1
            self._refuse_exchange(exchange, Reason.EXPIRED, now)
            return
        service = exchange.service
        slot = None
        if receiver is not None:
            slot = next((s for s in service.slots.values() if s.session.name == receiver), None)
            if slot is not None and slot.session.state is not SessionState.OPEN:
                slot = None
        wanted = slot
        if slot is None:
            slot = service.balancer.pick()
        elif slot.outstanding >= slot.credit:
            slot = None
        if slot is not None:
            self._dispatch(exchange, slot, message, now)
        else:
            self._enqueue(exchange, wanted, message, now)

    def _enqueue(self, exchange: Exchange, wanted: Slot | None, message: bytes, now: float) -> None:
        service, settings, size = exchange.service, self.settings, len(message)
        client = exchange.client
        assert client is not None
        if not service.slots:
            self._refuse_exchange(exchange, Reason.NO_WORKER, now)
        elif (
            service.queued >= settings.queue_messages_max
            or self.queued_bytes + size > settings.queue_bytes_max
            or exchange.account.queued_bytes + size > settings.in_flight_bytes_max
        ):
            self._refuse_exchange(exchange, Reason.BUSY, now)
        else:
            exchange.message = message
            exchange.wanted = wanted
            (service.queue if wanted is None else wanted.addressed)[exchange] = None
            service.queued += 1
            self.queued_bytes += size
            exchange.account.queued_bytes += size
            exchange.timer = self._timers.add(exchange, min(exchange.deadline, now + exchange.working_s))
            self._demand(service, now)

    def _dequeue(self, exchange: Exchange) -> bytes:
        message, exchange.message = exchange.message, b""
        service = exchange.service
        queue = service.queue if exchange.wanted is None else exchange.wanted.addressed
        del queue[exchange]
        exchange.wanted = None
        service.queued -= 1
        self.queued_bytes -= len(message)
        exchange.account.queued_bytes -= len(message)
        self._timers.cancel(exchange, exchange.timer)
        return message

    def _dispatch(self, exchange: Exchange, slot: Slot, message: bytes, now: float) -> None:
        client = exchange.client
        assert client is not None
        (
            _length, version, _command, flags, retry_count, _sent_ms, _time_ms, _tag, id_, service_bytes,
            sender_bytes, receiver_bytes, code, extension_bytes, working_ms,
        ) = PREFIX.unpack_from(message)  # fmt: skip
        self._tag = tag = (self._tag + 1) & UINT32
        worker = slot.session
        rest_at = PREFIX_BYTES + service_bytes + sender_bytes + receiver_bytes
        sender, receiver = client.name, worker.name
        length = len(message) - rest_at + PREFIX_BYTES + service_bytes + len(sender) + len(receiver)
        head = PREFIX.pack(
            length, version, REQUEST, flags, retry_count, int(now * 1000) & UINT32,
            int((exchange.deadline - now) * 1000), tag, id_, service_bytes, len(sender), len(receiver), code,
            extension_bytes, working_ms,
        )  # fmt: skip
        exchange.tag = tag
        exchange.slot = slot
        worker.assigned[tag] = exchange
        slot.outstanding += 1
        slot.service.offer(slot)
        exchange.timer = self._timers.add(exchange, exchange.deadline)
        self._send(worker, b"".join((head, exchange.service.name, sender, receiver, message[rest_at:])))

    def _on_answer(self, session: Session, command: int, message: bytes, now: float) -> None:
        if len(message) < PREFIX_BYTES:
            self._malformed(session, "an answer that is cut off")
            return
        (
            _length, version, _command, flags, retry_count, _sent_ms, time_ms, tag, id_, service_bytes,
            sender_bytes, receiver_bytes, code, extension_bytes, _working_ms,
        ) = PREFIX.unpack_from(message)  # fmt: skip
        rest_at = PREFIX_BYTES + service_bytes + sender_bytes + receiver_bytes
        if rest_at + extension_bytes > len(message):
            self._malformed(session, "an answer whose lengths are wrong")
            return
        exchange = session.assigned.get(tag)
        if exchange is None or exchange.id != id_:
            self.counters["unmatched"] += 1
            return
        client = exchange.client
        if command != WORKING:
            self._finish(exchange, now)
            if command == REPLY:
                self.counters["replies"] += 1
        if client is None:
            return
        sender, receiver, name = session.name, client.name, exchange.service.name
        length = len(message) - rest_at + PREFIX_BYTES + len(name) + len(sender) + len(receiver)
        head = PREFIX.pack(
            length, version, command, flags, retry_count, int(now * 1000) & UINT32, time_ms, exchange.client_tag,
            id_, len(name), len(sender), len(receiver), code, extension_bytes, 0,
        )  # fmt: skip
        self._send(client, b"".join((head, name, sender, receiver, message[rest_at:])))

    def _finish(self, exchange: Exchange, now: float) -> None:
        """A worker has answered: free its credit for the next request."""
        slot = exchange.slot
        assert slot is not None
        del slot.session.assigned[exchange.tag]
        exchange.slot = None
        self._forget_client(exchange)
        slot.outstanding -= 1
        if slot.service.slots.get(slot.session) is slot:
            slot.service.offer(slot)
            if slot.service.queued:
                self._feed(slot, now)

    def _on_cancel(self, session: Session, message: bytes, now: float) -> None:
        if len(message) < PREFIX_BYTES:
            self._malformed(session, "a CANCEL that is cut off")
            return
        exchange = session.requests.get(PREFIX.unpack_from(message)[7])
        if exchange is None:
            return
        self.counters["cancelled"] += 1
        self._give_up(exchange, now)

    def _give_up(self, exchange: Exchange, now: float) -> None:
        """The client waits no longer: take the request out of the queue, or tell the worker that has it."""
        slot = exchange.slot
        if slot is not None:
            client = exchange.client
            assert client is not None
            self._send(slot.session, self._short(CANCEL, 0, exchange.id, exchange.tag, now, sender=client.name))
        self._forget_client(exchange)

    def _forget_client(self, exchange: Exchange) -> None:
        """Take the request off its client's account; a worker that has it keeps its place in `assigned`."""
        client = exchange.client
        if client is not None:
            exchange.client = None
            del client.requests[exchange.client_tag]
            exchange.account.in_flight -= 1
        if exchange.message:
            self._dequeue(exchange)
        else:
            self._timers.cancel(exchange, exchange.timer)

    # -- workers

    def _on_ready(self, session: Session, ready: control.Ready, now: float) -> None:
        name = ready.service.encode()
        slot = session.slots.get(name)
        if slot is None:
            if not is_service(ready.service) or not session.member.may_serve(ready.service):
                self.counters["denied"] += 1
                self._events.add(WARNING, f"{session.member.name} may not serve {ready.service!r}: READY ignored")
                return
            service = self.services.get(name)
            if service is None:
                if len(self.services) >= self.settings.services_max:
                    self._events.add(WARNING, f"services_max={self.settings.services_max} is reached: READY ignored")
                    return
                service = self.services[name] = Service(name, self.settings)
            slot = session.slots[name] = service.slots[session] = Slot(service, session)
            self._events.add(DEBUG, f"{session.member.name} serves {ready.service}")
        self._announce = self._announce or bool(slot.credit) != bool(ready.credit)
        slot.credit = ready.credit
        slot.service.offer(slot)
        self._feed(slot, now)

    def _feed(self, slot: Slot, now: float) -> None:
        """Send waiting requests to a worker as long as it has credit."""
        if slot.session.state is not SessionState.OPEN:
            return
        service = slot.service
        while slot.outstanding < slot.credit:
            exchange = next(iter(slot.addressed), None) or next(iter(service.queue), None)
            if exchange is None:
                return
            message = self._dequeue(exchange)
            if exchange.deadline <= now:
                self._refuse_exchange(exchange, Reason.EXPIRED, now)
            else:
                self._dispatch(exchange, slot, message, now)
        if service.queued:
            self._demand(service, now)

    def _demand(self, service: Service, now: float) -> None:
        if now < service.demand_at:
            return
        service.demand_at = now + DEMAND_S
        wish = control.Demand(service.name.decode(), service.queued)
        for slot in service.slots.values():
            if slot.session.state is SessionState.OPEN:
                self._send_control(slot.session, wish, now)

    def _remove_slots(self, session: Session, now: float) -> None:
        for slot in list(session.slots.values()):
            self._remove_slot(slot, now)

    def _remove_slot(self, slot: Slot, now: float) -> None:
        service = slot.service
        del slot.session.slots[service.name]
        del service.slots[slot.session]
        service.balancer.remove(slot)
        self._announce = True
        self._release_addressed(slot, now)
        if not service.slots:
            del self.services[service.name]
            for exchange in list(service.queue):
                self._dequeue(exchange)
                self._refuse_exchange(exchange, Reason.NO_WORKER, now)

    def _release_addressed(self, slot: Slot, now: float) -> None:
        """Let any worker have what waited for this one."""
        for exchange in list(slot.addressed):
            message = self._dequeue(exchange)
            self._route(exchange, message, None, now)

    # -- answers of the broker's own

    def _refuse_exchange(self, exchange: Exchange, reason: Reason, now: float) -> None:
        client = exchange.client
        assert client is not None
        self._forget_client(exchange)
        self._reject(client, reason, exchange.id, exchange.client_tag, now)

    def _reject(self, session: Session, reason: Reason, id_: bytes, tag: int, now: float) -> None:
        self.counters["rejected"] += 1
        self._send(session, self._short(REJECT, reason, id_, tag, now))

    def _answer(self, exchange: Exchange, command: int, code: int, now: float) -> None:
        client = exchange.client
        assert client is not None
        self._forget_client(exchange)
        self._send(client, self._short(command, code, exchange.id, exchange.client_tag, now))

    def _short(
        self, command: int, code: int, id_: bytes, tag: int, now: float, *, sender: bytes | None = None
    ) -> bytes:
        """Return a message without payload; its sender is the broker unless another is named."""
        name = self._name if sender is None else sender
        size, sent_ms = PREFIX_BYTES + len(name), int(now * 1000) & UINT32
        return PREFIX.pack(size, VERSION, command, 0, 0, sent_ms, 0, tag, id_, 0, len(name), 0, int(code), 0, 0) + name

    def _send(self, session: Session, message: bytes) -> None:
        session.spoke = True
        waiting = self._sends.get(session.route)
        if waiting is None:
            self._sends[session.route] = [message]
        else:
            waiting.append(message)

    def _send_control(self, session: Session, message: control.Control, now: float) -> None:
        self._send(session, control.encode_control(message, int(now * 1000) & UINT32))

    # -- time

    def _on_due(self, exchange: Exchange, now: float) -> None:
        if exchange.client is None:
            return
        if exchange.deadline <= now:
            self.counters["expired"] += 1
            if exchange.message:
                self._dequeue(exchange)
                self._refuse_exchange(exchange, Reason.EXPIRED, now)
            else:
                self._give_up(exchange, now)
        elif exchange.message:
            waits = self._short(WORKING, Progress.QUEUED, exchange.id, exchange.client_tag, now)
            self._send(exchange.client, waits)
            exchange.timer = self._timers.add(exchange, min(exchange.deadline, now + exchange.working_s))
            self._demand(exchange.service, now)
        else:
            exchange.timer = self._timers.add(exchange, exchange.deadline)

    def _tick(self, now: float) -> None:
        stalled_s = now - self._ticked_at - TICK_S
        self._ticked_at = now
        self._tick_at = now + TICK_S
        beat = now >= self._heartbeat_at
        if beat:
            self._heartbeat_at = now + self.settings.heartbeat_s
        heartbeat = COMMON.pack(COMMON.size + 1, VERSION, Command.HEARTBEAT, 0, 0, int(now * 1000) & UINT32) + b"\x80"
        dead = []
        for session in self.sessions.values():
            if stalled_s > self.settings.heartbeat_s:
                session.heard_at = min(now, session.heard_at + stalled_s)
            silent_s = (now - session.heard_at) * (self.settings.heartbeat_s / session.heartbeat_s)
            if silent_s > self.settings.suspect_after_s:
                if silent_s > self.settings.dead_after_s:
                    dead.append(session)
                    continue
                self._set_state(session, SessionState.SUSPECT, now)
            if beat:
                if not session.spoke:
                    self._send(session, heartbeat)
                session.spoke = False
        for session in dead:
            self.counters["sessions_dead"] += 1
            self._events.add(WARNING, f"{session.member.name} was silent for {now - session.heard_at:.1f} s: given up")
            self._end(session, now)
            self._turn_away(session.route, "no-session", "you were silent for too long", now)
        if self._announce:
            self._announce = False
            available = self._available()
            lists: dict[tuple[str, ...], tuple[str, ...]] = {}
            for session in self.sessions.values():
                calls = session.member.calls
                if calls not in lists:
                    lists[calls] = tuple(service for service in available if matches(calls, service))
                self._announce_to(session, lists[calls], now)

    def _available(self) -> list[str]:
        """Return the services that have a worker here now, in alphabetical order."""
        return sorted(name.decode() for name, service in self.services.items() if service.available())

    def _announce_to(self, session: Session, services: tuple[str, ...], now: float) -> None:
        """Tell a node which of the services that it may call have a worker here, unless it knows."""
        if session.member.role is Role.NODE and services != session.services_sent:
            session.services_sent = services
            self._send_control(session, control.Services(list(services)), now)
