"""RabbitMQ: one server of the distribution's package, a queue for requests and its direct reply-to, without TLS."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from braidmq.lab.bench.cells import Shape
from braidmq.lab.bench.systems.system import Net, not_importable, started
from braidmq.lab.processes.ports import HOST, free_ports

_SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQ:
    """See System."""

    name = "rabbitmq"
    title = "RabbitMQ, plain"
    ends = "braidmq.lab.bench.ends.rabbitmq"
    single = True

    def missing(self) -> str:
        """See System."""
        return not_importable("aio_pika") or ("" if _SERVER.exists() else "apt install rabbitmq-server")

    @asynccontextmanager
    async def net(self, directory: Path, shape: Shape) -> AsyncIterator[Net]:
        """See System. Erlang's port mapper is started with it, on a port of its own, and ended with it."""
        port, distribution, mapper = free_ports(3)
        (directory / "plugins").write_text("[].\n")
        env = {
            "HOME": str(directory),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(mapper),
            "RABBITMQ_NODENAME": f"bench{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        }
        url = f"amqp://guest:guest@{HOST}:{port}/"
        try:
            async with started(directory, {"rabbitmq": [str(_SERVER)]}, [port], env=env) as servers:
                yield Net(servers, [url] * shape.clients, [url] * shape.workers)
        finally:
            end = ["/usr/bin/epmd", "-port", str(mapper), "-kill"]
            subprocess.run(end, stdout=subprocess.DEVNULL, check=False)  # noqa: ASYNC221, S603 - all is over
