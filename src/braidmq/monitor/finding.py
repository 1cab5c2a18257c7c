"""What may be wrong in a net: each kind with what it means and what to do, and what was found of it. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from braidmq.bounds import DAY_S
from braidmq.printable import printable


class Kind(StrEnum):
    """Every kind of finding, in the order in which they are told."""

    NO_BROKER = "no-broker"
    BROKER_DEAD = "broker-dead"
    BROKER_HANGS = "broker-hangs"
    BROKER_SILENT = "broker-silent"
    BROKER_STOPPED = "broker-stopped"
    BROKER_UNREACHED = "broker-unreached"
    BROKER_REFUSES = "broker-refuses"
    BROKERS_APART = "brokers-apart"
    BROKER_FLAPS = "broker-flaps"
    TWIN = "twin"
    NO_WORKER = "no-worker"
    WORKER_DEAD = "worker-dead"
    WORKER_HANGS = "worker-hangs"
    BRIDGE_GONE = "bridge-gone"
    OVERLOAD = "overload"
    LIMIT = "limit"
    REGISTRY_OLD = "registry-old"
    REGISTRY_FORK = "registry-fork"
    CLOCK = "clock"
    CERTIFICATE_ENDED = "certificate-ended"
    CERTIFICATE_ENDS = "certificate-ends"
    CERTIFICATE_SOON = "certificate-soon"
    BROKER_DRAINS = "broker-drains"
    BROKER_NEW = "broker-new"
    SLOW = "slow"
    NODE_SILENT = "node-silent"
    PATH_LOST = "path-lost"
    NODE_OUT = "node-out"
    SERVICE_FULL = "service-full"
    REFUSED = "refused"
    FAULTS = "faults"
    FORGED = "forged"


class Diagnosis(NamedTuple):
    """What is known of a kind.

    Attributes:
        wrong: whether the net is not well while it is there; else it is worth a note.
        meaning: what has happened, as far as brokers can tell.
        remedy: what to do; `{name}` is whom it befalls, and so is `{one}` within a command.
    """

    wrong: bool
    meaning: str
    remedy: str


DIAGNOSES: Final[dict[Kind, Diagnosis]] = {
    Kind.NO_BROKER: Diagnosis(
        True,
        "no broker tells its state to the machine where you ask: all are gone, or the network between is cut",
        "If nothing is wrong with the network of this machine (`braidmq doctor`), start the brokers {name} again on "
        "their hosts, as in `braidmq broker --join {one}.braid`; their logs say why they have ended.",
    ),
    Kind.BROKER_DEAD: Diagnosis(
        True,
        "a broker's process is gone: its host answers that nothing listens there, or ended its connections",
        "Start it again: `braidmq broker --join {one}.braid`; its log says why it has ended.",
    ),
    Kind.BROKER_HANGS: Diagnosis(
        True,
        "the host of a broker takes connections, but its process says nothing: it was stopped, swaps, or hangs",
        "Look at the process of {name} (`ps`, its log); let it go on (`kill -CONT`) or restart it.",
    ),
    Kind.BROKER_SILENT: Diagnosis(
        True,
        "nothing at all comes from a broker any more: its host is down or hangs, or the network to it is cut",
        "See whether the host of {name} is up and reached (`ping`, firewalls); start the broker, or mend the network.",
    ),
    Kind.BROKER_STOPPED: Diagnosis(
        True,
        "a broker was stopped in order: it has drained and ended, and is still registered",
        "Start it again: `braidmq broker --join {one}.braid`; or take it off: `braidmq remove {one} --net DIR`.",
    ),
    Kind.BROKER_UNREACHED: Diagnosis(
        True,
        "other brokers reach it; the machine where you ask does not",
        "Run `braidmq doctor --via {one}` on this machine: name, address or firewall are wrong here.",
    ),
    Kind.BROKER_REFUSES: Diagnosis(
        True,
        "what answers at a broker's address does not tell its state: it is another program or another broker, or it "
        "does not let this node in; or it has no time to, for more than five seconds",
        "Do what the line says; `braidmq doctor --via {one}` looks closer.",
    ),
    Kind.BROKERS_APART: Diagnosis(
        True,
        "brokers that answer do not reach each other, or do not see each other alive: the network between them is cut, "
        "in one direction or both, or one does not know the other yet",
        "If it lasts for more than some seconds, mend the network or firewall between the hosts of {name}.",
    ),
    Kind.BROKER_FLAPS: Diagnosis(
        True,
        "a broker is restarted again and again",
        "Look into the log of {name} and of whatever starts it: why does it end?",
    ),
    Kind.TWIN: Diagnosis(
        True,
        "two processes run with the join file of one broker",
        "Stop one of the two, or give it a join file of its own (`braidmq add broker`).",
    ),
    Kind.NO_WORKER: Diagnosis(
        True,
        "requests wait for a service that has no worker",
        "Start a worker for {name}.",
    ),
    Kind.WORKER_DEAD: Diagnosis(
        True,
        "a worker's connections were closed without a goodbye: its process is gone. Told for ten minutes, or until it "
        "is back",
        "Start {name} again; its log says why it has ended.",
    ),
    Kind.WORKER_HANGS: Diagnosis(
        True,
        "a worker is connected but silent, or was given up for that: a handler blocks its event loop, it was stopped, "
        "or the network to it is cut. Told for ten minutes, or until it is heard again",
        "Look at the log and the process of {name}: make the handler that blocks a `def`, which runs in a thread; "
        "let the process go on, or restart it.",
    ),
    Kind.BRIDGE_GONE: Diagnosis(
        True,
        "a bridge to another protocol is gone without a goodbye, or was given up for its silence: its foreign programs "
        "cannot call, and what they provided is gone. Told for ten minutes, or until it is back",
        "Start {name} again, and let a supervisor do it from then on; foreign programs connect again by themselves.",
    ),
    Kind.OVERLOAD: Diagnosis(
        True,
        "more is asked for than is worked off: requests are refused for want of room or time",
        "Start more workers for {name}, raise their concurrency, or let the callers that flood ask for less.",
    ),
    Kind.LIMIT: Diagnosis(
        True,
        "a broker has turned somebody away within the last ten seconds because a limit is reached, a key is barred or "
        "expired, or a version does not fit",
        "The broker's log says more: add brokers, raise the limit, or mend the member.",
    ),
    Kind.REGISTRY_OLD: Diagnosis(
        True,
        "a broker goes by an older registry: members that were added are refused there, and ones that were removed or "
        "revoked may still be let in",
        "If it lasts for more than some seconds: `braidmq publish --net DIR`; see that {name} reaches the others.",
    ),
    Kind.REGISTRY_FORK: Diagnosis(
        True,
        "brokers have different registries of one number: the authority's directory was restored from a backup, or "
        "there are two of them",
        "Make one more change in the right directory, and publish it: `braidmq publish --net DIR`.",
    ),
    Kind.CLOCK: Diagnosis(
        True,
        "the clock of a broker's machine is more than a minute off that of the net",
        "Set the clock of the host of {name} right (NTP).",
    ),
    Kind.CERTIFICATE_ENDED: Diagnosis(
        True,
        "a certificate has ended: brokers refuse its member",
        "`braidmq renew {one} --net DIR`.",
    ),
    Kind.CERTIFICATE_ENDS: Diagnosis(
        True,
        "a certificate ends within a day",
        "`braidmq renew {one} --net DIR`.",
    ),
    Kind.CERTIFICATE_SOON: Diagnosis(
        False,
        "a certificate ends within 30 days",
        "`braidmq renew {one} --net DIR`.",
    ),
    Kind.BROKER_DRAINS: Diagnosis(
        False,
        "a broker is about to stop: it takes no new requests and ends what it has",
        "Nothing, if you have stopped it.",
    ),
    Kind.BROKER_NEW: Diagnosis(
        False,
        "a broker was started within the last ten seconds, while others were there for longer",
        "Nothing, if you have started it.",
    ),
    Kind.SLOW: Diagnosis(
        False,
        "answers of a broker take more than 150 ms, or its state does not come within a second, or it fails to hear "
        "others in time: packets are lost or late on the way, or it has no processor; or its process stood still for "
        "more than 100 ms, three times within ten seconds: it has no processor, or swaps",
        "See to the network and the load of the host of {name}; for brokers that are far apart take `--preset wan`.",
    ),
    Kind.NODE_SILENT: Diagnosis(
        False,
        "a node that serves nothing is connected but silent: it hangs, or the network to it is cut",
        "Look at {name}; the others do not feel it.",
    ),
    Kind.PATH_LOST: Diagnosis(
        False,
        "a worker has lost its connection to a broker, or says nothing there, and others hear it",
        "If it lasts, see why {name} does not get there: `braidmq doctor` with its join file, on its machine.",
    ),
    Kind.NODE_OUT: Diagnosis(
        False,
        "an operator has taken a node out of work: brokers give it nothing new, except those that were not reached "
        "then, or were started since",
        "`braidmq put-back {one} --join FILE` when it is to work again; `braidmq take-out {one} --join FILE` once more "
        "where a broker gives it some.",
    ),
    Kind.SERVICE_FULL: Diagnosis(
        False,
        "all places of a service's workers are taken, and requests wait",
        "Nothing, if it passes; else more workers for {name}, or a higher concurrency.",
    ),
    Kind.REFUSED: Diagnosis(
        False,
        "a broker has refused somebody within the last ten seconds who has no right to what it wanted",
        "Stop it, or give it what it needs: a new join file, or the right (`braidmq set`).",
    ),
    Kind.FAULTS: Diagnosis(
        False,
        "a broker has met errors of its own since its start, each of which has ended one session",
        "Please report them with their lines of the log of {name}.",
    ),
    Kind.FORGED: Diagnosis(
        False,
        "a broker has got frames with another key than their session's since its start",
        "An attack or a grave bug: look at the log of {name}.",
    ),
}
"""The table: every kind, in the order in which they are told. docs/operations.md shows it."""


class Finding(NamedTuple):
    """Something that was found.

    Attributes:
        kind: see DIAGNOSES.
        who: whom it befalls: brokers, nodes, services.
        what: the fault in some words, with since when.
        why: what is known of it, and what follows for others; may be empty.
        since_s: for how many seconds at least it has been so, as far as that is known.
    """

    kind: Kind
    who: tuple[str, ...]
    what: str
    why: str = ""
    since_s: float | None = None

    @property
    def wrong(self) -> bool:
        """Whether the net is not well while it is there."""
        return DIAGNOSES[self.kind].wrong

    @property
    def remedy(self) -> str:
        """What to do."""
        one = self.who[0] if len(self.who) == 1 else "NAME"
        return DIAGNOSES[self.kind].remedy.format(name=together(self.who), one=one)

    @property
    def sentence(self) -> str:
        """All of it on one line that is fit for a terminal."""
        return printable(f"{self.what}{': ' if self.why else ''}{self.why}. {self.remedy}")

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "kind": self.kind.value,
            "wrong": self.wrong,
            "who": list(self.who),
            "since_s": None if self.since_s is None else round(self.since_s, 3),
            "what": self.what,
            "why": self.why,
            "remedy": self.remedy,
        }


NAMES_MAX: Final = 8
"""Names that are listed one by one: more of them make no sentence that anyone reads."""


def listed(names: Sequence[str]) -> str:
    """Return names as text; beyond NAMES_MAX only how many more there are."""
    if len(names) <= NAMES_MAX:
        return ", ".join(names)
    return f"{', '.join(names[:NAMES_MAX])} and {len(names) - NAMES_MAX:,} more"


def together(names: Sequence[str]) -> str:
    """Return names as they stand in a sentence: b1, b2 and b3."""
    if 2 <= len(names) <= NAMES_MAX:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return listed(names)


def lasting(seconds: float | None) -> str:
    """Return since when as a part of a sentence; empty if it is not known."""
    return "" if seconds is None else f" for {duration(seconds)}"


def duration(seconds: float) -> str:
    """Return a time for people, in its two largest units."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < DAY_S:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{whole // DAY_S} d {whole % DAY_S // 3_600} h"
