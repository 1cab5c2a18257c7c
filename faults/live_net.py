"""A net of real processes on this machine: `python -m braidmq ...`, in a directory of its own.

`LiveNet` makes the net, adds members, starts brokers and workers that stay (`broker`, `serve`), and waits until a
service can be called (`wait_for_workers`). Add the members before the brokers start: a running broker looks for new
ones only once a second. `close` ends every process by its pid.
"""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Self

from braidmq.blocking import Node
from braidmq.lab.processes.child import BRAIDMQ, Child
from braidmq.lab.processes.net import NetFiles
from braidmq.lab.processes.waiting import WAIT_S_MAX, wait_until
from braidmq.settings import Settings
from braidmq.wire.control import Report, ServiceStatus


class LiveNet(NetFiles):
    """A net in `directory` and its processes. Use it as a context manager, or call `close`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._children: list[Child] = []
        self._observer: Node | None = None

    def add_members(self, *brokers: str) -> None:
        """Register brokers, a client that may call everything, a worker and an observer."""
        for name in brokers:
            self.add_broker(name)
        self.add_node("client", calls=["*"])
        self.add_node("worker", serves=["*"])
        self.add_node("observer", observe=True)

    def start(self, *arguments: object, **options: Any) -> Child:
        """Start a `braidmq` process that stays; it is ended by `close` at the latest."""
        return self.launch([*BRAIDMQ, *arguments], **options)

    def launch(self, command: Iterable[object], **options: Any) -> Child:
        """Start any process that stays; it is ended by `close` at the latest."""
        child = Child(list(command), **options)
        self._children.append(child)
        return child

    def broker(self, name: str, *options: object, local: bool = False, **more: Any) -> Child:
        """Start a broker and wait until it listens.

        Unless it is `local`, everybody meets it at its endpoints, where proxies and limits may be.
        """
        ways = () if local else ("--no-local",)
        child = self.start("broker", "--join", self.join(name), *ways, *options, **more)
        child.wait_for_line(f"{name} listens at ")
        return child

    def serve(self, *arguments: object, name: str = "worker", **more: Any) -> Child:
        """Start `braidmq serve` as the node `name`."""
        return self.start("serve", "--join", self.join(name), *arguments, **more)

    def report(self, broker: str) -> Report:
        """Return what a broker tells the node "observer"."""
        found = wait_until(lambda: self.reports().get(broker), f"{broker} tells its state")
        assert found is not None
        return found

    def reports(self) -> dict[str, Report]:
        """Return what all brokers that answer tell the node "observer"."""
        if self._observer is None:
            self._observer = Node(self.join("observer"), settings=Settings(reconnect_s_max=0.5))
            self._observer.start()
            self._observer.connected()
        return self._observer.observe()

    def members(self, broker: str) -> dict[str, str]:
        """Return how a broker sees the net: the states of the brokers by name, without those it never met."""
        return {row.name: row.state for row in self.report(broker).brokers if row.state != "unknown"}

    def wait_for_agreement(self, *names: str, state: str = "alive", timeout: float = WAIT_S_MAX) -> None:
        """Wait until each of `names` sees exactly these brokers, all in `state`; the dead do not count."""

        def agreed() -> bool:
            views = [self.members(name) for name in names]
            return all({n: s for n, s in view.items() if s != "dead"} == dict.fromkeys(names, state) for view in views)

        wait_until(agreed, f"{', '.join(names)} agree that they are the net, all {state}", timeout)

    def sound(self, brokers: Collection[str], members: int, workers: int) -> bool:
        """Whether these brokers see all of them alive, so many members but the observer, and so many workers.

        The workers are those of the one service that there is.
        """
        reports = self.reports()
        return reports.keys() >= set(brokers) and all(
            sum(node.state == "open" and node.name != "observer" for node in reports[name].nodes) >= members
            and {row.name for row in reports[name].brokers if row.state == "alive"} == set(brokers)
            and all(row.link in ("", "up") for row in reports[name].brokers if row.name in brokers)
            and [each.workers for each in reports[name].services] == [workers]
            for name in brokers
        )

    def service(self, broker: str, name: str) -> ServiceStatus:
        """Return what a broker tells of a service; zeros, if it does not know it."""
        known = {each.name: each for each in self.report(broker).services}
        return known.get(name) or ServiceStatus(name, 0, 0, 0, 0)

    def wait_for_workers(self, service: str, *brokers: str, workers: int = 1) -> None:
        """Wait until each of `brokers` (all, if none is named) has so many workers with credit for `service`."""
        for broker in brokers or self.endpoints:

            def ready(broker: str = broker) -> bool:
                found = self.service(broker, service)
                return found.workers == workers and found.credit >= workers

            wait_until(ready, f"{workers} workers for {service} at {broker}")

    def close(self) -> None:
        """End every process by its pid."""
        if self._observer is not None:
            self._observer.close()
        for child in self._children:
            child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
