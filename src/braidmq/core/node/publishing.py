"""A node that hands a newer registry to the brokers of its net."""

from collections.abc import Callable
from typing import Any

from braidmq.core.links.link import Link
from braidmq.core.links.links import Links
from braidmq.core.registry.ledger import Edition
from braidmq.core.registry.transfer import Shelf
from braidmq.wire.kinds import by_number
from braidmq.wire.registry import Published, RegistryVersion, RegistryWanted


class Publishing:
    """Tells every broker that is up of one registry, hands it to those that want it, and hears what becomes of it.

    Attributes:
        outcomes: what each broker has answered last, by its name.
        handlers: by the number of the message.

    Args:
        edition: the registry.
        links: of the node.
    """

    __slots__ = ("_edition", "_links", "_shelf", "handlers", "outcomes")

    def __init__(self, edition: Edition, links: Links) -> None:
        self.outcomes: dict[str, Published] = {}
        self._edition = edition
        self._links = links
        self._shelf = Shelf(edition)
        self.handlers: dict[int, Callable[[Link, Any, float], None]] = by_number(
            {RegistryWanted: self._on_wanted, Published: self._on_published}
        )

    def tell(self, link: Link, now: float) -> None:
        """Tell a broker which registry there is."""
        self._links.send_control(link, RegistryVersion(self._edition.version, self._edition.digest), now)

    def _on_wanted(self, link: Link, wanted: RegistryWanted, now: float) -> None:
        for part in self._shelf.parts(wanted):
            self._links.send_control(link, part, now)

    def _on_published(self, link: Link, published: Published, _now: float) -> None:
        self.outcomes[link.name] = published
