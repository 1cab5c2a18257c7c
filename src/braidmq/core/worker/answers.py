"""What a worker says of the requests that it has got: that it is at one, that one is lost or refused, and replies."""

from typing import Final

from braidmq.core.events.node import ResultTooLarge
from braidmq.core.links.link import Link
from braidmq.core.links.links import Links
from braidmq.core.proofs import Prover
from braidmq.core.worker.job import Delivery, Job
from braidmq.errors import ServiceError
from braidmq.wire import control
from braidmq.wire.envelope import LOST, REPLY, UINT32, WORKING, Envelope, Outcome, head_of, now_ms, pack
from braidmq.wire.extension import Field, pack_field
from braidmq.wire.forward import readdressed

_RESULT: Final = int(Outcome.RESULT)
_ERROR: Final = int(Outcome.ERROR)


class Answers:
    """Answers copies of requests. What is said to one goes into the session that it came through, or nowhere.

    `reply_to` makes the reply to the first copy of a request, which its owner sends; `repeat` sends it to another copy.
    `say` is for all else, `say_all` for all copies of a job.

    Args:
        instance: tells this process from others with the same key.
        prover: proves replies to callers that ask for it.
    """

    __slots__ = ("_instance", "_links", "prover")

    def __init__(self, links: Links, instance: bytes, prover: Prover | None) -> None:
        self._links = links
        self._instance = pack_field(Field.INSTANCE, instance)
        self.prover = prover

    def fits(self, outcome: bytes | ServiceError) -> bool:
        """Whether an outcome is a result that may be replied with, and no error."""
        return isinstance(outcome, bytes) and len(outcome) <= self._links.payload_bytes_max

    def reply_to(self, job: Job, outcome: bytes | ServiceError, now: float) -> bytes:
        """Return the reply to the first copy of a request. It fits the largest limit of the brokers at least."""
        code, payload = _RESULT, b""
        if isinstance(outcome, bytes):
            payload = outcome
        limit = self._links.payload_bytes_max
        if len(payload) > limit:
            text = f"the result of {len(payload)} bytes exceeds the limit of {limit}"
            outcome = ServiceError("RESULT_TOO_LARGE", text)
            sender, id_ = job.request.sender.decode("ascii", "replace"), job.request.id.hex()
            self._links.events.add(ResultTooLarge(job.service.name.decode(), id_, sender, text))
        if isinstance(outcome, ServiceError):
            code, payload = _ERROR, control.encode_failure(outcome, limit)
        request, sent_ms = job.request, now_ms(now)
        extension = b""
        if request.extension and self.prover is not None:
            extension = self.prover.prove(request, code, payload)
        ran_ms = min(UINT32, int((now - job.begun_at) * 1000)) if job.begun else 0
        return pack(
            REPLY, request.id, request.flags, request.retry_count, sent_ms, ran_ms, request.tag, code=code,
            extension=extension, payload=payload,
        )  # fmt: skip

    def repeat(self, reply: bytes, delivery: Delivery, now: float) -> None:
        """Answer another copy of a request with its reply; where that is too large for the broker, it is lost."""
        if head_of(reply).payload_bytes > delivery.link.payload_bytes_max:
            self.say(LOST, 0, head_of(reply).id, delivery, now)
        elif delivery.open:
            sent_ms, count = now_ms(now), delivery.retry_count
            self._links.send(delivery.link, readdressed(reply, tag=delivery.tag, retry_count=count, sent_ms=sent_ms))

    def say(self, command: int, code: int, id_: bytes, delivery: Delivery, now: float) -> None:
        """Answer one copy of a request with a WORKING, REJECT or LOST."""
        if delivery.open:
            sent_ms = now_ms(now)
            extension = self._instance if command == WORKING else b""
            self._links.send(
                delivery.link,
                pack(command, id_, 0, 0, sent_ms, sent_ms if command == WORKING else 0, delivery.tag, code=code,
                     extension=extension),
            )  # fmt: skip

    def say_too_large(self, link: Link, request: Envelope, limit: int, now: float) -> None:
        """Answer a request of more bytes (its `time_ms`) than this node takes, which has not come in full."""
        text = f"the request of {request.time_ms} bytes exceeds the limit of its worker, {limit}"
        payload = control.encode_failure(ServiceError("REQUEST_TOO_LARGE", text), limit)
        self._links.send(link, pack(REPLY, request.id, 0, 0, now_ms(now), 0, request.tag, code=_ERROR, payload=payload))

    def say_all(self, command: int, code: int, job: Job, now: float) -> None:
        """Answer all copies of a job in the same way."""
        for delivery in job.deliveries:
            self.say(command, code, job.request.id, delivery, now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        if self.prover is not None:
            self.prover.validate_state()
