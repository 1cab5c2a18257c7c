"""How much the cores hold of everything that has a bound, with the bound."""

from collections.abc import Iterator

from braidmq.core.broker.broker import BrokerCore
from braidmq.core.broker.catalogue import EXPECTED_MAX, SERVES_MAX
from braidmq.core.broker.key_usage import KEY_IN_FLIGHT_FACTOR
from braidmq.core.broker.session_life import STRANGERS_MAX
from braidmq.core.intake import LARGE_WAITING_BYTES_MAX, WAITING_BYTES_MAX
from braidmq.core.membership.probing import FORWARDS_MAX
from braidmq.core.node.node import NodeCore
from braidmq.settings import Settings
from braidmq.wire.limits import BROKERS_MAX

Size = tuple[str, int, int]
"""What is held, how much of it, and how much may be held."""


def sizes_of_broker(core: BrokerCore) -> Iterator[Size]:
    """Yield the sizes of a broker."""
    settings, dispatcher, membership = core.settings, core.dispatcher, core.peering.membership
    yield "sessions", len(core.sessions), settings.nodes_max
    yield "strangers", core.strangers, STRANGERS_MAX
    yield "services", len(dispatcher.services), settings.services_max
    yield "bytes of waiting requests", dispatcher.queues.bytes, settings.queue_bytes_max
    yield "members", len(membership.members), BROKERS_MAX
    yield "forwarded probes", membership.probing.forwarded, FORWARDS_MAX
    for service in dispatcher.services.values():
        yield "waiting requests of a service", service.queued, settings.queue_messages_max
    for usage in core.usages:
        yield "sessions of a key", usage.sessions, settings.connections_per_key_max
        yield "requests of a key", usage.in_flight, settings.in_flight_max * KEY_IN_FLIGHT_FACTOR
        yield "bytes of waiting requests of a key", usage.queued_bytes, settings.in_flight_bytes_max
        yield "unread bytes of a key", usage.inlet.bytes, WAITING_BYTES_MAX
        yield "unread bytes of large messages of a key", usage.inlet.large_bytes, LARGE_WAITING_BYTES_MAX
        yield "services that a key waits for", usage.expected, EXPECTED_MAX
        yield "services of a key", len(usage.serves), SERVES_MAX


def sizes_of_node(core: NodeCore, settings: Settings) -> Iterator[Size]:
    """Yield the sizes of a node."""
    client, worker = core.client, core.worker
    yield "brokers", len(core.links.links), BROKERS_MAX
    yield "calls", len(client) - client.waiting, client.most
    yield "waiting calls", client.waiting, client.most_waiting
    yield "remembered requests", len(worker.cache), settings.dedup_entries_max
    yield "bytes of remembered replies", worker.cache.size_bytes, settings.dedup_bytes_max
    for service in worker.services:
        yield "running requests of a service", service.running, service.most
        yield "requests of one broker for a service", max(service.held.values(), default=0), service.most
        yield "requests of a service without a place", len(service.queue), service.most + len(core.links.links)
