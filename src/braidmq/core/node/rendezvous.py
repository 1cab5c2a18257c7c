"""Which brokers a node connects to, where there are more than it wants: rendezvous hashing (Thaler, Ravishankar 1998).

Each node ranks all brokers by a hash of both names. So the choice is stable, needs no agreement, spreads the nodes
evenly, and a broker that comes or goes moves only the connections to itself.
"""

from collections.abc import Iterable
from hashlib import blake2b

from braidmq.core.links.link import Link, LinkState


def rank(node: str, broker: str) -> bytes:
    """Return what orders the brokers for a node: the lowest come first."""
    return blake2b(broker.encode(), key=node.encode()[:64], digest_size=8).digest()


def is_sound(link: Link) -> bool:
    """Whether there is a session with a broker, or nothing that speaks against one."""
    return link.open or link.failure is None


def choose(node: str, links: Iterable[Link], wanted_max: int, kept: Iterable[str], now: float) -> set[str]:
    """Return the names of the brokers to connect to.

    Args:
        node: the node's name.
        links: the brokers that it knows.
        wanted_max: how many are to be connected.
        kept: brokers that are wanted in any case.
        now: the time.

    Those that cannot be reached count as well, so that they are used again once they are back; but as many others
    are chosen in their place, up to `wanted_max`. Where there are not enough of these, the places that are left go
    round among all others: what one of them was like when it was tried last says nothing of how it is by now.
    """
    chosen, others = set(kept), []
    sound = failing = 0
    for link in sorted(links, key=lambda link: rank(node, link.name)):
        if sound >= wanted_max:
            break
        if is_sound(link):
            sound += 1
        elif failing < wanted_max:
            failing += 1
        else:
            if link.state is LinkState.CONNECTING or link.wake_at <= now:
                others.append(link)
            continue
        chosen.add(link.name)
    others.sort(key=lambda link: (link.state is not LinkState.CONNECTING, link.wake_at))
    chosen.update([link.name for link in others[: wanted_max - sound]])
    return chosen
