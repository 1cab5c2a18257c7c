"""The zgossip bridge as a process runs it: its endpoint, its connections to other nodes, and its own node."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from braidmq.bridges.driver import Driver
from braidmq.bridges.foreign import tell_counters
from braidmq.bridges.kinds import Bridge, Kind, Plan
from braidmq.bridges.places import check_endpoint, check_near, is_near
from braidmq.bridges.port import OWN, Peer
from braidmq.bridges.router import Router
from braidmq.bridges.telling import Figures, Teller
from braidmq.bridges.zgossip.core import GossipCore
from braidmq.bridges.zgossip.keys import Keys
from braidmq.bridges.zgossip.limits import LOOK_S, OBSERVE_S, OBSERVE_TIMEOUT_S, VALUE_BYTES_MAX
from braidmq.bridges.zgossip.listing import listed
from braidmq.bridges.zgossip.options import ZgossipOptions
from braidmq.bridges.zgossip.remotes import Remotes
from braidmq.errors import BraidError, ConfigError
from braidmq.host.loggers import own_logger
from braidmq.node import Node
from braidmq.settings import Settings
from braidmq.trust import joinfile

_LOG = own_logger("braidmq.bridge")

NAME: Final = "zgossip"

BIND: Final = ("tcp://127.0.0.1:5670",)
"""Where it listens if nothing else is said: zgossip has no port of its own, and this is that of its kin, ZRE."""

_WHY: Final = "zgossip asks nobody who he is"

_SERVING: Final = ("up", "suspect")
"""States of a broker that takes calls."""


class GossipDriver(Driver):
    """Serves a core of zgossip, also what other bridges have no use for."""

    def __init__(self, core: GossipCore, nodes: Mapping[str, Node], settings: Settings) -> None:
        super().__init__(core, nodes, settings)
        self._gossip = core

    def on_connected(self, peer: Peer) -> None:
        """See remotes.Behind."""
        self._tell(partial(self._gossip.on_connected, peer))

    def on_facts(self, facts: Mapping[bytes, bytes]) -> None:
        """See GossipCore.on_facts."""
        self._tell(partial(self._gossip.on_facts, facts))
        self.schedule()

    def on_listed(self, names: frozenset[str] | None) -> None:
        """See GossipCore.on_listed."""
        self._tell(partial(self._gossip.on_listed, names))
        self.schedule()


class GossipBridge:
    """See kinds.Bridge.

    Raises:
        ConfigError: the join file is wrong, or it would listen or connect where it must not.
    """

    def __init__(self, plan: Plan) -> None:
        assert isinstance(plan.options, ZgossipOptions)
        options = self._options = plan.options
        self._plan = plan
        self._bind = tuple(options.bind) or BIND
        check_near(self._bind, allowed=options.insecure_bind, why=_WHY)
        for endpoint in options.connect:
            check_endpoint(endpoint, any_port=False)
            if not options.insecure_connect and not is_near(endpoint):
                raise ConfigError(
                    f"{endpoint} is on another machine, and {_WHY}: connect through a tunnel, or write "
                    "insecure_connect = true in [zgossip]"
                )
        identity = joinfile.load(plan.join)
        self._member = identity.certificate.member
        self._keys = Keys(options.net or identity.net, identity.name)
        self._node = plan.node(plan.join)
        self._teller = Teller(self._node, NAME, self._figures, plan.metrics)
        self._ends = contextlib.AsyncExitStack()
        self._router: Router | None = None
        self._core: GossipCore | None = None
        self._driver: GossipDriver | None = None

    async def start(self) -> None:
        """See kinds.Bridge."""
        async with contextlib.AsyncExitStack() as ends:
            await ends.enter_async_context(self._node)
            core = GossipCore(self._keys, lambda _member: self._node, self._options.put_prefix.encode())
            driver = GossipDriver(core, {OWN: self._node}, self._plan.settings)
            router = Router(driver, payload_bytes_max=VALUE_BYTES_MAX)
            ends.push_async_callback(router.close)
            remotes = Remotes(driver, router)
            ends.push_async_callback(remotes.close)
            ends.callback(driver.end)  # what it says last leaves before its connections are closed
            router.bind(self._bind)
            driver.start(router)
            self._core, self._driver, self._router = core, driver, router
            ends.callback(self._tell_counters)
            self._teller.start()
            ends.callback(self._teller.stop)
            self._look()
            remotes.connect(self._options.connect)
            ends.enter_context(_running(self._look_on()))
            if self._member.observe:
                ends.enter_context(_running(self._observe_on()))
            self._ends = ends.pop_all()

    async def drain(self) -> None:
        """See kinds.Bridge."""
        assert self._driver is not None
        await self._driver.drain(self._plan.settings.drain_s)
        await self.close()

    async def close(self) -> None:
        """See kinds.Bridge."""
        await self._ends.aclose()

    def _figures(self) -> Figures:
        assert self._core is not None
        assert self._router is not None
        return Figures(self._core.gauges["contacts"], 0, self._core.counters | self._router.counters)

    def _tell_counters(self) -> None:
        tell_counters(f"the {NAME} bridge of {self._node.name}", self._figures().counters)

    def endpoints(self) -> Sequence[str]:
        """See kinds.Bridge."""
        return () if self._router is None else tuple(self._router.endpoints)

    def told(self) -> str:
        """See kinds.Bridge."""
        where = f"listens at {', '.join(self.endpoints() or self._bind)}"
        connected = f" and connects to {', '.join(self._options.connect)}" if self._options.connect else ""
        return f"the {NAME} bridge of {self._node.name} {where}{connected}"

    def _look(self) -> None:
        """Publish how the net is now."""
        assert self._driver is not None
        bridges = {kind: bridge.endpoints() for kind, bridge in self._plan.beside.items()}
        bridges |= {NAME: self.endpoints(), **self._options.publish}
        brokers = [broker for broker in self._node.brokers if broker.state in _SERVING]
        endpoints = {broker.name: broker.endpoints for broker in brokers}
        services = Counter(service for broker in brokers for service in broker.services)
        facts = self._keys.facts(bridges, endpoints, services)
        self._driver.on_facts(facts)

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._look()

    async def _observe_on(self) -> None:
        assert self._driver is not None
        while True:
            try:
                names = listed(await self._node.observe(OBSERVE_TIMEOUT_S))
            except BraidError as error:
                _LOG.info("nobody tells the zgossip bridge who is connected: %s", error)
                names = None
            self._driver.on_listed(names)
            await asyncio.sleep(OBSERVE_S)


@contextlib.contextmanager
def _running(work: Coroutine[None, None, None]) -> Iterator[None]:
    """Let work go on meanwhile that does not end by itself."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


def _make(plan: Plan) -> Bridge:
    return GossipBridge(plan)


KIND: Final = Kind(NAME, ZgossipOptions, _make)
