"""A net behind a bridge, as processes of which some are killed."""

import signal
import sys

from braidmq.blocking import Node
from braidmq.lab.processes.ports import free_ports
from tests.support.processes import wait_until

SERVICES = """
from braidmq import Services

services = Services()


@services.service("pricing")
async def pricing(request):
    return b"price " + request.payload
"""

WAIT_S = 20
"""How long foreign workers may take to be there, again."""


class Bridged:
    """Two brokers, a worker for `pricing`, and a bridge.

    Attributes:
        live: the net.
        brokers: by name.
        endpoint: of the bridge, also after it was started anew.
        bridge: the newest process of it.
    """

    def __init__(self, live, directory, kind, *, serves):
        self.live = live
        self._kind = kind
        live.add_members("b1", "b2")
        live.add_node("bridge-1", calls=["*"], serves=[serves])
        self.brokers = {name: live.broker(name) for name in ("b1", "b2")}
        (directory / "app.py").write_text(SERVICES)
        live.serve("app:services", cwd=directory)
        live.wait_for_workers("pricing")
        self.endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
        self.bridge = self.start()

    def start(self):
        """Start the bridge."""
        options = ("--join", self.live.join("bridge-1"), "--bind", self.endpoint)
        bridge = self.live.start("bridge", self._kind, *options)
        bridge.wait_for_line(f"the {self._kind} bridge of bridge-1 listens at ")
        return bridge

    def launch(self, program, *arguments):
        """Start a foreign program."""
        return self.live.launch([sys.executable, program, *arguments], talks=True)

    def ask_while_they_die(self, service, workers):
        """Ask two foreign workers 200 times, while a broker and the first of them are killed; return the replies."""
        replies = []
        with Node(self.live.join("client")) as node:
            node.wait_for_services(service, timeout=WAIT_S)
            for number in range(200):
                replies.append(node.request(service, b"%d" % number, timeout=WAIT_S))
                if number == 70:
                    self.brokers["b1"].end(signal.SIGKILL)
                if number == 140:
                    workers[0].end(signal.SIGKILL)
        assert {reply.sender for reply in replies} == {"bridge-1"}
        return replies

    def ask_after_its_death(self, service, payload):
        """Ask a foreign worker once the bridge was killed, and is there again; return the payload of the reply."""
        with Node(self.live.join("client")) as node:
            node.wait_for_services(service, timeout=WAIT_S)
            self.bridge.end(signal.SIGKILL)
            wait_until(lambda: service not in node.services_available(), "brokers notice that the bridge has gone")
            self.start()
            node.wait_for_services(service, timeout=WAIT_S)
            return node.request(service, payload, timeout=WAIT_S).payload
