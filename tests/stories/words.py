"""How a story tells of messages, ends of calls and lines of the log."""

from braidmq.errors import BraidError, RequestError
from braidmq.messages import Reply
from braidmq.wire import control, gossip
from braidmq.wire.control import decode_control, decode_failure
from braidmq.wire.envelope import (
    CANCEL,
    CONTROL_FIRST,
    REJECT,
    REPLY,
    REQUEST,
    WORKING,
    Command,
    Envelope,
    Flag,
    Outcome,
    Progress,
    Reason,
    Withdrawal,
    command_of,
    decode,
)

GROUPS = {
    "calls": (control.Goodbye,),
    "sessions": (control.Hello, control.Welcome, control.Ready, control.Services, control.Peers, control.Demand),
    "gossip": (gossip.Ping, gossip.Ack, gossip.Probe, gossip.Nack, gossip.Gossip),
}
"""What a story may show of control messages. Signs of life are never shown, and rumors once for each who hears them."""


class Words:
    """What is shown of a story, and by which numbers its calls go.

    Attributes:
        shown: the groups of messages that are shown.
    """

    def __init__(self):
        self.shown = {"calls"}
        self._numbers = {}
        self._rumors_told = set()

    def number(self, id_):
        """Return the number of a call, as the story tells it: the first one is #1."""
        return self._numbers.setdefault(bytes(id_), f"#{len(self._numbers) + 1}")

    def message(self, sender, receiver, message):
        """Return the line for a message; empty if it is not worth one."""
        if command_of(message) < CONTROL_FIRST:
            return self._exchange(decode(message))
        told = decode_control(message)
        if not any(isinstance(told, kind) for group in self.shown for kind in GROUPS[group]):
            return ""
        if isinstance(told, gossip.Gossiped):
            return self._gossip(sender, receiver, told)
        return self._control(told)

    def end(self, outcome: Reply | BraidError):
        """Return how a call has ended."""
        if isinstance(outcome, Reply):
            what = f"{_quoted(outcome.payload)} from {outcome.sender} through {outcome.broker}"
            return what + (", possible duplicate" if outcome.possible_duplicate else "")
        ran = ""
        if isinstance(outcome, RequestError):
            ran = ", may have been run" if outcome.maybe_executed else ", was not run"
        return f"{type(outcome).__name__}{ran}: {outcome}"

    def _exchange(self, message: Envelope):
        head = f"{Command(message.command).name} {self.number(message.id)}"
        sender = message.sender.decode()
        if message.command == REQUEST:
            parts = [
                f"{head} of {message.service.decode()} {_quoted(message.payload)}, {message.time_ms / 1000:g} s left"
            ]
            parts += [f"for {message.receiver.decode()}"] if message.receiver else []
            parts += ["possible duplicate"] if message.flags & Flag.POSSIBLE_DUPLICATE else []
            return ", ".join(parts)
        if message.command == REPLY:
            if message.code == Outcome.RESULT:
                return f"{head} {_quoted(message.payload)}"
            return f"{head} error {decode_failure(message.payload).code}"
        code = {WORKING: Progress, REJECT: Reason, CANCEL: Withdrawal}.get(message.command)
        parts = [head] if code is None else [f"{head} {_plain(code(message.code).name)}"]
        if message.command == REJECT and message.time_ms:
            parts.append(f"come back in {message.time_ms} ms")
        if message.command == WORKING and sender:
            parts.append(f"says {sender}")
        return ", ".join(parts)

    @staticmethod
    def _control(message):
        name = type(message).__name__.upper()
        if isinstance(message, control.Ready):
            return f"{name} for {message.service}, credit {message.credit}"
        if isinstance(message, control.Demand):
            return f"{name} for {message.service}, backlog {message.backlog}"
        if isinstance(message, control.Services):
            return f"{name} {', '.join(message.available) or 'none'}"
        if isinstance(message, control.Peers):
            return f"{name} {', '.join(peer.certificate.decode() for peer in message.brokers)}"
        if isinstance(message, control.Goodbye):
            return f"{name} {message.reason}"
        return name

    def _gossip(self, sender, receiver, message):
        if isinstance(message, gossip.Nack):
            return "NACK"
        new = [each for each in message.rumors if (sender, receiver, each) not in self._rumors_told]
        self._rumors_told.update((sender, receiver, each) for each in new)
        told = [
            f"{each.name} is {each.state}{f', says {each.by}' if each.by else ''} (life {each.incarnation})"
            for each in new
        ]
        probe = isinstance(message, gossip.Probe)
        if not (told or probe):
            return ""
        name = type(message).__name__.upper()
        return f"{name}{f' {message.target}' if probe else ''}{': ' if told else ''}{'; '.join(told)}"


def _plain(name):
    return name.lower().replace("_", " ")


def _quoted(payload):
    return f'"{payload.decode()}"'
