"""What a benchmark tells its processes, and what these answer: one line of JSON each."""

from typing import Literal

import msgspec


class Member(msgspec.Struct, frozen=True):
    """What a client or worker process is.

    Attributes:
        ends: the module of its system's clients and workers.
        address: how it gets to the servers; only that module knows what it means.
    """

    ends: str
    address: str


class Order(msgspec.Struct, frozen=True):
    """What a client is to do for `duration_s`: keep `in_flight` calls under way, or begin `rate` calls each second.

    Attributes:
        latencies: the file that the latencies go to, as an array of 64-bit floats, in seconds; none for a warm-up.
    """

    do: Literal["closed", "open"]
    payload_bytes: int
    duration_s: float
    in_flight: int = 0
    rate: float = 0.0
    latencies: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What a client has done.

    Attributes:
        calls: how many calls were answered.
        failed: how many ended in an error, or not at all.
        seconds: how long that took.
        problem: the first error, if there was one.
    """

    calls: int
    failed: int
    seconds: float
    problem: str = ""
