"""The errors with which calls end: what each situation is called, and what its text says."""

from braidmq.core.client.call import Call, Stage
from braidmq.errors import (
    AccessDenied,
    AttemptsExhausted,
    BraidError,
    DeadlineExceeded,
    NoBroker,
    NotRegistered,
    NoWorker,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    ServiceError,
    is_code,
)
from braidmq.printable import printable
from braidmq.wire.control import Failure
from braidmq.wire.envelope import Reason

_LOST = "was lost with its worker or broker, and may have been run"
_WORKERLESS = "is one running, may it serve this service, and was it not taken out?"


def complete(error: BraidError, call: Call) -> None:
    """Let an error say of which call it is the end."""
    if isinstance(error, RequestError):
        error.request_id = call.id
        error.service = call.service.decode()
        error.attempts = call.sends
        error.maybe_executed = isinstance(error, ServiceError) or call.flagged or call.path is not None


def handler_failed(failure: Failure, sender: str) -> ServiceError:
    """Return a handler's error as its caller gets it; other implementations may send codes that are none."""
    if is_code(failure.code):
        return ServiceError(failure.code, failure.message, failure.details)
    text = f"{sender} answered with an error whose code is {printable(failure.code)!r:.50}: {failure.message}"
    return ServiceError("INTERNAL", text, failure.details)


def denied(call: Call) -> RequestError:
    """Return the error of a call that this node may not make."""
    return may_not_call(call.service.decode())


def may_not_call(*services: str) -> AccessDenied:
    """Return the error that a node may not call some services, which says what to do."""
    mend = "the net's operator lets it by `braidmq set NAME --call ...`, with all that it may call"
    return AccessDenied(f"this node may not call {', '.join(services)}: {mend}")


def too_large(call: Call, broker: str) -> RequestError:
    """Return the error of a call whose payload exceeds a broker's limit."""
    return PayloadTooLarge(f"{broker} takes no payload of {len(call.payload)} bytes")


def no_such_broker(call: Call, known: list[str]) -> RequestError:
    """Return the error of a call that names a broker which the net does not have."""
    return NoBroker(f"{call.via} is no broker of this net: its brokers are {', '.join(known)}")


def exhausted(call: Call, why: str) -> RequestError:
    """Return the error of a call that may make no further attempt; `why` not."""
    service = call.service.decode()
    if call.rejection == Reason.NO_WORKER and not call.lost:
        return NoWorker(f"no worker provides {service}: {_WORKERLESS}")
    if call.rejection in (Reason.BUSY, Reason.DRAINING):
        return Overloaded(f"{service} is at its limit ({why}): call less often, or add workers")
    if call.rejection == Reason.DENIED:
        return denied(call)
    if call.rejection == Reason.TOO_LARGE:
        return too_large(call, call.tried[-1].name)
    if call.rejection == Reason.EXPIRED:
        return DeadlineExceeded(f"{service}: the request expired on its way")
    if call.rejection not in (None, Reason.NO_WORKER) and not call.lost:
        return AttemptsExhausted(
            f"{service}: the brokers that were asked refuse the request, and give no reason ({why})"
        )
    return AttemptsExhausted(f"{service} {_LOST}; {'no worker is left' if call.rejection == Reason.NO_WORKER else why}")


def refused(call: Call, diagnosis: str, *, key_refused: bool) -> BraidError:
    """Return the error of a call whose node no broker can ever let in.

    NotRegistered, which promises that the request was not run, is that of a key that is none of the net's.
    """
    why = f"every broker refuses this node's key: {diagnosis}" if key_refused else f"no broker fits: {diagnosis}"
    if call.lost:
        return AttemptsExhausted(f"{call.service.decode()}: an earlier attempt was lost, and {why}")
    return NotRegistered(why) if key_refused else NoBroker(why)


def out_of_time(call: Call, *, awaits_worker: bool, diagnosis: str, in_flight_max: int) -> RequestError:
    """Return the error of a call whose deadline has passed.

    Args:
        call: still in its last stage.
        awaits_worker: whether it waited for a worker.
        diagnosis: why brokers are not reached; empty if nothing is known of any.
        in_flight_max: the setting.
    """
    service = call.service.decode()
    if call.stage is Stage.PARKED:
        unknown = f"{call.via} is not known" if call.via else "none is known"
        return NoBroker(f"no broker could be reached: {diagnosis or unknown}")
    if call.stage is Stage.QUEUED:
        return Overloaded(f"{service}: no place was free among in_flight_max={in_flight_max}")
    if awaits_worker and call.lost:
        return AttemptsExhausted(f"{service} {_LOST}; no worker came in time")
    if awaits_worker:
        return NoWorker(f"no worker for {service} came in time: {_WORKERLESS}")
    return DeadlineExceeded(f"{service} gave no answer in time")
