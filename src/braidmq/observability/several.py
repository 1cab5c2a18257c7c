"""Several observers of one node."""

from collections.abc import Callable

from braidmq.host.contained_observer import contained
from braidmq.host.loggers import own_logger
from braidmq.observer import NodeObserver

_LOG = own_logger("braidmq.node")


def together(*observers: NodeObserver) -> NodeObserver:
    """Return an observer that tells all of these, in order, whatever single ones raise."""
    each = [contained(observer, NodeObserver, _LOG) for observer in observers]
    names = [name for name in vars(NodeObserver) if name.startswith("on_")]
    hooks = {name: _telling([getattr(observer, name) for observer in each]) for name in names}
    several: NodeObserver = type("Together", (NodeObserver,), hooks)()
    return several


def _telling(hooks: list[Callable[..., None]]) -> Callable[..., None]:
    def tell(_self: NodeObserver, *arguments: object) -> None:
        for hook in hooks:
            hook(*arguments)

    return tell
