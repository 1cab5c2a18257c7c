"""All systems that can be compared, by name."""

from typing import Final

from braidmq.bench.systems.braidmq import BraidMQ
from braidmq.bench.systems.gearman import Gearman
from braidmq.bench.systems.grpc import Grpc
from braidmq.bench.systems.limit import Limit
from braidmq.bench.systems.nats import Nats
from braidmq.bench.systems.rabbitmq import RabbitMQ
from braidmq.bench.systems.system import System
from braidmq.bench.systems.zenoh import Zenoh

OURS: Final = "braidmq"

_ALL: Final[tuple[System, ...]] = (
    BraidMQ(),
    Limit(),
    Nats(tls=True),
    Nats(tls=False),
    Grpc(tls=True),
    Grpc(tls=False),
    Zenoh(),
    RabbitMQ(),
    Gearman(),
)

SYSTEMS: Final[dict[str, System]] = {system.name: system for system in _ALL}
