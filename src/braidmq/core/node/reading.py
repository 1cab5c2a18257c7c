"""The messages of brokers, each to whoever handles its kind. None of them raises: it ends its connection at most."""

from collections.abc import Callable
from typing import Any

from braidmq.core.client.client import ClientCore
from braidmq.core.intake import Intake
from braidmq.core.links.link import Link
from braidmq.core.links.links import Links
from braidmq.core.worker.worker import WorkerCore
from braidmq.errors import ProtocolError
from braidmq.wire.envelope import (
    CANCEL,
    COMMAND_AT,
    CUT,
    LOST,
    MAJOR,
    REJECT,
    REPLY,
    REQUEST,
    SENT_AT,
    SENT_END,
    VERSION_AT,
    WORKING,
    decode,
)


class Reading:
    """Reads what has come to one node.

    Attributes:
        handlers: of control messages that are not about a connection itself, by their numbers; there may be more later.

    Args:
        links: the node's; they handle what is about a connection itself.
        client: gets answers.
        worker: gets requests.
        intake: what waits to be read.
        settle: does what follows from messages, behind those of each frame.
        contained: the same, and does not raise.
    """

    __slots__ = ("_client", "_contained", "_intake", "_links", "_settle", "_worker", "handlers")

    def __init__(
        self,
        links: Links,
        client: ClientCore,
        worker: WorkerCore,
        handlers: dict[int, Callable[[Link, Any, float], None]],
        *,
        intake: Intake[Link],
        settle: Callable[[float], None],
        contained: Callable[[float], None],
    ) -> None:
        self._links = links
        self._client = client
        self._worker = worker
        self.handlers = handlers
        self._intake = intake
        self._settle = settle
        self._contained = contained

    def read(self, link: Link, messages: list[bytes], intact: bool, now: float) -> None:
        """Handle messages that stood in one frame, one behind the other."""
        message = b""
        try:
            sent, age_s = b"", 0.0
            if len(messages) > 1:  # the last one was written last
                link.staleness.age_s(int.from_bytes(messages[-1][SENT_AT:SENT_END]), now)
            for message in messages:
                if message[SENT_AT:SENT_END] != sent:  # the first one, or one added to what waited for a full pipe
                    sent = message[SENT_AT:SENT_END]
                    age_s = link.staleness.age_s(int.from_bytes(sent), now)
                self._on_message(link, message, age_s, now)
            if not intact:
                self._links.on_malformed(link, "a frame that is no bundle")
            self._settle(now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self._links.contain(link, message, error, now)
            self._contained(now)

    def read_on(self, now: float) -> None:
        """Handle what waits of the frames that have come, as much as may be done in one turn."""
        for link, messages, intact in self._intake.portions():
            self.read(link, messages, intact, now)

    def _on_message(self, link: Link, message: bytes, age_s: float, now: float) -> None:
        command = message[COMMAND_AT]
        if message[VERSION_AT] >> 4 != MAJOR:
            self._links.on_foreign(link, message, now)
        elif command in (REPLY, WORKING, REJECT, LOST):
            self._client.on_answer(link, message, now)
        elif command == REQUEST:
            self._worker.on_request(link, message, age_s, now)
        elif command == CANCEL:
            self._worker.on_cancel(link, message, now)
        elif command == CUT:
            self._on_cut(link, message, now)
        elif command in self.handlers or self._links.handles(command):  # others are not even decoded
            received = self._links.on_control(link, message, now)
            if received is not None:
                self.handlers[command](link, received, now)

    def _on_cut(self, link: Link, message: bytes, now: float) -> None:
        """Handle what stands for a message that is longer than this node takes; a broker may also make it up."""
        try:
            cut = decode(message)
        except ProtocolError as error:
            self._links.on_malformed(link, str(error))
            return
        if cut.code == REPLY:
            self._client.on_cut(link, cut, now)
        elif cut.code == REQUEST:
            self._worker.on_cut(link, cut, now)
