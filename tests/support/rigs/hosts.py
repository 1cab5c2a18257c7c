"""Hosts of a simulated net that send and read and decide nothing: what lies below brokers and nodes, without them."""

from collections.abc import Callable, Iterator
from typing import Any

from braidmq.core.links.link import Failure
from braidmq.lab.simulation.dealers import Dealers
from braidmq.lab.simulation.network import Connection, Network
from braidmq.lab.simulation.process import Process
from braidmq.lab.simulation.routes import Routes
from braidmq.lab.simulation.world import World

DELAY_S = (0.001, 0.01)
FRAMES_MAX = 1_000
HANDSHAKE_S_MAX = 2.0
TRANSPORT_TIMEOUT_S = 3.0
OUTBOX_BYTES_MAX = 1_000
MOMENT_S = 0.1
"""Longer than any frame or handshake takes, where nothing is wrong."""

NUMBERS = [b"%d" % number for number in range(10)]


class Plain(Process):
    """A process that notes its lives and its turns.

    Attributes:
        turns: when it had a turn: the world's time and its own.
        due: returns when the next turn is due, on its own clock.
    """

    def __init__(self, world: World, name: str = "p", **options: Any) -> None:
        super().__init__(world, name, **options)
        self.begun = 0
        self.turns: list[tuple[float, float]] = []
        self.due: Callable[[float], float] = lambda _now: float("inf")

    def kill(self) -> None:
        if self.up:
            self.end()

    def _drain(self, now: float) -> None:
        self.kill()

    def _begin(self) -> None:
        self.begun += 1

    def _turn(self, now: float) -> float:
        self.turns.append((self.world.now, now))
        return self.due(now)


class RouterHost(Plain):
    """A host with a router.

    Attributes:
        reading: whether a turn takes what has come.
        got: what has come: route, principal, frame.
        gone: the routes that are gone, with what did not reach them.
    """

    def __init__(self, net: "Hosts", name: str) -> None:
        super().__init__(net.world, name)
        self.routes = Routes(
            self,
            net.network,
            lambda key: Failure.NOT_REGISTERED if key in net.unregistered else None,
            outbox_bytes_max=OUTBOX_BYTES_MAX,
        )
        self.reading = True
        self.got: list[tuple[bytes, str, bytes]] = []
        self.gone: list[tuple[bytes, list[bytes]]] = []

    @property
    def frames(self) -> list[bytes]:
        return [frame for _, _, frame in self.got]

    def kill(self) -> None:
        if self.up:
            self.routes.close_all(lossless=False)
            self.end()

    def _turn(self, now: float) -> float:
        if self.reading:
            self.got.extend(self.routes.frames(now))
        self.routes.flush(now)
        self.gone.extend(self.routes.take_gone(now))
        return super()._turn(now)


class DealerHost(Plain):
    """A host with dealers; as brokers and nodes do, it closes what has ended.

    Attributes:
        reading: whether a turn takes what has come.
        got: what has come: broker, frame.
        news: what it has heard of its connections, with the time.
    """

    def __init__(self, net: "Hosts", name: str) -> None:
        super().__init__(net.world, name)
        self.dealers = Dealers(
            self,
            net.network,
            lambda broker: net.routers[broker].routes,
            principal=f"key of {name}",
            outbox_bytes_max=OUTBOX_BYTES_MAX,
            rng=net.world.chance("routes"),
        )
        self.reading = True
        self.got: list[tuple[str, bytes]] = []
        self.news: list[tuple[float, str, Failure | None]] = []

    @property
    def frames(self) -> list[bytes]:
        return [frame for _, frame in self.got]

    @property
    def heard(self) -> list[Failure | None]:
        return [failure for _, _, failure in self.news]

    def kill(self) -> None:
        if self.up:
            self.dealers.close_all()
            self.end()

    def _turn(self, now: float) -> float:
        for name, what in self.dealers.news():
            failure = what if isinstance(what, Failure) else None
            self.news.append((self.world.now, name, failure))
            if failure is not None:
                self.dealers.close(name)
        if self.reading:
            self.got.extend(self.dealers.frames())
        self.dealers.flush()
        return super()._turn(now)


class Hosts:
    """A world with a network, a router `b` and a dealer `n`; both are up.

    Attributes:
        unregistered: the keys that routers do not admit.
    """

    def __init__(self, seed: int = 1, *, keep_trace: bool = False, **options: Any) -> None:
        self.world = World(seed, keep_trace=keep_trace)
        self.network = Network(
            self.world,
            **{
                "delay_s": DELAY_S,
                "frames_max": FRAMES_MAX,
                "frames_per_turn": 1_000,
                "handshake_s_max": HANDSHAKE_S_MAX,
                "transport_timeout_s": TRANSPORT_TIMEOUT_S,
                **options,
            },
        )
        self.unregistered: set[str] = set()
        self.routers: dict[str, RouterHost] = {}
        self.b = self.router("b")
        self.n = self.dealer("n")

    def router(self, name: str) -> RouterHost:
        self.routers[name] = host = RouterHost(self, name)
        host.start()
        return host

    def dealer(self, name: str) -> DealerHost:
        host = DealerHost(self, name)
        host.start()
        return host

    def pass_time(self, seconds: float = MOMENT_S) -> None:
        self.world.run(self.world.now + seconds)

    def opened(self, dealer: DealerHost | None = None, route: bytes = b"route") -> Connection:
        """Connect, and return the open connection; nothing else has happened."""
        dealer = dealer or self.n
        connection = dealer.dealers.open_as("b", route)
        self.pass_time()
        dealer.news.clear()
        return connection

    def send(self, connection: Connection, *frames: bytes, outward: bool = True) -> list[bool]:
        """Send frames, each by itself, and return which ones the pipe took."""
        pipe = connection.outward if outward else connection.inward
        return [self.network.send(connection, pipe, frame) for frame in frames]

    def cut(self, *, outward: bool = True, inward: bool = True) -> None:
        """Cut `n` from `b`, or one direction of it; or heal what is not named."""
        self.network.conditions("n", "b").cut = int(outward)
        self.network.conditions("b", "n").cut = int(inward)
        self.network.clear_up()


def many(count: int = 60, **options: Any) -> Iterator[Hosts]:
    """Yield hosts with other draws each time."""
    for seed in range(count):
        yield Hosts(seed, **options)
