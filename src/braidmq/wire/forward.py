"""How a prefix is written anew for another hop, or another attempt, of a message whose rest stays as it is.

A hop has its own tag, its own time of writing and its own names: who sends and who receives is stamped by the broker.
"""

from braidmq.wire.envelope import CUT, LOST, PREFIX, PREFIX_BYTES, head_of


def forwarded(
    version: int,
    command: int,
    flags: int,
    retry_count: int,
    sent_ms: int,
    time_ms: int,
    tag: int,
    id_: bytes,
    service: bytes,
    sender: bytes,
    receiver: bytes,
    code: int,
    extension_bytes: int,
    working_ms: int,
    rest: bytes,
) -> bytes:
    """Return the exchange message with these fields, as a broker passes it on: see Envelope.

    `version` is that of whoever wrote the message. `rest` is what stood behind the names: an extension block of
    `extension_bytes`, and the payload.
    """
    names = service + sender + receiver
    head = PREFIX.pack(
        PREFIX_BYTES + len(names) + len(rest), version, command, flags, retry_count, sent_ms, time_ms, tag, id_,
        len(service), len(sender), len(receiver), code, extension_bytes, working_ms,
    )  # fmt: skip
    return head + names + rest


def readdressed(message: bytes, *, tag: int, retry_count: int, sent_ms: int) -> bytes:
    """Return an exchange message for another attempt of its request."""
    head = head_of(message)._replace(tag=tag, retry_count=retry_count, sent_ms=sent_ms)
    return PREFIX.pack(*head) + message[PREFIX_BYTES:]


def lost(reply: bytes) -> bytes:
    """Return the LOST that takes the place of a REPLY which nobody waits for any more."""
    head = head_of(reply)
    return PREFIX.pack(PREFIX_BYTES, head.version, LOST, 0, 0, head.sent_ms, 0, head.tag, head.id, 0, 0, 0, 0, 0, 0)


def cut(beginning: bytes, size: int) -> bytes:
    """Return the CUT that stands for an exchange message of which only the beginning was kept, of at least its names.

    Its code is the command of that message, and its time the length.
    """
    head = head_of(beginning)
    names = beginning[PREFIX_BYTES : head.rest_at]
    return (
        PREFIX.pack(
            PREFIX_BYTES + len(names), head.version, CUT, head.flags, head.retry_count, head.sent_ms, size, head.tag,
            head.id, head.service_bytes, head.sender_bytes, head.receiver_bytes, head.command, 0, 0,
        )
        + names
    )  # fmt: skip
