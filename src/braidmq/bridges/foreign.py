"""A bridge to programs of ZeroMQ: a core, a ROUTER, and a node for each member behind it."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from braidmq.bridges.driver import Driver
from braidmq.bridges.kinds import Plan
from braidmq.bridges.options import RouterOptions
from braidmq.bridges.places import check_near
from braidmq.bridges.plain import PlainDoor
from braidmq.bridges.port import OWN, BridgeCore, Rights
from braidmq.bridges.router import Router
from braidmq.bridges.telling import Figures, Teller
from braidmq.host.loggers import own_logger

_LOG = own_logger("braidmq.bridge")

MakeCore = Callable[[Rights, int], BridgeCore]
"""Makes the core of a bridge, given who may do what, and the largest payload in bytes."""


class RouterBridge:
    """A bridge whose endpoint is a ROUTER. See kinds.Bridge.

    Args:
        name: its kind, for the log.
        plan: what it is made of; its options are RouterOptions.
        bind: where it listens if the options do not say.
        make_core: makes its core.

    Raises:
        ConfigError: a join file is wrong, or it would listen where it must not.
    """

    def __init__(self, name: str, plan: Plan, bind: tuple[str, ...], make_core: MakeCore) -> None:
        assert isinstance(plan.options, RouterOptions)
        self._name = name
        self._options = plan.options
        self._settings = plan.settings
        self._bind = tuple(plan.options.bind) or bind
        why = "PLAIN hides no password" if plan.options.users else "whoever reaches it may use it"
        check_near(self._bind, allowed=plan.options.insecure_bind, why=why)
        self._members = {user: user for user, told in plan.options.users.items() if told.join}
        self._nodes = {OWN: plan.node(plan.join)}
        for user in self._members:
            path = Path(plan.options.users[user].join)
            self._nodes[user] = plan.node(plan.folder / path)
        self._teller = Teller(self._nodes[OWN], name, self._figures, plan.metrics)
        self._make_core = make_core
        self._ends = contextlib.AsyncExitStack()
        self._router: Router | None = None
        self._core: BridgeCore | None = None
        self._driver: Driver | None = None

    async def start(self) -> None:
        """See kinds.Bridge."""
        async with contextlib.AsyncExitStack() as ends:
            for node in self._nodes.values():
                await ends.enter_async_context(node)
            bytes_max = self._settings.payload_bytes_max
            core = self._make_core(self._nodes.__getitem__, bytes_max)
            driver = Driver(core, self._nodes, self._settings)
            door = _door(self._options) if self._options.users else None
            router = Router(driver, payload_bytes_max=bytes_max, door=door, members=self._members)
            ends.push_async_callback(router.close)
            ends.callback(driver.end)  # what it says last leaves before its endpoint is closed
            router.bind(self._bind)
            driver.start(router)
            self._core, self._driver, self._router = core, driver, router
            ends.callback(self._tell_counters)
            self._teller.start()
            ends.callback(self._teller.stop)
            self._ends = ends.pop_all()

    async def drain(self) -> None:
        """See kinds.Bridge."""
        assert self._driver is not None
        await self._driver.drain(self._settings.drain_s)
        await self.close()

    async def close(self) -> None:
        """See kinds.Bridge."""
        await self._ends.aclose()

    def _figures(self) -> Figures:
        assert self._core is not None
        assert self._router is not None
        services = sum(len(node.services) for node in self._nodes.values())
        return Figures(self._router.peers, services, self._core.counters | self._router.counters)

    def _tell_counters(self) -> None:
        tell_counters(f"the {self._name} bridge of {self._nodes[OWN].name}", self._figures().counters)

    def endpoints(self) -> Sequence[str]:
        """See kinds.Bridge."""
        return () if self._router is None else tuple(self._router.endpoints)

    def told(self) -> str:
        """See kinds.Bridge."""
        where = ", ".join(self.endpoints() or self._bind)
        return f"the {self._name} bridge of {self._nodes[OWN].name} listens at {where}"


def tell_counters(bridge: str, counters: Mapping[str, int]) -> None:
    """Let the log have what a bridge has counted, as it ends."""
    told = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counters.items() if count)
    _LOG.info("%s ends; it has counted: %s", bridge, told or "nothing")


def _door(options: RouterOptions) -> PlainDoor:
    passwords: Mapping[str, str] = {user: told.password for user, told in options.users.items()}
    return PlainDoor(passwords)
