"""Both ends of connections to brokers: a dialer with an event loop around it, and a broker's end by hand."""

import select
import socket
from contextlib import suppress
from typing import Any

from braidmq.carrier.dialer import Dialer
from braidmq.core.links.link import Failure, Open, Step
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import Settings
from tests.support.streams import CLIENT, SERVER, as_server


class Node:
    """A dialer, and the event loop around it: its Watcher."""

    def __init__(self, settings=None, nearby=None, **options):
        self.brokers = {}
        self.poll = select.poll()
        self.dialer = Dialer(self.brokers, settings or Settings(), CLIENT, self, nearby, **options)
        self.steps = []
        self.frames = []
        self.given_up = []
        self.wakes = 0

    def watch(self, broker):
        self.poll.register(broker.descriptor, select.POLLIN)

    def watch_writing(self, broker, *, wanted):
        self.poll.modify(broker.descriptor, select.POLLIN | select.POLLOUT if wanted else select.POLLIN)

    def unwatch(self, broker):
        with suppress(KeyError):  # it was not watched yet
            self.poll.unregister(broker.descriptor)

    def turn(self, timeout_ms=5, *, until_empty=False):
        """Do what a turn does; return whether anything has ended."""
        ready = {descriptor for descriptor, _ in self.poll.poll(0 if self.dialer.has_more else timeout_ms)}
        self.wakes += bool(ready)
        for broker in list(self.brokers.values()):
            if broker.descriptor in ready:
                self.dialer.mark(broker)
        self.steps += self.dialer.news()
        self.frames += self.dialer.frames(until_empty=until_empty)
        self.dialer.flush()
        self.given_up += self.dialer.look_after()
        return any(isinstance(step, Failure) for _, step in self.steps) or bool(self.given_up)

    def open(self, endpoint, *, name="b1", key=SERVER.public):
        return self.dialer.open(Open(name, endpoint, key))

    def until(self, condition, what):
        return wait_until(lambda: [self.turn(), condition()][1], what, poll_s=0.0)

    def until_failed(self):
        self.until(lambda: any(isinstance(step, Failure) for _, step in self.steps), "it fails")
        return [step for _, step in self.steps]

    def until_greeted(self, name="b1"):
        self.until(lambda: (name, Step.GREETED) in self.steps, "the handshake is complete")

    def close(self):
        for name in list(self.brokers):
            self.dialer.close(name)


class Broker:
    """A broker's end of connections, by hand."""

    def __init__(self, path=None, **options):
        if path is None:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.listener.listen()
        self.options = options
        self.end = None
        self.stream: Any = None

    def greet(self, node):
        """Let a node in that has begun to connect."""
        self.accept()
        found = []

        def is_open():
            node.turn(0)
            self.stream.flush()
            self.stream.read(found)
            return self.stream.open or self.stream.end is not None

        wait_until(is_open, "the handshake has ended", poll_s=0.0)

    def accept(self):
        self.end, _ = self.listener.accept()
        self.stream = as_server(self.end, **self.options)

    def close(self):
        self.listener.close()
        if self.stream is not None:
            self.stream.close()
