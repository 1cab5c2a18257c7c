"""What a node has of libzmq: its context, and a socket for each connection to a broker."""

from typing import Final

import zmq

from braidmq.zeromq.dealer import Dealer
from braidmq.zeromq.sockets import new_context


class Connections:
    """An I/O context and its sockets. It knows nothing of the node, so that it outlives one that is forgotten.

    Attributes:
        context: makes the sockets.
        dealers: the connections that there are, by the name of the broker.

    Raises:
        NoRoom: this process may not have the descriptors or the threads.
    """

    def __init__(self) -> None:
        self.context: Final[zmq.Context[zmq.Socket[bytes]]] = new_context()
        self.dealers: Final[dict[str, Dealer]] = {}

    def close(self) -> None:
        """Close all that is open, and end the context. What waits to be sent is dropped."""
        while self.dealers:
            self.dealers.popitem()[1].close()
        self.context.term()

    def let_go(self) -> None:
        """Close this process's copies of the connections, which stay those of the process that it was forked from."""
        for dealer in self.dealers.values():
            dealer.let_go()
