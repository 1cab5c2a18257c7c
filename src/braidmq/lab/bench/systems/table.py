"""All systems that can be compared, by name."""

from typing import Final

from braidmq.lab.bench.systems.braidmq import BraidMQ
from braidmq.lab.bench.systems.gearman import Gearman
from braidmq.lab.bench.systems.grpc import Grpc
from braidmq.lab.bench.systems.limit import Limit
from braidmq.lab.bench.systems.nats import Nats
from braidmq.lab.bench.systems.rabbitmq import RabbitMQ
from braidmq.lab.bench.systems.system import System
from braidmq.lab.bench.systems.zenoh import Zenoh

OURS: Final = "braidmq"

_ALL: Final[tuple[System, ...]] = (
    BraidMQ(),
    BraidMQ(local=True),
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
