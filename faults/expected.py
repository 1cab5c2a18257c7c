"""By which kinds of finding each row of the matrix is named rightly, and what else is true while its fault lasts."""

from dataclasses import dataclass, replace
from typing import Final

from braidmq.monitor.finding import Kind
from faults.net import TALKER
from faults.worker import SERVICE

HEALED: Final = (Kind.BROKER_NEW, Kind.BROKERS_APART, Kind.PATH_LOST)
"""What may be said when a broker is back: it was just started, and the others connect to it one by one."""


@dataclass(frozen=True)
class Expected:
    """What an operator is to be told of a row.

    Attributes:
        kinds: any of these names the fault; if there are none, nothing is to be found.
        who: whom it befalls; if nobody is named here, those processes that the harness has hurt.
        follows: what is true as well, of whomever: it follows from the fault, or from its end.
        note: what is to be known of it.
    """

    kinds: tuple[Kind, ...]
    who: tuple[str, ...] = ()
    follows: tuple[Kind, ...] = ()
    note: str = ""


BROKERS: Final = ("b1", "b2", "b3")

_CUT: Final = Expected(
    (Kind.BROKER_SILENT,),
    follows=(*HEALED, Kind.SLOW),
    note="the eye is on the side of the nodes: to it, too, nothing comes from that broker",
)

_LOSSY: Final = Expected((Kind.SLOW,), who=BROKERS, follows=(Kind.BROKERS_APART, Kind.PATH_LOST, Kind.NODE_SILENT))

_OVERLOAD: Final = Expected(
    (Kind.OVERLOAD,),
    who=(SERVICE,),
    follows=(Kind.SERVICE_FULL, Kind.SLOW),
    note="whoever asks for so much takes the brokers' processors as well, so that they may be slow",
)

EXPECTED: Final[dict[str, Expected]] = {
    "kill-broker": Expected(
        (Kind.BROKER_DEAD,), follows=HEALED, note="it is started again after a second, and is new then"
    ),
    "drain-broker": Expected(
        (Kind.BROKER_DRAINS, Kind.BROKER_STOPPED, Kind.BROKER_NEW),
        follows=HEALED,
        note="it ends within half a second and is started at once: mostly all that is seen of it is that it is new",
    ),
    "stop-broker": Expected((Kind.BROKER_HANGS,), follows=(*HEALED, Kind.BROKER_SILENT)),
    "kill-worker": Expected((Kind.WORKER_DEAD,), note="it is started again after a second"),
    "block-worker": Expected(
        (Kind.WORKER_HANGS,), follows=(Kind.PATH_LOST,), note="for a moment only some brokers miss it: `path-lost`"
    ),
    "partition": _CUT,
    "partition-to": Expected(
        (Kind.BROKER_SILENT,),
        follows=(*HEALED, Kind.SLOW, Kind.BROKER_UNREACHED),
        note="what it says still comes for some seconds: until then others may reach it that do not miss its answers",
    ),
    "partition-from": _CUT,
    "lose-1": replace(
        _LOSSY,
        note="it shows once a probe of a broker is lost, which may take some seconds: of a hundred packets one is",
    ),
    "lose-5": _LOSSY,
    "lose-20": _LOSSY,
    "delay": _LOSSY,
    "jump-clock": Expected((), note="all clocks jump alike: no member can tell, and nothing is wrong between them"),
    "overload-2": _OVERLOAD,
    "overload-10": _OVERLOAD,
    "flap-broker": Expected((Kind.BROKER_DEAD, Kind.BROKER_FLAPS), follows=HEALED),
    "roll": Expected(
        (Kind.BROKER_DRAINS, Kind.BROKER_STOPPED, Kind.BROKER_NEW),
        who=BROKERS,
        follows=HEALED,
        note="each is gone for less than a second: mostly all that is seen of it is that it is new",
    ),
    "all-down": Expected(
        (Kind.NO_BROKER,),
        who=BROKERS,
        follows=(*HEALED, Kind.BROKER_DEAD, Kind.SLOW),
        note="when they are back, all nodes come at once, and brokers are late to tell their state",
    ),
    "revoke": Expected(
        (Kind.REFUSED,),
        who=(TALKER,),
        follows=(Kind.REGISTRY_OLD, Kind.PATH_LOST, Kind.WORKER_DEAD),
        note="counted since `braidmq revoke` has returned; for a moment the newer registry is not with all brokers; "
        "afterwards this member's process is ended, and a second member with it",
    ),
    "revoke-apart": Expected(
        (Kind.BROKER_SILENT,),
        follows=(*HEALED, Kind.SLOW, Kind.REFUSED, Kind.REGISTRY_OLD, Kind.WORKER_DEAD),
        note="the refused member is named as well, and when it is back the older registry of the broker",
    ),
    "reconnect": Expected(
        (Kind.BROKER_DEAD,),
        follows=(*HEALED, Kind.SLOW, Kind.NODE_SILENT, Kind.LIMIT),
        note="it is started again after a second, and late to tell its state while all come at once; all nodes are "
        "one process at one address: it is late with some heartbeats, and so many may not knock at one time",
    ),
    "calm": Expected((), note="nothing happens, under load"),
    "calm-idle": Expected((), note="nothing happens, and nobody calls"),
}
"""Of each row of the matrix, and of the calm ones."""
