"""The client: brings every request to exactly one end, over whatever path is there.

How a call is sent is decided in sending.py, what follows when an attempt fails in failover.py; call_book.py ends calls.
"""

import random
from collections.abc import Mapping
from typing import Final

from braidmq.core.client import arguments, endings
from braidmq.core.client.attempts import Attempts
from braidmq.core.client.call import Call, Stage
from braidmq.core.client.call_book import CallBook
from braidmq.core.client.call_waits import CallWaits
from braidmq.core.client.failover import Failover
from braidmq.core.client.late_answers import LateAnswers
from braidmq.core.client.path_choice import PathChoice
from braidmq.core.client.path_health import MUTE_S
from braidmq.core.client.places import RunPlaces
from braidmq.core.client.retry import REROUTES_MAX, Reroutes, RetryBudget
from braidmq.core.client.sending import BrokerFinder, Sending
from braidmq.core.client.unproven import Unproven
from braidmq.core.client.verdicts import Verdicts
from braidmq.core.client.worker_wait import WorkerWait
from braidmq.core.events.node import ErrorMalformed
from braidmq.core.ids import Ids
from braidmq.core.links.link import Change, Link, LinkState
from braidmq.core.links.links import Links
from braidmq.core.proofs import Checker
from braidmq.errors import (
    BraidError,
    ConfigError,
    PayloadTooLarge,
    ProtocolError,
    ServiceError,
)
from braidmq.members import Member, check_service
from braidmq.messages import Reply
from braidmq.observer import AttemptEnd, NodeObserver
from braidmq.settings import Settings
from braidmq.wire.control import decode_failure, encode_failure
from braidmq.wire.envelope import (
    REJECT,
    REPLY,
    REQUEST,
    WORKING,
    Envelope,
    Flag,
    Outcome,
    command_of,
    decode,
    encode,
    head_of,
    reply_id,
)
from braidmq.wire.extension import encode_metadata

FAULT_PAUSE_S: Final = 1.0
"""When a call is looked after again for which that has failed by an error of our own (containment.py)."""

REVIEW_S: Final = 0.1
"""How often it is looked which paths leave calls unanswered: a fraction of the least time after which one does."""

_ANSWERED: Final = AttemptEnd.ANSWERED
_WITHDRAWN: Final = AttemptEnd.WITHDRAWN
_PARKED: Final = Stage.PARKED
_QUEUED_HERE: Final = Stage.QUEUED
_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)
_RESULT: Final = int(Outcome.RESULT)


