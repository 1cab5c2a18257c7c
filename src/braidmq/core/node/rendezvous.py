"""Which brokers a node connects to, where there are more than it wants: rendezvous hashing (Thaler, Ravishankar 1998).

Each node ranks all brokers by a hash of both names. So the choice is stable, needs no agreement, spreads the nodes
evenly, and a broker that comes or goes moves only the connections to itself.
"""

from collections.abc import Iterable
from hashlib import blake2b

from braidmq.core.links.link import Link


def rank(node: str, broker: str) -> bytes:
    """Return what orders the brokers for a node: the lowest come first."""
    return blake2b(broker.encode(), key=node.encode()[:64], digest_size=8).digest()


def choose(node: str, links: Iterable[Link], wanted_max: int, kept: Iterable[str]) -> set[str]:
    """Return the names of the brokers to connect to.

    Args:
        node: the node's name.
        links: the brokers that it knows.
        wanted_max: how many are to be connected.
        kept: brokers that are wanted in any case.

    Those that cannot be reached count as well, so that they are used again once they are back; but as many others
    are chosen in their place, up to `wanted_max`.
    """
    chosen = set(kept)
    sound = failing = 0
    for link in sorted(links, key=lambda link: rank(node, link.name)):
        if sound >= wanted_max:
            break
        if link.open or link.failure is None:
            sound += 1
        elif failing < wanted_max:
            failing += 1
        else:
            continue
        chosen.add(link.name)
    return chosen
