"""What a call asks its handler to do, and what a worker writes down of it."""

import msgspec

from braidmq.lab.simulation.record import Execution

WORK, IDLE, THREAD, CHAIN = "work", "idle", "thread", "chain"
"""The services: WORK and IDLE run on the event loop, THREAD runs in a thread, CHAIN works and then calls WORK."""


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payload of a request. The reply is its key.

    Attributes:
        key: of the call, unique in the run.
        work_s: how long it takes.
        gated: whether it lasts until the gate of its worker is opened instead.
    """

    key: str
    work_s: float = 0.0
    gated: bool = False


class Begun(Execution):
    """A handler began.

    Attributes:
        deadline: until when its caller waits, as the handler is told.
    """

    deadline: float = 0.0


class Over(msgspec.Struct):
    """A handler has ended.

    Attributes:
        stopped: whether it was cancelled, or failed.
    """

    key: str
    worker: str
    at: float
    stopped: bool = False


def encode(job: Job) -> bytes:
    """Return the payload that asks for a job."""
    return msgspec.json.encode(job)


def decode(payload: bytes) -> Job:
    """Return the job that a payload asks for."""
    return msgspec.json.decode(payload, type=Job)
