"""Malamute workers that serve callers of the net: what they offer, and which requests they have."""

import random
import re
from collections import OrderedDict
from enum import Enum, auto
from typing import Final

import msgspec

from braidmq.bridges.bodies import to_body, to_payload
from braidmq.bridges.limits import HELD_PER_PEER_MAX
from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.limits import OFFERS_MAX, OFFERS_PER_PEER_MAX
from braidmq.bridges.malamute.options import MalamuteOptions, ServiceOptions
from braidmq.bridges.malamute.patterns import Pattern
from braidmq.bridges.malamute.sessions import Session, Sessions
from braidmq.bridges.port import Finish, Job, Offer, Output, Rights, Unfinished, Withdraw
from braidmq.errors import ServiceError
from braidmq.members import ECHO_SERVICE, is_service

POSSIBLE_DUPLICATE: Final = "POSSIBLE_DUPLICATE"
"""The code of a request that may have been run before, and is not delivered to Malamute workers for that."""

TOO_LARGE: Final = "TOO_LARGE"
"""The code of an answer that is larger than the net carries."""

PLACES_MAX: Final = 10_000
"""Requests of one service that all its Malamute workers may have together: as many as a node takes."""

_SUBJECT: Final = "call"
"""The subject of a request without one. An empty subject matches no pattern at Malamute."""

_TOKEN_BITS: Final = 64
_TOKEN: Final = re.compile(rb".+/([0-9a-f]{16})\Z", re.DOTALL)

_Key = tuple[str, str]
"""A member and a service."""


class _Place(Enum):
    """Where a request has gone."""

    WORKER = auto()
    QUEUE = auto()
    NOWHERE = auto()


class _Offer(msgspec.Struct, eq=False):
    """What one program offers under one name.

    Attributes:
        session: the program.
        address: how it calls the service.
        options: of the service.
        patterns: of subjects that it takes, by how it writes them.
        busy: how many requests it has.
    """

    session: Session
    address: bytes
    options: ServiceOptions
    patterns: dict[bytes, Pattern] = {}
    busy: int = 0

    def takes(self, subject: bytes) -> bool:
        return any(pattern.matches(subject) for pattern in self.patterns.values())


class _Service(msgspec.Struct, eq=False):
    """A service, as all programs behind the bridge provide it that act as one member.

    Attributes:
        key: which one.
        offers: of these programs; the one that was used last comes last.
        waiting: requests for which no program has a place, by number.
        told: how many requests at once the net was told.
    """

    key: _Key
    offers: OrderedDict[_Offer, None] = msgspec.field(default_factory=OrderedDict)
    waiting: OrderedDict[int, "_Task"] = msgspec.field(default_factory=OrderedDict)
    told: int = 0


class _Task(msgspec.Struct, eq=False):
    """A request of the net.

    Attributes:
        job: what is to be done.
        service: what was called.
        subject: what Malamute's programs take it by.
        offer: whose program has it; None: it waits.
        token: by which it is answered.
    """

    job: Job
    service: _Service
    subject: bytes
    offer: _Offer | None = None
    token: bytes = b""


def token_of(address: bytes) -> bytes | None:
    """Return the token in the address of an answer; None if it is the address of a mailbox."""
    found = _TOKEN.match(address)
    return None if found is None else found[1]


