"""What a hostile member says, whatever it is registered as: frames that are many messages in few bytes, or no messages.

Everything here is drawn from a generator that is handed in, so that a seed decides it.
"""

import random
from collections.abc import Callable, Iterable
from typing import Final

from braidmq.bounds import DAY_S
from braidmq.lab.simulation.payload import payload_of
from braidmq.wire import control, gossip
from braidmq.wire.envelope import CANCEL, REQUEST, VERSION, Envelope, Reason, encode, head_of, now_ms
from braidmq.wire.kinds import Control
from braidmq.wire.limits import BUNDLE_BYTES

DAY_MS: Final = 1_000 * DAY_S
"""The longest deadline that a request may have."""

TINY: Final = 900
"""Messages in a frame that is to be work: see what a message costs in plan.py."""

TINY_KINDS: Final = 5
"""Kinds of such frames; each enemy has one of its own, as some of them get it barred."""

ROWS: Final = 400
"""Rows in a message that is to be large."""

CODES: Final = (*(int(reason) for reason in Reason), 0, 77, 255)
"""Each reason of a refusal, and codes that nobody knows."""


def bundle(messages: Iterable[bytes]) -> bytes:
    """Return a frame of messages, as many of the first ones as it may hold."""
    frame = bytearray()
    for message in messages:
        if frame and len(frame) + len(message) > BUNDLE_BYTES:
            break
        frame += message
    return bytes(frame)


def said(*controls: Control) -> bytes:
    """Return a frame of control messages."""
    return bundle(control.encode_control(each, 0) for each in controls)


def garbage(rng: random.Random) -> bytes:
    """Return what is no frame, or no message, or of another version, or longer or shorter than it says."""
    noise = rng.randbytes(rng.choice((0, 1, 11, 12, 60, 500)))
    whole = control.encode_control(gossip.Seek("nothing"), 0)
    command = rng.randrange(256)
    return rng.choice(
        (
            noise,
            whole[: rng.randint(0, len(whole))],
            len(noise).to_bytes(4) + noise,
            b"\xff\xff\xff\xff" + bytes((VERSION, command)) + noise,
            (12 + len(noise)).to_bytes(4) + bytes((VERSION, command, 0, 0, 0, 0, 0, 0)) + noise,
            (12 + len(noise)).to_bytes(4) + bytes((0x70, command, 0, 0, 0, 0, 0, 0)) + noise,
            bundle([whole, noise, whole]),
        )
    )


def tiny(kind: int, rng: random.Random, call: "Asking") -> bytes:
    """Return a frame of many messages of one of TINY_KINDS kinds, which say nothing, or are refused."""
    if kind == TINY_KINDS - 1:
        return bundle(call.request(f"no/{rng.randrange(1_000_000)}") for _ in range(TINY // 3))
    messages = (control.Heartbeat(), control.Goodbye("noted"), control.Ready("denied", 1), gossip.Seek("denied"))
    return TINY * said(messages[kind])


class Asking:
    """What makes requests in somebody's name: with ids, tags and payloads of its own.

    Args:
        name: of the member whose requests they are.
        rng: for its ids.
        clock: returns its time, without which its requests would seem to be old.
    """

    def __init__(self, name: str, rng: random.Random, clock: Callable[[], float]) -> None:
        self._name = name
        self._rng = rng
        self._clock = clock
        self._count = 0

    def payload(self, size_bytes: int = 0) -> bytes:
        """Return a payload that tells it is this member's."""
        self._count += 1
        return payload_of(f"{self._name}:{self._count}", size_bytes)

    def request(
        self, service: str, *, id_: bytes = b"", sender: bytes = b"", time_ms: int = 2_000, size_bytes: int = 0
    ) -> bytes:
        """Return a request with a new tag and, unless one is given, a new id."""
        payload = self.payload(size_bytes)
        id_ = id_ or bytes((self._rng.randrange(128),)) + self._rng.randbytes(15)
        sent_ms = now_ms(self._clock())
        return encode(
            Envelope(
                REQUEST, id_, sent_ms=sent_ms, tag=self._count, service=service.encode(), sender=sender,
                time_ms=time_ms, working_ms=100, payload=payload,
            )
        )  # fmt: skip

    def request_and_cancel(self, service: str) -> bytes:
        """Return a request with the news that nobody waits for it."""
        request = self.request(service, time_ms=DAY_MS)
        return request + encode(Envelope(CANCEL, head_of(request).id, tag=self._count))
