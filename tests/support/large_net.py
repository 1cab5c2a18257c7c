"""A look at a net of 100 brokers and 2,000 nodes, as its brokers would tell of it."""

from braidmq.monitor.diagnoses import diagnose
from braidmq.monitor.looking import Look
from tests.support import looks

BROKERS = 100
NODES = 2_000
SERVICES = 120
BROKERS_OF_NODE = 8


def large_look(turn=0, *, dead=()):
    """Return a look at it; its figures differ from one `turn` to the next."""
    names = tuple(f"b{number + 1}" for number in range(BROKERS))
    nodes: dict[str, list] = {name: [] for name in names}
    services: dict[str, dict[str, int]] = {name: {} for name in names}
    for number in range(NODES):
        serves = [f"service-{number % SERVICES}"] if number % 3 == 0 else []
        for each in range(BROKERS_OF_NODE):
            broker = names[(number * 7 + each * 13) % BROKERS]
            in_flight = (number * 31 + turn * 17 + each) % 6
            nodes[broker].append(looks.node(f"node-{number}", serves=serves, in_flight=in_flight))
            for service in serves:
                services[broker][service] = services[broker].get(service, 0) + 1
    views = [
        looks.mute(name, "nothing listens there")
        if name in dead
        else looks.told(
            name,
            names=names,
            nodes=nodes[name],
            services=[
                looks.service(service, workers, 16 * workers, (workers * 5 + turn * 3 + place) % 16)
                for place, (service, workers) in enumerate(sorted(services[name].items()))
            ],
            uptime_s=4_000.0 + turn,
            counters={"requests": 40_000 + turn * 410, "replies": 40_000 + turn * 405},
        )
        for name in names
    ]
    return Look(views, diagnose(views), float(turn), 0.1)
