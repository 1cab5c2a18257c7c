"""What the process of a caller is told to do, a line of JSON each."""

from typing import Literal

import msgspec


class Plan(msgspec.Struct):
    """What a caller is: its name, its join file, and the directory of its journal."""

    process: str
    join: str
    directory: str


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """What each call asks for, and how.

    Attributes:
        work_s, gated: see jobs.Job.
        spread_s: how much longer a job may take; how much, is drawn from its key.
        long_s: how much longer still some jobs take.
        long_share: the share of these, from 0 to 1.
        attempts: the default of Settings, if it is None.
        via: the only broker to use.
    """

    service: str = "work"
    work_s: float = 0.0
    spread_s: float = 0.0
    long_s: float = 0.0
    long_share: float = 0.0
    gated: bool = False
    timeout_s: float = 20.0
    attempts: int | None = None
    via: str | None = None


When = Literal["made", "sent", "answered"]
"""When a caller's event loop is blocked: when its calls are made but have not left the node, when they have left it, or
when the first of them is answered, by whoever waited for that answer."""


class Begin(msgspec.Struct, tag=True, omit_defaults=True):
    """Begin `count` calls at once, with keys `prefix`0 and so on, and block the event loop, if that is asked for.

    Attributes:
        stall_s: for how long the event loop is blocked.
        when: see When.
    """

    prefix: str
    ask: Ask
    count: int = 1
    stall_s: float = 0.0
    when: When = "made"


class Drive(msgspec.Struct, tag=True, omit_defaults=True):
    """Keep `in_flight` calls under way, until `count` of them have begun or `for_s` are over."""

    prefix: str
    ask: Ask
    in_flight: int
    for_s: float
    count: int = 1_000_000_000


class Pace(msgspec.Struct, tag=True, omit_defaults=True):
    """Begin `rate` calls each second, evenly spread, for `for_s`."""

    prefix: str
    ask: Ask
    rate: float
    for_s: float


class Block(msgspec.Struct, tag=True):
    """Block the event loop."""

    for_s: float


class Cancel(msgspec.Struct, tag=True):
    """Cancel the tasks of the calls whose keys begin with `prefix`."""

    prefix: str


class Wait(msgspec.Struct, tag=True):
    """Wait until no call is under way and none is to begin, at most `for_s`."""

    for_s: float


Order = Begin | Drive | Pace | Block | Cancel | Wait


class Answer(msgspec.Struct):
    """What there is when an order is done.

    Attributes:
        begun: how many calls have begun so far.
        pending: how many of them have not ended.
    """

    begun: int = 0
    pending: int = 0
