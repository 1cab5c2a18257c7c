"""A node: its links to the brokers, and the client and the worker that share them."""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from braidmq.core.client.client import ClientCore
from braidmq.core.events.event import Event
from braidmq.core.ids import derived
from braidmq.core.intake import Intake
from braidmq.core.links.link import Action, BrokerAddress, Change, Failure, Link, LinkState, Verify
from braidmq.core.links.links import Links
from braidmq.core.links.papers import Papers
from braidmq.core.node.operating import Operating
from braidmq.core.node.own_certificate import OwnCertificate
from braidmq.core.node.own_end import OwnEnd
from braidmq.core.node.publishing import Publishing
from braidmq.core.node.reading import Reading
from braidmq.core.node.selection import Selection
from braidmq.core.proofs import Checker, Keyring, Prover
from braidmq.core.registry.ledger import Edition
from braidmq.core.worker.job import Job
from braidmq.core.worker.worker import WorkerCore
from braidmq.errors import BraidError, ConfigError, ServiceError
from braidmq.members import Member
from braidmq.messages import Reply
from braidmq.observer import NodeObserver
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.bundle import COMMON_BYTES
from braidmq.wire.control import Bridging, Demand, Report
from braidmq.wire.envelope import SENT_AT, SENT_END
from braidmq.wire.extension import INSTANCE_BYTES
from braidmq.wire.gossip import Paths
from braidmq.wire.kinds import by_number
from braidmq.wire.operation import Operated, Withheld


