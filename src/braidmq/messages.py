"""Requests and replies as users see them."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Clock(Protocol):
    """Returns a time in seconds that never goes back."""

    def __call__(self) -> float:
        """Return the time now."""


class Request(msgspec.Struct, eq=False):
    """One request, as its handler receives it.

    It can be pickled and copied. Its time goes on in other processes of the same machine, e.g. those of a process
    pool; on another machine, and after a restart of this one, `deadline` and `remaining` mean nothing.

    Attributes:
        payload: the caller's bytes, untouched.
        sender: the caller's registered name, stamped by the broker from the caller's key.
        receiver: the registered name of the node that runs this handler.
        service: the service that was called.
        id: 16 bytes that name the request; the same for every attempt.
        possible_duplicate: an earlier attempt may have been run, here or by another worker.
        retry_count: how many earlier attempts may have been run.
        deadline: when the caller stops waiting, as `time.monotonic` counts.
        headers: the caller's headers, e.g. ``traceparent``.
        broker: the broker that the request came through.
    """

    payload: bytes
    sender: str
    receiver: str
    service: str
    id: bytes
    possible_duplicate: bool
    retry_count: int
    deadline: float
    headers: Mapping[str, str]
    broker: str
    _clock: Clock

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "_clock")
        return f"Request({shown})"

    @property
    def remaining(self) -> float:
        """Seconds until the caller stops waiting; 0.0 when it has."""
        return max(0.0, self.deadline - self._clock())


class Reply(msgspec.Struct, eq=False, gc=False):
    """The answer to a request.

    Attributes:
        payload: the handler's bytes, untouched.
        sender: the registered name of the worker, stamped by the broker from the worker's key.
        receiver: the registered name of the caller.
        service: the service that was called.
        id: 16 bytes that name this reply.
        original_id: the id of the request.
        possible_duplicate: the attempt that was answered, or an earlier one, may have been run more than once.
        retry_count: how many attempts before the answered one may have been run.
        broker: the broker that the reply came through.
    """

    payload: bytes
    sender: str
    receiver: str
    service: str
    id: bytes
    original_id: bytes
    possible_duplicate: bool
    retry_count: int
    broker: str
