"""What a program of Malamute says, and what it bears to hear: mlm_client stops for good at anything else."""

from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.wire import Command, Message

ERROR_STATUS = 500

STREAMS = (Command.STREAM_WRITE, Command.STREAM_READ, Command.STREAM_CANCEL)

OK, PONG, PING, CLOSE = wire.OK, wire.PONG, wire.PING, wire.CLOSE
AGAIN = wire.error("")
"""What makes a client open anew."""


def opening(address: bytes) -> list[bytes]:
    return wire.opening(address)


def offer(service: bytes, pattern: bytes = b".*") -> list[bytes]:
    return wire.frames_of(Message(Command.SERVICE_OFFER, address=service, pattern=pattern))


def ask(
    service: bytes, *content: bytes, subject: bytes = b"price", tracker: bytes = b"t-1", timeout_ms: int = 0
) -> list[bytes]:
    message = Message(
        Command.SERVICE_SEND, address=service, subject=subject, tracker=tracker, timeout_ms=timeout_ms, content=content
    )
    return wire.frames_of(message)


def mail_to(address: bytes, *content: bytes, subject: bytes = b"price", tracker: bytes = b"t-1") -> list[bytes]:
    return wire.frames_of(
        Message(Command.MAILBOX_SEND, address=address, subject=subject, tracker=tracker, content=content)
    )


def mailed(
    sender: bytes, address: bytes, *content: bytes, subject: bytes = b"price", tracker: bytes = b"t-1"
) -> list[bytes]:
    return wire.frames_of(wire.mail(sender, address, subject, tracker, content))


def error_of(frames: list[bytes]) -> tuple[bytes, bytes, bytes]:
    """Return the tracker, the code and whether it may have been run, of mail that tells an error."""
    said = heard(frames)
    assert (said.command, said.sender, said.subject) == (Command.MAILBOX_DELIVER, b"$braidmq", b"$error")
    code, text, maybe = said.content
    assert text
    return said.tracker, code, maybe


def heard(frames: list[bytes]) -> Message:
    """Return what a client is told; fail if the real one would stop at it."""
    said = wire.read(frames)
    assert said is not None, f"no message of Malamute: {frames}"
    assert said.command in {
        Command.OK, Command.PONG, Command.ERROR, Command.MAILBOX_DELIVER, Command.SERVICE_DELIVER,
    }, f"a client stops for good at {said}"  # fmt: skip
    if said.command is Command.OK:
        assert (said.status, said.reason) == (200, b"")
    if said.command is Command.ERROR:
        assert said.status == ERROR_STATUS, f"a client stops for good at {said}"
    assert frames == wire.frames_of(said), "bytes behind the fields"
    return said


def delivered(frames: list[bytes]) -> Message:
    """Return what a worker is to do."""
    said = heard(frames)
    assert said.command is Command.SERVICE_DELIVER
    return said


def judge(said: list[bytes], answers: list[list[bytes]]) -> None:
    """Fail if what a client hears at once upon a message is not what it waits for, or more than it bears."""
    message = wire.read(said)
    commands = [heard(frames).command for frames in answers]
    status = [command for command in commands if command in {Command.OK, Command.ERROR}]
    if message is None:
        assert not answers, "nothing is said to what is malformed"
    elif message.command is Command.OPEN:
        assert not wire.speaks_malamute(message) or commands[0] is Command.OK, "an OPEN is answered first"
        assert Command.ERROR not in commands, "a client hangs that gets an ERROR for its OPEN"
    elif message.command is Command.CLOSE:
        assert answers == [OK], "a client hangs whose CLOSE is not answered"
    elif message.command is Command.PING:
        assert answers == [AGAIN] or answers[0] == PONG
        assert len(status) == (answers == [AGAIN])
    elif message.command in {Command.SERVICE_OFFER, *STREAMS}:
        assert len(status) == 1, "a client waits for one answer"
        assert commands[0] in status, "and for that before anything else"
    elif message.command in {Command.SERVICE_SEND, Command.MAILBOX_SEND}:
        assert not status or answers == [AGAIN], "no SEND is answered"
    else:
        assert not answers
