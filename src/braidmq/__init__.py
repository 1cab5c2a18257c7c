"""BraidMQ: request/reply over ZeroMQ's protocol that outlives its brokers.

Names are loaded when they are first used, so that a program pays only for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from braidmq.errors import (
        AccessDenied,
        AttemptsExhausted,
        BraidError,
        ConfigError,
        DeadlineExceeded,
        NoBroker,
        NodeClosed,
        NotRegistered,
        NotRun,
        NoWorker,
        OutcomeUnknown,
        Overloaded,
        PayloadTooLarge,
        ProtocolError,
        RequestError,
        ServiceError,
        WrongLoop,
    )
    from braidmq.messages import Reply, Request
    from braidmq.node import BrokerInfo, Node
    from braidmq.observer import AttemptEnd, BrokerObserver, GivenUp, JobEnd, NodeObserver, NodeTracer
    from braidmq.services import Services
    from braidmq.settings import Settings

__all__ = [
    "AccessDenied",
    "AttemptEnd",
    "AttemptsExhausted",
    "BraidError",
    "BrokerInfo",
    "BrokerObserver",
    "ConfigError",
    "DeadlineExceeded",
    "GivenUp",
    "JobEnd",
    "NoBroker",
    "NoWorker",
    "Node",
    "NodeClosed",
    "NodeObserver",
    "NodeTracer",
    "NotRegistered",
    "NotRun",
    "OutcomeUnknown",
    "Overloaded",
    "PayloadTooLarge",
    "ProtocolError",
    "Reply",
    "Request",
    "RequestError",
    "ServiceError",
    "Services",
    "Settings",
    "WrongLoop",
]

_HOMES = {
    "AttemptEnd": "braidmq.observer",
    "BrokerInfo": "braidmq.node",
    "BrokerObserver": "braidmq.observer",
    "GivenUp": "braidmq.observer",
    "JobEnd": "braidmq.observer",
    "Node": "braidmq.node",
    "NodeObserver": "braidmq.observer",
    "NodeTracer": "braidmq.observer",
    "Reply": "braidmq.messages",
    "Request": "braidmq.messages",
    "Services": "braidmq.services",
    "Settings": "braidmq.settings",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "braidmq.errors")), name)
    globals()[name] = value
    return value
