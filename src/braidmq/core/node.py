"""A node: its links to the brokers, and the client and the worker that share them.

The shell opens and closes sockets as `take_actions` says and tells the result by `on_connected` and
`on_failed`; it hands in frames by `on_frame`; after any input it sends what `take_sends` returns, runs
`take_jobs`, and completes the calls of `take_results`. It calls `on_timer` no later than `next_deadline`.
"""

import random
from collections.abc import Callable
from typing import Final

from braidmq.core.client import ClientCore
from braidmq.core.containment import Containment, shape_of
from braidmq.core.events.event import Event
from braidmq.core.ids import derived
from braidmq.core.intake import TURN_MESSAGES_MAX, Intake
from braidmq.core.link import Action, BrokerAddress, Change, Failure, Link, LinkState, Verify
from braidmq.core.links import Links
from braidmq.core.proofs import Checker, Keyring, Prover
from braidmq.core.selection import Selection
from braidmq.core.worker import WorkerCore
from braidmq.errors import ConfigError
from braidmq.members import Member
from braidmq.observer import NodeObserver
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import (
    CANCEL,
    INSTANCE_BYTES,
    LOST,
    MAJOR,
    REJECT,
    REPLY,
    REQUEST,
    WORKING,
    Command,
)
from braidmq.wire.gossip import Paths

_FROM_BROKERS: Final = frozenset(
    int(each)
    for each in (
        Command.WELCOME, Command.HEARTBEAT, Command.PEERS, Command.GOODBYE, Command.REPORT, Command.SERVICES,
        Command.DEMAND, Command.PATHS,
    )
)  # fmt: skip
"""The control messages that a broker has for a node. Others are none of its business, and are not even read."""


class NodeCore:
    """See the module.

    Args:
        secret: random bytes that nobody else knows or can foresee (core/ids.py).

    Attributes:
        selection: which brokers it is connected to.
        client: begins and ends calls.
        worker: runs requests.
        reports: what observed brokers answered, by name.
        containment: the errors of our own that were met in this node.

    Args:
        keyring: what it proves its replies with, and checks those of others, if `authenticate_replies` says so.
        observer: is told what happens to calls and jobs.

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
    ) -> None:
        name = member.name
        checks = settings.authenticate_replies == "always"
        if checks and keyring is None:
            raise ConfigError("authenticate_replies='always' needs the keys of the node")
        checker = Checker(keyring, name) if checks and keyring is not None else None
        prover = None if keyring is None else Prover(keyring, name)
        instance = derived(secret, b"instance", INSTANCE_BYTES)
        self.links = Links(settings, rng, verify, own_name=name, software=software, now=now, instance=instance)
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
        self.reports: dict[str, control.Report] = {}
        self.containment = Containment(self.links.events)
        self._intake: Intake[Link] = Intake()
        self._draining = False

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

    # -- commands

    def learn(self, address: BrokerAddress, now: float) -> None:
        """Handle a broker that is configured."""
        self.links.learn(address, now, configured=True)

    def remember(self, certificate: bytes, now: float) -> None:
        """Handle a broker that was known to an earlier run of this node."""
        self.links.learn_certificate(certificate, now)

    @property
    def known(self) -> tuple[bytes, ...]:
        """The certificates of the brokers that are known now; `links.known_version` tells when they change."""
        return tuple(link.address.certificate for link in self.links.links.values())

    def observe(self, now: float) -> list[Link]:
        """Ask every broker that is up for its report, and return these; the answers come into `reports`."""
        self.reports.clear()
        asked = [link for link in self.links.links.values() if link.open]
        for link in asked:
            link.asked_report = True
            self.links.send_control(link, control.Status(), now)
        return asked

    def drain(self, now: float) -> None:
        """Take no new requests, and tell every broker."""
        self._draining = True
        self.links.events.sum_up()
        self.worker.drain()
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

    def on_connected(self, name: str, now: float) -> None:
        """Note that the transport's handshake with a broker is complete."""
        self.links.on_connected(name, now)

    def on_failed(self, name: str, failure: Failure, unsent: list[bytes], now: float) -> None:
        """Note that a connection failed or ended, and which messages never left."""
        if self._intake.since is not None:
            self._read_on(now)  # there may be an answer in it
        self.client.on_unsent(self.links.links[name], unsent)
        self.links.on_failed(name, failure, now)
        self._pass_changes(now)

    def on_frame(self, name: str, frame: bytes, now: float) -> None:
        """Handle a frame from a broker."""
        link = self.links.links[name]
        self.links.on_heard(link, now)
        inlet = link.inlet
        messages, intact = self._intake.offer(inlet, link, frame, now)
        self._read(link, messages, intact, now)
        if not messages and inlet.overflowed:
            self.links.give_up(link, Failure.FLOODED, now)
            self._pass_changes(now)

    def on_unread(self, name: str, size: int) -> None:
        """Handle how many bytes have come from a broker that the shell has not handed in yet."""
        self.client.on_unread(self.links.links[name], size)

    def on_timer(self, now: float) -> None:
        """Do what is due. What has come before must have been taken in."""
        if self._intake.since is not None:
            self._read_on(now)
        self._try(self._select, now)
        self._try(self.links.on_timer, now)
        self._try(self._pass_changes, now)
        if self.links.stalled_s:
            self.client.on_stall(self.links.stalled_s, now)
        self._try(self.client.on_timer, now)
        self._try(self.worker.on_timer, now)
        self._try(self._pass_changes, now)

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

    def _read(self, link: Link, messages: list[bytes], intact: bool, now: float) -> None:
        """Handle messages that stood in one frame, one behind the other."""
        message = b""
        try:
            if messages:
                written = messages[0][8:12]
                age_s = link.staleness.age_s(int.from_bytes(written), now)
                for message in messages:
                    if message[8:12] != written:  # it was added to what waited for a full pipe
                        written = message[8:12]
                        age_s = link.staleness.age_s(int.from_bytes(written), now)
                    self._on_message(link, message, age_s, now)
            if not intact:
                self.links.on_malformed(link, "a frame that is no bundle")
            self._pass_changes(now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            what = f"a message ({shape_of(message)}) of {link.name} could not be handled"
            self.containment.note(error, f"{what}, and the connection to it ends")
            self.links.give_up(link, Failure.FAULT, now)
            self._try(self._pass_changes, now)

    def _read_on(self, now: float) -> None:
        """Handle what waits of the frames that have come, as much as may be done in one turn."""
        left = TURN_MESSAGES_MAX
        while left > 0 and (portion := self._intake.take()) is not None:
            _, link, messages, intact = portion
            left -= len(messages) or 1
            self._read(link, messages, intact, now)

    def _on_message(self, link: Link, message: bytes, age_s: float, now: float) -> None:
        command = message[5]
        if message[4] >> 4 != MAJOR:
            self.links.on_malformed(link, f"a message of major version {message[4] >> 4}")
        elif command in (REPLY, WORKING, REJECT, LOST):
            self.client.on_answer(link, message, now)
        elif command == REQUEST:
            self.worker.on_request(link, message, age_s, now)
        elif command == CANCEL:
            self.worker.on_cancel(link, message, now)
        elif command in _FROM_BROKERS:
            received = self.links.on_control(link, message, now)
            if isinstance(received, control.Demand):
                self.worker.on_demand(link, received, now)
            elif isinstance(received, control.Report):
                self.reports[link.name] = received
            elif isinstance(received, Paths):
                self.selection.on_paths(received, now)

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
                if self._draining and change is Change.UP and link.open:
                    self.links.send_control(link, control.Goodbye("draining"), now)
