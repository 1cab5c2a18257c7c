"""Callers that want their replies proved, and what tests look at in them and in their workers."""

from braidmq import Settings

CAREFUL = Settings.test(authenticate_replies="always", retry_budget_max=1_000.0)


def unproven(node):
    """How many replies a caller has refused."""
    return node._loop.core.client.unproven


def knows(node, serial):
    """Whether a node goes by the certificate with this number."""
    return node._loop.papers.serial == serial


def names_at(broker):
    """The names of the nodes that have sessions with a broker."""
    return {node.name for node in broker.report().nodes}