class Workers:
    """All that Malamute programs offer, and the requests that they have.

    Args:
        options: of the bridge.
        sessions: of the programs.
        outputs: where what is to be done goes.
        counters: see BridgeCore; `offers`, `denied`, `deliveries`, `answers`, `late_answers`, `foreign_answers`, `lost`
            and `not_run` are counted here.
        rights: who may serve what.
        rng: draws tokens. Nobody may foresee them, and those of another bridge, or of this one's past, are others.
        payload_bytes_max: largest answer.
    """

    def __init__(
        self,
        options: MalamuteOptions,
        sessions: Sessions,
        outputs: list[Output],
        counters: dict[str, int],
        rights: Rights,
        *,
        rng: random.Random,
        payload_bytes_max: int,
    ) -> None:
        self._options = options
        self._sessions = sessions
        self._outputs = outputs
        self._counters = counters
        self._rights = rights
        self._rng = rng
        self._bytes_max = payload_bytes_max
        self._services: dict[_Key, _Service] = {}
        self._offers: dict[Session, dict[bytes, tuple[_Service, _Offer]]] = {}
        self._patterns = 0
        self._tasks: dict[int, _Task] = {}
        self._tokens: dict[bytes, _Task] = {}
        self._draining = False

    def __len__(self) -> int:
        """How many requests are here."""
        return len(self._tasks)

    # -- offers

    def on_offer(self, session: Session, message: wire.Message) -> str | None:
        """Note that a program provides a service; return why not. Call `begin` as soon as that is confirmed.

        One that has offered the same already offers it still.
        """
        service = self._options.name_of(message.address)
        own = self._offers.get(session, {})
        found = own.get(message.address)
        if found is not None and message.pattern in found[1].patterns:
            return None
        if not is_service(service) or service == ECHO_SERVICE:
            return f"{service[:50]!r} cannot name a service: give it another name by the bridge's names"
        if not self._rights(session.peer.member).may_serve(service):
            return f"AccessDenied: the bridge may not serve {service}"
        if sum(len(offer.patterns) for _, offer in own.values()) >= OFFERS_PER_PEER_MAX or self._patterns >= OFFERS_MAX:
            return "Overloaded: too much is offered here"
        try:
            pattern = Pattern(message.pattern)
        except ValueError as error:
            return f"the pattern is no regular expression: {error}"
        self._counters["offers"] += 1
        if found is None:
            key = session.peer.member, service
            at = self._services.setdefault(key, _Service(key))
            offer = _Offer(session, message.address, self._options.of(service))
            at.offers[offer] = None
            self._offers.setdefault(session, {})[message.address] = at, offer
        else:
            at, offer = found
        offer.patterns[message.pattern] = pattern
        self._patterns += 1
        return None

    def begin(self, session: Session, message: wire.Message, now: float) -> None:
        """Let a program that has offered a service have requests."""
        found = self._offers.get(session, {}).get(message.address)
        if found is not None:
            self._tell(found[0])
            self._serve_waiting(found[0], now)

    def withdraw(self, session: Session, now: float) -> None:
        """Note that a program is gone: it provides nothing any more, and what it had may have been run."""
        gone = self._offers.pop(session, {})
        for at, offer in gone.values():
            del at.offers[offer]
            self._patterns -= len(offer.patterns)
            self._tell(at)  # before requests go back, lest they come here again
        lost = [task for task in self._tokens.values() if task.offer is not None and task.offer.session is session]
        for task in lost:
            self._counters["lost"] += 1
            self._finish(task, Unfinished.UNKNOWN)
        for at, _ in gone.values():
            self._serve_waiting(at, now)
            self._tidy(at)

    def on_refused(self, member: str, service: str, now: float) -> None:
        """Note that the net refuses a service: no program provides it any more, and what they have goes on."""
        at = self._services.get((member, service))
        if at is None:
            return
        at.told = 0  # it is withdrawn already
        for offer in at.offers:
            self._patterns -= len(offer.patterns)
            own = self._offers[offer.session]
            del own[offer.address]
            if not own:
                del self._offers[offer.session]
        at.offers.clear()
        self._serve_waiting(at, now)
        self._tidy(at)

    def drain(self) -> None:
        """Provide nothing any more; what programs have goes on."""
        self._draining = True
        for at in list(self._services.values()):
            self._tell(at)
            for task in list(at.waiting.values()):
                self._refuse(task)
            self._tidy(at)

    def _tell(self, at: _Service) -> None:
        """Tell the net how many requests of a service may come at once, if that has changed."""
        places = 0 if self._draining else min(sum(offer.options.concurrency for offer in at.offers), PLACES_MAX)
        member, service = at.key
        if places != at.told:
            at.told = places
            self._outputs.append(Offer(member, service, places) if places else Withdraw(member, service))

    def _tidy(self, at: _Service) -> None:
        """Forget a service that nobody provides."""
        if not at.offers:
            self._services.pop(at.key, None)

    # -- requests

    def on_job(self, job: Job, now: float) -> None:
        """Bring a request to a worker, or keep it until one has a place."""
        at = self._services.get((job.member, job.request.service))
        if at is None or self._draining:
            self._counters["not_run"] += 1
            self._outputs.append(Finish(job.number, Unfinished.NOT_RUN))
            return
        subject = wire.cut(job.request.headers.get("subject", "")) or _SUBJECT.encode()
        task = self._tasks[job.number] = _Task(job, at, subject)
        options = self._options.of(job.request.service)
        if job.request.possible_duplicate and options.duplicates == "refuse":
            text = "it may have been run before, and a Malamute worker cannot be told so"
            self._finish(task, ServiceError(POSSIBLE_DUPLICATE, text))
            return
        body = to_body(job.request.payload, options.frames)
        if isinstance(body, ServiceError):
            self._finish(task, body)
            return
        self._admit(task, now)

    def on_job_dropped(self, number: int, now: float) -> None:
        """Forget a request for whose answer nobody waits: its worker cannot be told, and has a place for another."""
        task = self._tasks.get(number)
        if task is not None:
            self._release(task)
            self._serve_waiting(task.service, now)

    def on_answer(self, session: Session, token: bytes, message: wire.Message, now: float) -> None:
        """Take an answer of a worker. Only the program that has the request may give it, once."""
        task = self._tokens.get(token)
        if task is None or task.offer is None:
            self._counters["late_answers"] += 1
            return
        if task.offer.session is not session:
            self._counters["foreign_answers"] += 1
            return
        self._counters["answers"] += 1
        payload = to_payload(message.content, task.offer.options.frames)
        if isinstance(payload, bytes) and len(payload) > self._bytes_max:
            payload = ServiceError(TOO_LARGE, f"an answer of {len(payload)} bytes exceeds {self._bytes_max}")
        self._finish(task, payload)
        self._serve_waiting(task.service, now)

    def on_unsent(self, token: bytes, now: float) -> None:
        """Note that a worker has certainly not got a request: another one may, or it goes back as not run."""
        task = self._tokens.pop(token, None)
        if task is not None:
            assert task.offer is not None
            task.offer.session.deaf = True
            task.offer.busy -= 1
            task.offer = None
            self._admit(task, now)

    def _admit(self, task: _Task, now: float) -> None:
        """Bring a request to a worker, let it wait for one, or send it back."""
        waiting = task.service.waiting
        where = self._place(task, now)  # none that waits is passed over: it would have this place already
        if where is _Place.NOWHERE or (where is _Place.QUEUE and len(waiting) >= HELD_PER_PEER_MAX):
            self._refuse(task)
        elif where is _Place.QUEUE:
            waiting[task.job.number] = task

    def _place(self, task: _Task, now: float) -> _Place:
        """Bring a request to the worker that had none for the longest time, of those that take it and have a place."""
        matched = False
        for offer in task.service.offers:
            if not offer.session.deaf and offer.takes(task.subject):
                matched = True
                if offer.busy < offer.options.concurrency:
                    self._deliver(task, offer, now)
                    return _Place.WORKER
        return _Place.QUEUE if matched else _Place.NOWHERE

    def _deliver(self, task: _Task, offer: _Offer, now: float) -> None:
        request = task.job.request
        body = to_body(request.payload, offer.options.frames)
        assert not isinstance(body, ServiceError)
        token = self._draw()
        task.offer, task.token = offer, token
        self._tokens[token] = task
        offer.busy += 1
        task.service.offers.move_to_end(offer)
        self._counters["deliveries"] += 1
        sender = request.sender.encode() + b"/" + token
        told = request.headers.get("tracker", "").encode(errors="replace")
        tracker = told if 0 < len(told) <= wire.TEXT_BYTES_MAX else token
        message = wire.delivery(sender, offer.address, task.subject, tracker, body)
        self._sessions.deliver(offer.session, wire.frames_of(message), now)

    def _draw(self) -> bytes:
        while True:
            token = f"{self._rng.getrandbits(_TOKEN_BITS):016x}".encode()
            if token not in self._tokens:
                return token

    def _serve_waiting(self, at: _Service, now: float) -> None:
        """Bring requests that wait to workers which have a place, and send back those that none takes any more."""
        for task in list(at.waiting.values()):
            where = self._place(task, now)
            if where is _Place.WORKER:
                del at.waiting[task.job.number]
            elif where is _Place.NOWHERE:
                self._refuse(task)

    def _refuse(self, task: _Task) -> None:
        self._counters["not_run"] += 1
        self._finish(task, Unfinished.NOT_RUN)

    def _finish(self, task: _Task, outcome: bytes | ServiceError | Unfinished) -> None:
        self._release(task)
        self._outputs.append(Finish(task.job.number, outcome))

    def _release(self, task: _Task) -> None:
        """Forget a request, which has a place at a worker, or waits."""
        del self._tasks[task.job.number]
        task.service.waiting.pop(task.job.number, None)
        if task.offer is not None:
            task.offer.busy -= 1
            del self._tokens[task.token]

    def validate_state(self) -> None:
        """Assert that the tables agree. For tests."""
        offers = [(at, offer) for own in self._offers.values() for at, offer in own.values()]
        assert {offer for _, offer in offers} == {each for at in self._services.values() for each in at.offers}
        assert self._patterns == sum(len(offer.patterns) for _, offer in offers) <= OFFERS_MAX
        placed = [task for task in self._tasks.values() if task.offer is not None]
        assert {task.token: task for task in placed} == self._tokens
        for at, offer in offers:
            assert self._services[at.key] is at
            assert offer.session.opened
            assert 0 <= offer.busy <= offer.options.concurrency
        for task in placed:
            assert task.offer is not None
            assert task.offer.session.opened
            assert task.offer.busy == sum(each.offer is task.offer for each in placed)
        for at in self._services.values():
            assert at.offers
            assert len(at.waiting) <= HELD_PER_PEER_MAX
            assert all(self._tasks[number] is task and task.offer is None for number, task in at.waiting.items())
            assert bool(at.told) == (bool(at.offers) and not self._draining)
        assert len(self._tasks) == len(placed) + sum(len(at.waiting) for at in self._services.values())
