"""What tests of a worker share: the answer that a broker got, and how many handlers go on without a place."""

from braidmq.core.worker.worker import WorkerCore
from braidmq.wire.envelope import Envelope
from tests.support.rigs.node_rig import Broker


def answer_of(broker: Broker, tag: int) -> Envelope:
    """Return the only final answer that the broker got; it is to that tag."""
    (answer,) = broker.answers()
    assert answer.tag == tag
    return answer


def strays(worker: WorkerCore) -> int:
    """Return how many handlers go on without their places."""
    return sum(service.strays for service in worker.services)
