"""What happened to every request, as its client, the brokers and the workers saw it.

The simulator and the fault matrix on real processes fill the same record, so that the same checkers judge both. All
times are seconds on one clock. A request is known by the key that its payload begins with (see payload.py), unique in
the record, and from its first passage on by its id as well.
"""

from collections import defaultdict
from typing import Literal

import msgspec

from braidmq.wire.envelope import REQUEST

Disclaimer = Literal["", "not run", "unknown"]
"""What a handler says instead of an answer: that it has done nothing, or does not know whether it has."""


class Reply(msgspec.Struct, gc=False, tag=True):
    """A reply as its caller saw it.

    Attributes:
        key: of the request that its payload answers; empty if it answers none.
        sender: the worker that it names.
        original_id: the request that it names.
    """

    key: str
    sender: str
    original_id: bytes
    possible_duplicate: bool
    retry_count: int
    broker: str = ""


class Error(msgspec.Struct, gc=False, tag=True):
    """A typed error as its caller saw it; `kind` is the name of its class, or of the handler's error code."""

    kind: str
    attempts: int
    maybe_executed: bool
    text: str = ""
    id: bytes = b""


class Call(msgspec.Struct):
    """A request as its caller saw it.

    Attributes:
        ends: its outcomes with their times; there must be exactly one, unless its caller gave it up.
        given_up_at: when its caller cancelled it, or died.
        must_succeed: whether it began when nothing was wrong any more.
        life: counts the client's processes: a new one has a new budget.
        repeats: how many earlier requests it repeats, by its caller's word.
    """

    key: str
    client: str
    started: float
    deadline: float
    attempts_max: int
    id: bytes = b""
    ends: list[tuple[float, Reply | Error]] = []
    given_up_at: float | None = None
    must_succeed: bool = False
    life: int = 0
    repeats: int = 0

    @property
    def outcome(self) -> Reply | Error | None:
        """Its first end."""
        return self.ends[0][1] if self.ends else None


class Execution(msgspec.Struct, gc=False):
    """A request as a worker's handler saw it.

    Attributes:
        life: counts the worker's processes: a new one remembers nothing.
        client: who sent it, as the handler is told; empty if that is not recorded.
        unseen_s: what every frame on its way took at least in these sessions, which nobody can see as a delay.
        ended: when the handler ended, or its process; None if it goes on, or if that is not recorded.
        answered: whether the handler ended with an answer.
        disclaimer: what it said instead.
    """

    key: str
    worker: str
    id: bytes
    started: float
    possible_duplicate: bool
    retry_count: int
    life: int = 0
    client: str = ""
    unseen_s: float = 0.0
    ended: float | None = None
    answered: bool = False
    disclaimer: Disclaimer = ""


class Passage(msgspec.Struct, gc=False):
    """One exchange message as it came into a broker or left it.

    Attributes:
        peer: the member at the other end.
        unseen_s: for a REQUEST that came in, the least that any frame of its session had taken when it was read, which
            nobody could see as a delay.
    """

    at: float
    broker: str
    way: Literal["in", "out"]
    peer: str
    command: int
    id: bytes
    sender: str = ""
    possible_duplicate: bool = False
    retry_count: int = 0
    code: int = 0
    service: str = ""
    tag: int = 0
    receiver: str = ""
    unseen_s: float = 0.0


class Rights(msgspec.Struct, gc=False, frozen=True):
    """The services that a member may call and serve, or patterns of them."""

    calls: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()


class Issue(msgspec.Struct, gc=False):
    """A registry that the authority has made.

    Attributes:
        digest: of all of it.
        rights: of each member that takes part in the run.
    """

    digest: bytes
    rights: dict[str, Rights]


class Adoption(msgspec.Struct, gc=False):
    """Somebody acts on a registry from now on: a broker on one, a node on the list of brokers in it.

    Attributes:
        digest: of the registry; empty for the list of brokers.
        began: whether it has just started.
        forgot: whether it has lost before that what it had kept.
    """

    at: float
    process: str
    version: int
    digest: bytes = b""
    began: bool = False
    forgot: bool = False


class Admission(msgspec.Struct, gc=False):
    """The first node that a broker let in after its start.

    Attributes:
        since: when the broker has started.
        missing: the brokers of its registry that it had not heard when it began to let nodes in, or with a newer one.
    """

    at: float
    broker: str
    node: str
    since: float
    missing: tuple[str, ...]


class Outage(msgspec.Struct):
    """Something was wrong with a process or its connections from `start` to `end`.

    `kind` is what the fault has given to `mark_outage`, e.g. "kill" for `kill-broker`.
    """

    process: str
    kind: str
    start: float
    end: float = float("inf")


class Verdict(msgspec.Struct, gc=False):
    """A broker took another one for dead."""

    at: float
    by: str
    about: str


class Parting(msgspec.Struct, gc=False):
    """A member's connection to a broker, or a broker's to a member, was over.

    Attributes:
        by: who took it for over.
        about: who was at the other end.
        silent: whether that was for its silence, and not because the connection had ended.
    """

    at: float
    by: str
    about: str
    silent: bool


class End(msgspec.Struct, gc=False):
    """A process ended although nobody ended it."""

    at: float
    process: str
    why: str


class ForeignCall(msgspec.Struct):
    """A request of a foreign program to a bridge, as it was sent over one connection; a copy is another one.

    Attributes:
        until: when the bridge must have answered it.
        speaks: whether its protocol tells errors here; else they are silence.
        answers: what has come of it: "reply", or the code of an error. There may be one.
        left_at: when nobody waited any more, or the connection has ended.
    """

    key: str
    program: str
    started: float
    until: float
    service: str = ""
    speaks: bool = False
    must_succeed: bool = False
    answers: list[tuple[float, str]] = []
    left_at: float | None = None