class NodeCore:
    """A node, without I/O and clock; whoever owns those serves it in the order of turn/node.py.

    Each broker is known by its *name*. `take_actions` says what to look up, open and close; `on_resolved`,
    `on_reached`, `on_connected`, `on_failed`, `on_frame` and `on_unread` what comes of it; `take_sends` what is due to
    it. Whoever calls says `request` or `give_up`, and gets the ends of calls from `take_results`. Whoever runs handlers
    gets jobs from `take_jobs`, asks `begin` before the handler, tells the end by `finish`, `decline` or `disown`, or by
    `refuse` or `give_back` if it has not begun, and stops what `take_cancels` returns. `on_timer` is due no later than
    `next_deadline`.

    Args:
        secret: random bytes that nobody else knows or can foresee (core/ids.py).

    Attributes:
        selection: which brokers it is connected to.
        client: begins and ends calls.
        worker: runs requests.
        reports: what observed brokers answered, by name.
        containment: the errors of our own that were met in this node.
        publishing: hands a registry to the brokers, if that was asked for.
        resting: whether `rest` is to be called at the end of each turn, and not only of those in which time has passed.
        operating: what it asks brokers to do.

    Args:
        keyring: what it proves its replies with, and checks those of others, if `authenticate_replies` says so.
        observer: is told what happens to calls and jobs.
        papers: its own certificate and its list of brokers; None if those never change.

    Raises:
        ConfigError: proofs are asked for, and there is no keyring.
    """

    def __init__(
        self,
        member: Member,
        settings: Settings,
        rng: random.Random,
        verify: Verify,
        *,
        secret: bytes,
        software: str,
        now: float,
        keyring: Keyring | None = None,
        observer: NodeObserver | None = None,
        papers: Papers | None = None,
    ) -> None:
        name = member.name
        checks = settings.authenticate_replies == "always"
        if checks and keyring is None:
            raise ConfigError("authenticate_replies='always' needs the keys of the node")
        checker = Checker(keyring, name) if checks and keyring is not None else None
        prover = None if keyring is None else Prover(keyring, name)
        instance = derived(secret, b"instance", INSTANCE_BYTES)
        self.links = Links(settings, rng, verify, software=software, now=now, instance=instance, papers=papers)
        self.selection = Selection(name, settings, rng, self.links)
        self.client = ClientCore(
            settings,
            rng,
            self.links,
            self.selection,
            member=member,
            secret=secret,
            now=now,
            checker=checker,
            observer=observer,
        )
        self.worker = WorkerCore(
            settings, self.links, now, secret=secret, instance=instance, prover=prover, observer=observer
        )
        self.reports: dict[str, Report] = {}
        self.containment = self.links.containment
        self._intake: Intake[Link] = Intake(weighs=False)
        operating = self.operating = Operating(self.links)
        handlers: dict[int, Callable[[Link, Any, float], None]] = by_number(
            {
                Demand: self._on_demand,
                Report: self._on_report,
                Paths: self._on_paths,
                Operated: operating.on_operated,
                Withheld: operating.on_withheld,
            }
        )
        self._own: OwnCertificate | None = None
        if papers is not None:
            own = self._own = OwnCertificate(
                member, keyring, papers, links=self.links, client=self.client, worker=self.worker
            )
            self.links.hand_certificates_to(own.on_certificate)
        self._reading = Reading(
            self.links,
            self.client,
            self.worker,
            handlers,
            intake=self._intake,
            settle=self._pass_changes,
            contained=self._settle_contained,
        )
        self._own_end = None if papers is None else OwnEnd(papers, self.links.events, observer)
        self.publishing: Publishing | None = None
        self._bridging: Bridging | None = None
        self._draining = False
        self.resting = False

    # -- outputs

    def take_actions(self) -> list[Action]:
        """Return the addresses to look up and the sockets to open and close, in order."""
        return self.links.take_actions()

    def take_sends(self) -> dict[str, list[bytes]]:
        """Return the messages that are due to each broker, in order."""
        return self.links.take_sends()

    def take_events(self) -> list[Event]:
        """Return what is worth a line in the log."""
        return self.links.events.take()

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        due = self.links.next_deadline()
        for other in (self.client.next_deadline(), self.worker.next_deadline()):
            if other is not None and other < due:
                due = other
        since = self._intake.since
        return due if since is None or since > due else since

    @property
    def handled(self) -> int:
        """How many messages it has handled so far."""
        return self._intake.handled

    @property
    def idle(self) -> bool:
        """Whether this draining node has nothing left to do: no call, no job, no request on its way to it.

        Requests may be on their way until each broker that is heard has noted the drain.
        """
        if len(self.client) or len(self.worker):
            return False
        return not self.worker.offers or all(
            link.noted for link in self.links.links.values() if link.state in (LinkState.UP, LinkState.DRAINING)
        )

    # -- calls: see ClientCore

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
        """Begin a call; return its id. Raises what ClientCore.request raises."""
        return self.client.request(
            service, payload, now, timeout_s, attempts, via, metadata, wait, nested, id_, possible_duplicate
        )

    def give_up(self, id_: bytes, now: float) -> None:
        """Note that nobody waits for the end of a call any more."""
        self.client.cancel(id_, now)

    def take_results(self) -> list[tuple[bytes, Reply | BraidError]]:
        """Return the calls that have ended, each with its reply or its error, and forget them."""
        return self.client.take_results()

    @property
    def calls(self) -> int:
        """How many calls have not ended."""
        return len(self.client)

    # -- jobs: see WorkerCore

    def offer(self, service: str, concurrency: int, now: float | None = None) -> None:
        """Provide a service from now on. Raises ConfigError."""
        self.worker.offer(service, concurrency, now)

    def resize(self, service: str, concurrency: int, now: float) -> None:
        """Let so many requests of a service run at once from now on. Raises ConfigError."""
        self.worker.resize(service, concurrency, now)

    def withdraw(self, service: str, now: float) -> list[Job]:
        """Provide a service no more; return what has begun, which goes on. Raises ConfigError."""
        return self.worker.withdraw(service, now)

    def take_jobs(self) -> list[Job]:
        """Return the jobs to run now, and forget them."""
        return self.worker.take_jobs()

    def take_cancels(self) -> list[Job]:
        """Return the jobs to stop, as nobody waits for them, and forget them."""
        return self.worker.take_cancels()

    def must_look(self, job: Job, now: float) -> bool:
        """Whether what has come over the link of a job is to be read before it may `begin`."""
        return self.worker.must_look(job, now)

    def begin(self, job: Job, now: float) -> bool:
        """Whether the handler of a job may begin now; if not, the job has ended."""
        return self.worker.begin(job, now)

    def decline(self, job: Job, now: float) -> None:
        """Take the end of a job whose handler says that it has done nothing."""
        self.worker.on_not_run(job, now)

    def disown(self, job: Job, now: float) -> None:
        """Take the end of a job whose handler does not know what became of it."""
        self.worker.on_unknown(job, now)

    def finish(self, job: Job, outcome: bytes | ServiceError | None, now: float) -> None:
        """Take the end of a job: its result, its error, or None if it was stopped."""
        self.worker.on_done(job, outcome, now)

    def refuse(self, job: Job, now: float) -> None:
        """Take the end of a job whose deadline was over before its handler could begin."""
        self.worker.on_late(job, now)

    def give_back(self, job: Job, now: float) -> None:
        """Take the end of a job that cannot be run here."""
        self.worker.on_unable(job, now)

    @property
    def jobs(self) -> int:
        """How many jobs have not ended."""
        return len(self.worker)

    # -- how it stands

    @property
    def brokers(self) -> Mapping[str, Link]:
        """The brokers that are known, and how the connection to each stands. To be read only."""
        return self.links.links

    @property
    def refused(self) -> bool:
        """Whether no broker that this node tries to connect to can ever let it in, as all of them have said."""
        return self.links.refused

    @property
    def key_refused(self) -> bool:
        """Whether some broker has said that this node's key is none of the net's."""
        return self.links.key_refused

    def diagnosis(self) -> str:
        """Return why no broker can be reached, in one line."""
        return self.links.diagnosis()

    @property
    def stalled_s(self) -> float:
        """For how long this process has stood still before the newest `on_timer`; 0.0 if it has not."""
        return self.links.stalled_s

    @property
    def draining(self) -> bool:
        """Whether it takes no new requests."""
        return self._draining

    # -- commands

    def learn(self, address: BrokerAddress, now: float) -> None:
        """Handle a broker that is configured."""
        self.links.learn(address, now, configured=True)

    @property
    def known(self) -> tuple[bytes, ...]:
        """The certificates of the brokers that are known now; `links.known_version` tells when they change."""
        return tuple(link.address.certificate for link in self.links.links.values())

    def observe(self, now: float, claimed: Iterable[str] = ()) -> list[Link]:
        """Ask every broker that is up for its report, and who claims some names by a token (up to CLAIMS_ASKED_MAX).

        It returns these brokers; the answers come into `reports`.
        """
        status = control.Status(list(claimed))
        self.reports.clear()
        asked = [link for link in self.links.links.values() if link.open]
        for link in asked:
            link.asked_report = True
            self.links.send_control(link, status, now)
        return asked

    def publish(self, edition: Edition, now: float) -> Publishing:
        """Hand a registry to every broker that is up now, or comes up later; whoever returns it has the answers."""
        publishing = self.publishing = Publishing(edition, self.links)
        self._reading.handlers.update(publishing.handlers)
        for link in self.links.links.values():
            if link.open:
                publishing.tell(link, now)
        return publishing

    def tell_of_bridge(self, told: Bridging, now: float) -> None:
        """Tell all brokers, now and as they come up, what this node is as a bridge."""
        self._bridging = told
        for link in self.links.links.values():
            if link.open:
                self.links.send_control(link, told, now)

    def change_keyring(self, keyring: Keyring) -> None:
        """Go by the newest certificate in the papers from now on, and prove and check replies with these keys."""
        if self._own is not None:
            self._own.follow(keyring)

    def renew(self) -> None:
        """Connect anew to every broker, one after the other: this node has another key."""
        self.selection.renew()

    def drain(self, now: float) -> None:
        """Take no new requests, and tell every broker."""
        self._draining = True
        self.links.events.sum_up()
        self.worker.drain(now)
        for link in self.links.links.values():
            if link.open:
                self.links.send_control(link, control.Goodbye("draining"), now)

    # -- inputs

    def on_resolved(self, name: str, addresses: list[str], now: float) -> None:
        """Handle the addresses behind a broker's endpoints."""
        self.links.on_resolved(name, addresses, now)
        self._pass_changes(now)

    def on_reached(self, name: str) -> None:
        """Note that something takes connections at a broker's address."""
        self.links.on_reached(name)

    def on_hung(self, name: str) -> None:
        """Note that a broker's host takes what is sent, although the broker was given up for its silence."""
        self.links.on_hung(name)

    def on_connected(self, name: str, now: float) -> None:
        """Note that the transport's handshake with a broker is complete."""
        self.links.on_connected(name, now)

    def on_failed(self, name: str, failure: Failure, unsent: list[bytes], now: float) -> None:
        """Note that a connection failed or ended, and which messages never left."""
        if self._intake.since is not None:
            self._reading.read_on(now)  # there may be an answer in it
        self.client.on_unsent(self.links.links[name], unsent)
        self.links.on_failed(name, failure, now)
        self._pass_changes(now)

    def on_dropped(self, name: str, request: bytes, now: float) -> None:
        """Note that a REQUEST was dropped before it had left, as this node has cancelled it."""
        self.client.on_dropped(self.links.links[name], request, now)

    def on_frame(self, name: str, frame: bytes, now: float) -> None:
        """Handle a frame from a broker."""
        link = self.links.links[name]
        self.links.on_heard(link, now)
        inlet = link.inlet
        messages, intact = self._intake.offer(inlet, link, frame, now)
        self._reading.read(link, messages, intact, now)
        if not messages and inlet.overflowed:
            self.links.give_up(link, Failure.FLOODED, now)
            self._pass_changes(now)

    def on_latest(self, name: str, frame: bytes, now: float) -> None:
        """Note the last one of several frames that have come from a broker at one moment; none is handled yet.

        It was sent last, so it shows best for how long the others have waited.
        """
        if len(frame) >= COMMON_BYTES:
            self.links.links[name].staleness.age_s(int.from_bytes(frame[SENT_AT:SENT_END]), now)

    def on_unread(self, name: str, size: int) -> None:
        """Handle how many bytes have come from a broker that the shell has not handed in yet."""
        self.client.on_unread(self.links.links[name], size)

    def on_clock(self, unix_s: float, now: float) -> None:
        """Note what time it is on this machine, now and then: what ends is told."""
        if self._own_end is not None:
            self._own_end.look(self.links.links.values(), unix_s, now)

    def on_timer(self, now: float) -> None:
        """Do what is due. What has come before must have been taken in."""
        self.resting = False
        if self._intake.since is not None:
            self._reading.read_on(now)
        self._try(self._select, now)
        self._try(self.links.on_timer, now)
        self._try(self._pass_changes, now)
        if self.links.stalled_s:
            self.client.on_stall(self.links.stalled_s, now)
        self._try(self.client.on_timer, now)
        self._try(self.worker.on_timer, now)
        self._try(self._pass_changes, now)

    def rest(self, now: float) -> None:
        """Let `on_timer` be due only when it has something to do, as long as no call and no job is under way.

        It is called again at the end of each turn while this node is `resting`, so that whatever comes ends that.
        """
        if len(self.client) or len(self.worker):
            self.resting = False
            self.links.rouse(now)
        elif not (self.resting and self.links.are_at_rest):
            self.resting = self.links.rest(self.selection.review_at, now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        self.links.validate_state()
        self.selection.validate_state()
        self.client.validate_state()
        self.worker.validate_state()
        self._intake.validate_state([link.inlet for link in self.links.links.values()])
        assert not self.containment.count, "nothing that a broker sends is an error of our own"
        assert not any(link.inlet.frames for link in self.links.links.values() if link.state is LinkState.WAITING)
        assert self._draining == self.worker.draining
        assert self.reports.keys() <= self.links.links.keys()

    # -- inner

    def _try(self, step: Callable[[float], object], now: float) -> None:
        """Take a step that concerns no single broker."""
        try:
            step(now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self.containment.note(error, "a step of this node failed, and it goes on without")

    def _select(self, now: float) -> None:
        self.selection.on_timer(self.client, self.worker, now)
        self._pass_changes(now)

    def _settle_contained(self, now: float) -> None:
        self._try(self._pass_changes, now)

    def _on_demand(self, link: Link, demand: Demand, now: float) -> None:
        self.worker.on_demand(link, demand, now)

    def _on_report(self, link: Link, report: Report, _now: float) -> None:
        self.reports[link.name] = report

    def _on_paths(self, _link: Link, paths: Paths, now: float) -> None:
        self.selection.on_paths(paths, now)

    def _pass_changes(self, now: float) -> None:
        """Tell the client and the worker what happened to links, until nothing more follows from it."""
        while changes := self.links.take_changes():
            for link, change in changes:
                if not link.open:
                    self._intake.drop(link.inlet)
                self.client.on_change(link, change, now)
                if change is Change.GONE:
                    self.worker.on_gone(link)
                    self.reports.pop(link.name, None)
                elif change.about_credit:
                    self.worker.on_change(now)
                if self.publishing is not None and change is Change.UP and link.open:
                    self.publishing.tell(link, now)
                if self._bridging is not None and change is Change.UP and link.open:
                    self.links.send_control(link, self._bridging, now)
                if self._draining and change is Change.UP and link.open:
                    self.links.send_control(link, control.Goodbye("draining"), now)
