"""What members may ask of a zgossip bridge: ``zgossip.get`` and ``zgossip.put``.

What foreign nodes say is a hint of strangers. It reaches members by these services only, if they ask for it and may
call them; nothing in the net ever follows from it.
"""

from typing import Final

from braidmq.bridges.port import Job
from braidmq.bridges.zgossip import wire
from braidmq.bridges.zgossip.hearsay import Hearsay
from braidmq.bridges.zgossip.keys import is_ours
from braidmq.bridges.zgossip.own import Own
from braidmq.errors import ServiceError

GET: Final = "zgossip.get"
"""Payload: a key. Result: its value. Error NOT_FOUND: nobody has said anything of it, or it is gone."""

PUT: Final = "zgossip.put"
"""Payload: a key, a zero byte, a value; an empty one: it is gone. Result: nothing. Error INVALID_ARGUMENT: the tuple is
wrong. Error DENIED: the key is not below the bridge's prefix. Error FULL: the bridge publishes too many already,
for this member or for all."""

CONCURRENCY: Final = 64
"""Requests that are answered at once: they take microseconds."""


class Requests:
    """Answers members.

    Args:
        own: what the bridge publishes.
        hearsay: what others have said.
        prefix: what keys begin with that members may publish.
    """

    def __init__(self, own: Own, hearsay: Hearsay, prefix: bytes) -> None:
        self._own = own
        self._hearsay = hearsay
        self._prefix = prefix

    def answer(self, job: Job) -> bytes | ServiceError:
        """Return the result of a request, or its error."""
        if job.request.service == GET:
            return self._get(job.request.payload)
        return self._put(job.request.payload, job.request.sender)

    def _get(self, key: bytes) -> bytes | ServiceError:
        found = self._own.log.get(key) or self._hearsay.log.get(key)
        if found is None or not found.value:
            return ServiceError("NOT_FOUND", "no node of zgossip has told a value of this key")
        return found.value

    def _put(self, payload: bytes, member: str) -> bytes | ServiceError:
        key, zero, value = payload.partition(b"\0")
        if not zero or not wire.fits(key, value):
            return ServiceError(
                "INVALID_ARGUMENT", "write a key of 1 to 255 bytes, a zero byte, and a value without one"
            )
        if not self._prefix or not key.startswith(self._prefix) or is_ours(key):
            return ServiceError("DENIED", "this bridge publishes no such key for members")
        if not self._own.give(key, value, member):
            return ServiceError("FULL", "this bridge publishes as many keys for members as it can")
        self._hearsay.remove(key)
        return b""