class ForeignRun(msgspec.Struct, gc=False):
    """A request as a foreign worker ran it, which knows its payload only."""

    key: str
    program: str
    at: float


class Budget(msgspec.Struct, gc=False, frozen=True):
    """What the clients may spend on retries: see Settings."""

    ratio: float = 0.1
    per_s: float = 1.0
    most: float = 10.0


class Record(msgspec.Struct):
    """All that happened in one run.

    Attributes:
        delay_unseen_s: how late a message can be without anybody noticing: the resolution of clocks and timers, and
            the shortest time that a message travels.
        false_death_s: a broker must have been hampered for that long before others may take it for dead.
        budget: what the clients may spend on retries.
        rights: of each member; nothing is checked where they are not recorded.
        brokers: the names of all brokers.
        slow_s: how much later a message may be unseen while, or just after, frames are delayed.
        undisturbed: whether nothing goes wrong in the whole run.
        prompt_s: how soon a worker's death must be told and its requests move on; 0 if something else may delay that.
        avoided_s: how soon a silent worker must get nothing new any more; 0 if something else may delay that.
        answers_s: how long before its end a call's answer must be ready for the call not to fail; 0 if something else
            than the death of brokers may keep the answer from its caller.
        stalls_s: the shortest silence for which anybody is given up, where nothing happens but that processes stand
            still for a time; 0 elsewhere.
        stubborn: whether handlers go on although they are told to stop.
        partings: the connections that were over, as those who took part saw it.
        flawless: whether nothing happens that a caller may notice: no error, nothing flagged, nothing run twice.
        breaches: what somebody got that was not meant for it.
        sizes: the size that was nearest to its bound, with the bound, by owner and name.
        views: at the end: in which state each broker lists each other one.
        alive: the brokers that run at the end.
        hostile: the members in an attacker's hands.
        liars: the brokers among them.
        fair_from_s: from when on honest calls must end well although somebody is hostile; what began before may not.
        fair_until_s: until when that is asked; 0 where something else may keep calls from ending well.
        errors_share: how many of them may fail all the same.
        foreseen: ids under which somebody hostile has made up requests, with the time of the first.
        issues: the registries that the authority has made, by their versions.
        adoptions: who has acted on which of them.
        admissions: whom brokers let in first.
        catch_up_s: how long a broker may wait for the others before that.
        in_force: at the end: on which registry each broker acts that runs.
        faults: how often each process had to contain an error of its own while it took something in.
        leftovers: at the end: what a process still held after everything had ended.
        bridge: the member that is a bridge; empty if there is none.
        refuses_duplicates: whether no foreign worker may get what may have been run before.
        drops_unread: whether what a foreign program does not read at once is soon dropped.
        foreign_outages: what was wrong with foreign programs: "kill", "pause", and "reset" of their connections.
        harms: what a foreign program was told that would stop, hang or mislead a real one.
    """

    delay_unseen_s: float = 0.05
    false_death_s: float = 0.0
    budget: Budget = Budget()
    rights: dict[str, Rights] = {}
    brokers: list[str] = []
    slow_s: float = 0.0
    undisturbed: bool = False
    prompt_s: float = 0.0
    avoided_s: float = 0.0
    answers_s: float = 0.0
    stalls_s: float = 0.0
    stubborn: bool = False
    flawless: bool = False
    hostile: tuple[str, ...] = ()
    liars: tuple[str, ...] = ()
    fair_from_s: float = 0.0
    fair_until_s: float = 0.0
    errors_share: float = 0.0
    foreseen: dict[bytes, float] = {}
    issues: dict[int, Issue] = {}
    adoptions: list[Adoption] = []
    admissions: list[Admission] = []
    catch_up_s: float = 0.0
    in_force: dict[str, int] = {}
    faults: dict[str, int] = {}
    partings: list[Parting] = []
    breaches: list[End] = []
    calls: list[Call] = []
    executions: list[Execution] = []
    passages: list[Passage] = []
    outages: list[Outage] = []
    verdicts: list[Verdict] = []
    deaths: list[End] = []
    sizes: dict[tuple[str, str], tuple[int, int]] = {}
    views: dict[tuple[str, str], str] = {}
    alive: list[str] = []
    leftovers: list[str] = []
    bridge: str = ""
    refuses_duplicates: bool = False
    drops_unread: bool = False
    foreign_calls: list[ForeignCall] = []
    foreign_runs: list[ForeignRun] = []
    foreign_outages: list[Outage] = []
    harms: list[End] = []

    def executions_by_key(self) -> dict[str, list[Execution]]:
        """Return the executions of each call.

        What somebody else sent with its payload is none of them, and nor is what a handler says that it has not run.
        """
        found: dict[str, list[Execution]] = defaultdict(list)
        clients = {call.key: call.client for call in self.calls}
        for execution in self.executions:
            if execution.disclaimer != "not run" and (
                not execution.client or clients.get(execution.key) == execution.client
            ):
                found[execution.key].append(execution)
        return found

    def came(self, id_: bytes, broker: str, retry_count: int) -> Passage:
        """Return how an attempt of a request came to a broker; if there were several with that count, the last one."""
        for each in reversed(self.passages):
            came = each.broker == broker and each.way == "in" and each.command == REQUEST
            if came and each.id == id_ and each.retry_count == retry_count:
                return each
        raise LookupError(f"{id_.hex()} has never come to {broker}")

    def size(self, owner: str, what: str, value: int, bound: int) -> None:
        """Note a size, if it is the nearest to its bound, or the farthest beyond it, so far."""
        before = self.sizes.get((owner, what))
        if before is None or value - bound > before[0] - before[1]:
            self.sizes[owner, what] = (value, bound)
