"""What tests of calls share: how a call ended, and a retry budget that is spent."""

from typing import Any

from braidmq.errors import BraidError, RequestError
from braidmq.messages import Reply
from braidmq.wire.envelope import CANCEL, Envelope, Flag, Reason, Withdrawal
from tests.support.rigs.node_rig import Broker, NodeRig

HOLD_S = 0.22
"""Longer than a young call waits after a loss before it goes on (core/patience.py)."""

UNPAID: dict[str, Any] = {"retry_budget_max": 1.0, "retry_budget_ratio": 0.0, "retry_budget_per_s": 0.0}


def reply_of(rig: NodeRig, id_: bytes) -> Reply:
    outcome = rig.results[id_]
    assert isinstance(outcome, Reply)
    return outcome


def error_of(rig: NodeRig, id_: bytes, kind: type[BraidError], *, attempts: int, maybe_executed: bool) -> RequestError:
    """Return the error that the call ended with; it says what the call knows."""
    error = rig.results[id_]
    assert type(error) is kind
    assert isinstance(error, RequestError)
    assert (error.request_id, error.service) == (id_, "echo")
    assert (error.attempts, error.maybe_executed) == (attempts, maybe_executed)
    return error


def flagged(request: Envelope) -> bool:
    return bool(request.flags & Flag.POSSIBLE_DUPLICATE)


def spend_budget(rig: NodeRig) -> None:
    """Spend the only token of an UNPAID budget."""
    id_ = rig.call(attempts=2)
    broker, request = rig.attempt()
    broker.reject(request, Reason.BUSY)
    broker, request = rig.attempt()
    broker.reply(request)
    del rig.results[id_]
    rig.begun.discard(id_)


def called_back(broker: Broker) -> list[Envelope]:
    """Return the CANCELs that a broker got for good, and forget those that only told of another attempt."""
    return [cancel for cancel in broker.take(CANCEL) if cancel.code == Withdrawal.GIVEN_UP]