class ClientCore:
    """The calls of one node.

    Inputs: `request`, `cancel`, `on_answer`, `on_unsent`, `on_change`, `on_timer`. Output: `take_results`, which has
    each call that was not cancelled exactly once, at its deadline at the latest.

    Args:
        checker: checks the proofs of replies; None if it asks for none.
        observer: is told what happens to calls.
    """

    def __init__(
        self,
        settings: Settings,
        rng: random.Random,
        links: Links,
        reach: BrokerFinder,
        *,
        member: Member,
        secret: bytes,
        now: float,
        checker: Checker | None = None,
        observer: NodeObserver | None = None,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._own_name = member.name
        self._links = links
        self._budget = RetryBudget(settings, now)
        self._reroutes = Reroutes()
        self._ids = Ids(secret)
        self._names: dict[str, bytes] = {}
        self._places = RunPlaces(settings)
        self._own = self._places.own
        self._waits = CallWaits(settings, rng)
        self._parked = self._waits.parked
        self._awaiting = self._waits.awaiting
        self._timers = self._waits.timers
        self._wait = WorkerWait(settings, member)
        self._choice = PathChoice(settings, rng, links, now)
        self._health = self._choice.health
        self._review_at = now + REVIEW_S
        self._passage = self._choice.passage
        self._attempts = Attempts(settings, links, self._passage, observer)
        self._sending = Sending(
            settings,
            rng,
            links,
            reach,
            attempts=self._attempts,
            choice=self._choice,
            wait=self._wait,
            waits=self._waits,
        )
        self._book = CallBook(
            self._places, self._waits, attempts=self._attempts, sending=self._sending, observer=observer
        )
        self._calls = self._book.calls
        self._failover = Failover(
            settings,
            rng,
            attempts=self._attempts,
            budget=self._budget,
            choice=self._choice,
            sending=self._sending,
            verdicts=Verdicts(settings, rng, self._choice, self._wait, budget=self._budget, reroutes=self._reroutes),
            waits=self._waits,
        )
        self._late = LateAnswers(links)
        self._proof_field = b"" if checker is None else checker.field
        self._unproven = None if checker is None else Unproven(settings, links, checker)
        self._exchange_s = settings.exchange_timeout_s

    def __len__(self) -> int:
        """Calls that have not ended."""
        return len(self._calls)

    @property
    def retries(self) -> int:
        """How many attempts were further ones."""
        return self._attempts.retries

    @property
    def late(self) -> int:
        """Answers that nobody waited for."""
        return self._late.count

    @property
    def waiting(self) -> int:
        """Calls that wait for a place among in_flight_max."""
        return self._places.waiting

    @property
    def most(self) -> int:
        """How many calls may be on their way now: see `core.places`."""
        return self._places.most

    @property
    def most_waiting(self) -> int:
        """How many calls may wait for a place now."""
        return self._places.most_waiting

    @property
    def unproven(self) -> int:
        """Replies that were refused, as their workers had not proved them."""
        return 0 if self._unproven is None else self._unproven.count

    # -- outputs

    def take_results(self) -> list[tuple[bytes, Reply | BraidError]]:
        """Return the calls that ended, by id, each with its reply or its error."""
        results, self._book.results = self._book.results, []
        return results

    def next_deadline(self) -> float | None:
        """Return when `on_timer` is due."""
        return self._timers.next_deadline()

    # -- commands

    def request(
        self,
        service: object,
        payload: object,
        now: float,
        timeout_s: object = None,
        attempts: object = None,
        via: object = None,
        metadata: Mapping[str, object] | None = None,
        wait: object = None,
        nested: int = 0,
        id_: object = None,
        possible_duplicate: object = False,
    ) -> bytes:
        """Begin a call and return its id. What a user may get wrong is an object here: see `core.arguments`.

        Args:
            service: its name.
            payload: bytes, bytearray or memoryview.
            now: the time.
            timeout_s: over all attempts; a number, or None for the setting.
            attempts: how often it may be sent; a whole number, or None for the setting.
            via: the name of the only broker to use, or None.
            metadata: what it says to the handler beside the payload, by the names of the fields of a Request.
            wait: whether to wait for a worker where there is none; None: as `wait_for_worker` says.
            nested: which run of a handler of this node makes it; 0 if none does. Each run has places of its own: its
                calls must not wait for those that wait for them.
            id_: the id of the request, or None for a new one.
            possible_duplicate: whether it may have been run before, by another call.

        Raises:
            ConfigError: an argument is wrong.
            PayloadTooLarge: the payload exceeds this node's limit, or that of every broker as far as is known.
            Overloaded: too many calls wait already.
        """
        sent = payload if type(payload) is bytes else arguments.payload_of(payload)
        timeout = self._settings.timeout_s if timeout_s is None else arguments.timeout_of(timeout_s)
        attempts_max = self._settings.attempts if attempts is None else arguments.attempts_of(attempts)
        broker = None if via is None else arguments.via_of(via)
        waits = None if wait is None else arguments.wait_of(wait)
        repeats = 0 if possible_duplicate is False else int(arguments.duplicate_of(possible_duplicate))
        extension = b"" if metadata is None else encode_metadata(metadata)
        if self._proof_field:
            extension += self._proof_field
        if not isinstance(service, str):
            raise ConfigError(f"service must be the name of a service, not {service!r}")
        name = self._names.get(service)
        if name is None:
            name = self._name_of(service)
        limit = self._links.payload_bytes_max
        if len(sent) > limit:
            raise PayloadTooLarge(
                f"a payload of {len(sent)} bytes exceeds the limit of {limit}: split it, or raise payload_bytes_max",
                service=service,
            )
        own_id = None if id_ is None else arguments.id_of(id_, self._calls)
        places = self._own if not nested else self._places.of_run(nested)
        admitted = places.enter(name, len(sent))
        if not admitted:
            places.check_waiting(service, len(sent))
        call = Call(
            own_id or self._ids.next(),
            name,
            sent,
            extension,
            now + timeout,
            attempts_max,
            broker,
            waits,
            nested,
            now,
            repeats,
        )
        self._calls[call.id] = call
        if self._observer is not None:
            self._observer.on_call(call.id, service, now)
        self._budget.on_request()
        if admitted:
            call.stage = _PARKED
            error = self._sending.send(call, now)
            if error is not None:
                self._book.fail(call, error, now)
        else:
            places.wait(call)
            call.timer = self._timers.add(call, call.deadline)
        return call.id

    def _name_of(self, service: str) -> bytes:
        name = check_service(service).encode()
        if len(self._names) >= self._settings.services_max:
            self._names.clear()
        self._names[service] = name
        return name

    def cancel(self, id_: bytes, now: float) -> None:
        """End a call without a result: its caller waits no longer. Tells the brokers that have it."""
        call = self._calls.get(id_)
        if call is not None:
            self._attempts.call_back(call, now)
            self._book.end(call, None, now)

    def awaits(self, link: Link) -> bool:
        """Whether an answer may come over `link`, of this attempt or an earlier one."""
        return bool(link.calls) or any(each[0] is link for call in self._calls.values() for each in call.earlier)

    def change_member(self, member: Member) -> None:
        """Note that this node has another name, or may call other services."""
        self._own_name = member.name
        self._wait.member = member

    def change_checker(self, checker: Checker) -> None:
        """Ask for proofs with another key from now on, if it asks for any."""
        if self._unproven is not None:
            self._proof_field = checker.field
            self._unproven.change(checker)

    # -- inputs

    def on_answer(self, link: Link, message: bytes, now: float) -> None:
        """Handle a REPLY, WORKING, REJECT or LOST."""
        try:
            answer = decode(message)
        except ProtocolError as error:
            self._links.on_malformed(link, str(error))
            return
        call = self._calls.get(answer.id)
        if call is None:
            self._late.on_answer(link, answer.command, len(message), now)
            return
        current = call.path is link and call.tag == answer.tag
        if not current and (link, link.epoch, answer.tag) not in call.earlier:
            self._late.on_answer(link, answer.command, len(message), now)
            return
        if current:
            self._passage.on_word(link, len(call.payload), call.sent_at)
        if answer.command == REPLY and (self._unproven is None or self._unproven.is_proved(call, link, answer, now)):
            self._on_reply(call, link, answer, current, now)
            return
        if answer.command == WORKING:
            self._attempts.on_working(call, link, answer, now, current=current)
            return
        if answer.sender == call.worker:
            call.worker = b""
        if not current:
            call.earlier.remove((link, link.epoch, answer.tag))
            if call.stage is Stage.LISTENING:
                self._book.fail_if(call, self._failover.listen(call), now)
        elif answer.command == REJECT:
            self._book.fail_if(call, self._failover.on_rejected(call, answer, now), now)
        else:  # LOST, or a REPLY that does not count
            self._book.fail_if(call, self._failover.on_lost(call, link, answer, now), now)

    def on_cut(self, link: Link, answer: Envelope, now: float) -> None:
        """Handle what stands for a REPLY that is longer than this node takes: its call ends with an error."""
        if answer.id not in self._calls:
            self._late.on_answer(link, REPLY, answer.time_ms, now)
            return
        limit = self._settings.payload_bytes_max
        text = f"the reply of {answer.time_ms} bytes exceeds the limit of this node, {limit}: raise payload_bytes_max"
        answer.command, answer.code, answer.time_ms = REPLY, Outcome.ERROR, 0
        answer.payload = encode_failure(ServiceError("RESULT_TOO_LARGE", text), limit)
        self.on_answer(link, encode(answer), now)

    def on_unread(self, link: Link, size: int) -> None:
        """Handle how much a broker has sent that was not read yet: its answers wait behind that."""
        self._health.on_unread(link, size)

    def on_unsent(self, link: Link, messages: list[bytes]) -> None:
        """Handle messages that never left, before the end of their link is told by `on_change`."""
        for message in messages:
            if command_of(message) == REQUEST:
                sent = decode(message)
                call = self._calls.get(sent.id)
                if call is not None and call.path is link and call.tag == sent.tag:
                    call.unsent = True

    def on_dropped(self, link: Link, request: bytes, now: float) -> None:
        """Handle a REQUEST that was called back before it had left: no answer to that attempt will come."""
        sent = head_of(request)
        call = self._calls.get(sent.id)
        attempt = (link, link.epoch, sent.tag)
        if call is not None and attempt in call.earlier:
            call.earlier.remove(attempt)
            if call.stage is Stage.LISTENING:
                self._book.fail_if(call, self._failover.listen(call), now)

    def on_change(self, link: Link, change: Change, now: float) -> None:
        """Note that a link changed."""
        if change is Change.GONE and self._unproven is not None:
            self._unproven.on_gone(link)
        if change is Change.DOWN:
            self._passage.on_end(link)
            self.on_unsent(link, link.unsent)
            link.unsent = []
            self._on_path_died(link, now)
        if change is Change.SERVICES:
            self._wait.learn(link.services)
            for call in list(self._awaiting):
                if call.service in link.services:
                    self._book.send(call, now)
        if link.state is LinkState.UP:
            for call in list(self._parked):
                self._book.send(call, now)
        elif self._parked and self._links.refused:
            why, key_refused = self._links.diagnosis(), self._links.key_refused
            for call in list(self._parked):
                self._book.fail(call, endings.refused(call, why, key_refused=key_refused), now)

    def on_stall(self, stalled_s: float, now: float) -> None:
        """Note that this process has stood still for a time: what it has not heard meanwhile is nobody's silence."""
        for call in self._calls.values():
            if call.stage is Stage.SENT:
                call.heard_at = min(now, call.heard_at + stalled_s)
        self._review_at = now + MUTE_S  # nor is it a sign of paths that answer nothing

    def on_timer(self, now: float) -> None:
        """Do what is due. What has come before must have been taken in."""
        if now >= self._review_at:
            self._review_at = now + REVIEW_S
            for call in self._health.review(now):
                self._book.fail_if(call, self._failover.on_mute(call, now), now)
        due = self._timers.take_due(now)
        for at, call in enumerate(due):
            if call.id in self._calls:  # else it ended when another one gave it a place
                try:
                    self._on_due(call, now)
                except Exception:
                    self._look_again(due[at:], now)
                    raise

    def _on_due(self, call: Call, now: float) -> None:
        if now >= call.deadline:
            self._book.on_deadline(call, now)
        elif call.stage is Stage.PAUSED:
            self._book.fail_if(call, self._failover.on_paused(call, now), now)
        elif call.stage is Stage.AWAITING:
            self._book.send(call, now)
        elif call.stage is Stage.SENT and now >= call.heard_at + self._exchange_s:
            self._book.fail_if(call, self._failover.on_silence(call, now), now)
        else:
            self._waits.set_timer(call)

    def _look_again(self, calls: list[Call], now: float) -> None:
        """The first of some calls that were due could not be looked after: it waits a while, and the others do not."""
        at = now + FAULT_PAUSE_S
        for call in calls:
            if call.id in self._calls:
                self._timers.cancel(call, call.timer)
                call.timer = self._timers.add(call, at)
            at = now

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        calls = self._calls
        self._book.validate_state()
        self._waits.validate_state(calls.values())
        sent = {call for call in calls.values() if call.stage is Stage.SENT}
        self._wait.validate_state()
        self._choice.validate_state()
        if self._unproven is not None:
            self._unproven.validate_state()
        assert sent == {call for link in self._links.links.values() for call in link.calls}
        assert len({call.tag for call in sent}) == len(sent)
        self._budget.validate_state()
        self._reroutes.validate_state()

    # -- inner

    def _on_reply(self, call: Call, link: Link, answer: Envelope, current: bool, now: float) -> None:
        if current:
            self._attempts.on_reply(call, link, answer.time_ms / 1000.0, now)
        self._health.on_reply(call, link, now, current=current)
        if self._reroutes.tokens < REROUTES_MAX:
            self._reroutes.on_reply(retried=call.sends > 1)
        if call.earlier:
            self._attempts.call_back(call, now, but=(link, link.epoch, answer.tag))
        service, sender = call.service.decode(), answer.sender.decode("ascii", "replace")
        how = _ANSWERED if current else _WITHDRAWN
        if answer.code == _RESULT:
            reply = Reply(
                answer.payload,
                sender,
                self._own_name,
                service,
                reply_id(call.id),
                call.id,
                call.flagged or bool(answer.flags & _DUPLICATE),
                answer.retry_count,
                link.name,
            )
            self._book.results.append((call.id, reply))
            self._book.end(call, reply, now, how)
            return
        try:
            failure = decode_failure(answer.payload)
        except ProtocolError as error:  # what its worker has written, and no broker reads
            self._links.events.add(ErrorMalformed(sender, service, str(error)))
            self._book.fail(call, ServiceError("INTERNAL", f"{sender} answered with a malformed error"), now, how)
            return
        self._book.fail(call, endings.handler_failed(failure, sender), now, how)

    def _on_path_died(self, link: Link, now: float) -> None:
        calls = list(link.calls)
        spread_s = self._failover.spread_s(len(calls))
        for call in calls:
            self._book.fail_if(call, self._failover.on_path_died(call, link, spread_s, now), now)
        for call in list(self._calls.values()):
            if call.stage is Stage.LISTENING:
                self._book.fail_if(call, self._failover.listen(call), now)
