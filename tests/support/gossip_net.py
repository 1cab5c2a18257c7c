"""Bridges and nodes of libczmq in virtual time, over connections that delay, break and come back.

The node is a model of what recorded ones do (tests/data/zgossip.json), with its failings: it forgets who is silent for
a second, drops what those say whom it does not know, and takes any value that is not the one it has.
"""

import heapq
import itertools

from braidmq.bridges.port import OWN, Peer, Send
from braidmq.bridges.zgossip import wire
from braidmq.bridges.zgossip.core import GossipCore
from braidmq.bridges.zgossip.keys import Keys
from braidmq.members import Member, Role

FORGET_S = 1.0
RECONNECT_S = 0.1
LATENCY_S = 0.02


class Node:
    """A node of libczmq.

    Attributes:
        tuples: what it knows, which is what its application has been told.
    """

    def __init__(self, net, name):
        self.net, self.name = net, name
        self.tuples = {}
        self.heard_at = {}
        self.remotes = set()

    def publish(self, key, value):
        if self.tuples.get(key) != value:
            self.tuples[key] = value
            self.forget()
            for link in (*self.heard_at, *self.remotes):
                self.net.send(link, self, wire.publish(key, value))

    def forget(self):
        self.heard_at = {link: at for link, at in self.heard_at.items() if self.net.now - at <= FORGET_S}

    def on_up(self, link):
        if link.dialler is self:
            self.remotes.add(link)
            self.greet(link)

    def on_down(self, link):
        self.remotes.discard(link)
        self.heard_at.pop(link, None)

    def greet(self, link):
        self.net.send(link, self, wire.HELLO)
        for key, value in self.tuples.items():
            self.net.send(link, self, wire.publish(key, value))

    def on_frame(self, link, frame):
        kind, key, value = wire.read(frame)
        if link in self.remotes:
            if kind is wire.Kind.PUBLISH:
                self.publish(key, value)
            elif kind is wire.Kind.INVALID:
                self.net.send(link, self, wire.HELLO)
            return
        self.forget()
        if kind is wire.Kind.PING:
            self.net.send(link, self, wire.PONG)
        elif kind is wire.Kind.HELLO and link not in self.heard_at:
            self.heard_at[link] = self.net.now
            for told, said in self.tuples.items():
                self.net.send(link, self, wire.publish(told, said))
        elif kind is wire.Kind.PUBLISH and link in self.heard_at:
            self.publish(key, value)
        else:
            self.heard_at.pop(link, None)
            self.net.send(link, self, wire.INVALID)
        if link in self.heard_at:
            self.heard_at[link] = self.net.now


class Bridge:
    """A bridge's core.

    Attributes:
        own: what it publishes at present.
    """

    def __init__(self, net, name):
        self.net, self.name = net, name
        self.keys = Keys("shop", name)
        self.own = {}
        self.begin()

    def begin(self):
        member = Member(self.name, Role.NODE)
        self.core = GossipCore(self.keys, {OWN: member}.__getitem__)
        self.core.on_facts(self.own, self.net.now)
        self.peers = {}

    def know(self, services):
        self.own = self.keys.facts({"zgossip": [f"tcp://{self.name}:1"]}, {}, services)
        self.core.on_facts(self.own, self.net.now)
        self.settle()

    @property
    def tuples(self):
        return {each.key: each.value for log in (self.core._own.log, self.core._hearsay.log) for each in log.all()}

    def on_up(self, link):
        if link.dialler is self:
            self.peers[link] = Peer(b"", link.acceptor.name)
            self.core.on_connected(self.peers[link], self.net.now)
            self.settle()

    def on_down(self, link):
        peer = self.peers.pop(link, None)
        if peer is not None:
            self.core.on_gone(peer, self.net.now)
            self.settle()

    def on_frame(self, link, frame):
        peer = self.peers.setdefault(link, Peer(b"\0" + link.dialler.name.encode()))
        self.core.on_message(peer, [frame], self.net.now)
        self.settle()

    def settle(self):
        while outputs := self.core.take():
            for output in outputs:
                assert isinstance(output, Send)
                link = next((link for link, peer in self.peers.items() if peer is output.peer), None)
                if link is None or not self.net.send(link, self, output.frames[0]):
                    self.core.on_unsent(output, self.net.now)
        self.core.validate_state()
        due = self.core.next_deadline()
        if due is not None:
            self.net.at(due, self.on_time)

    def on_time(self):
        due = self.core.next_deadline()
        if due is not None and due <= self.net.now:
            self.core.on_timer(self.net.now)
            self.settle()


class Link:
    """A connection, which stands or does not."""

    def __init__(self, dialler, acceptor):
        self.dialler, self.acceptor = dialler, acceptor
        self.up = False
        self.life = 0
        self.free_at = {}


class Net:
    """All of it.

    Attributes:
        published: how many tuples have been sent.
    """

    def __init__(self, rng):
        self.rng = rng
        self.now = 0.0
        self.links = []
        self.published = 0
        self._events = []
        self._numbers = itertools.count()

    def at(self, when, call):
        heapq.heappush(self._events, (when, next(self._numbers), call))

    def run(self, seconds):
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            when, _, call = heapq.heappop(self._events)
            self.now = max(self.now, when)
            call()
        self.now = until

    def connect(self, dialler, acceptor):
        link = Link(dialler, acceptor)
        self.links.append(link)
        self.open(link)
        return link

    def open(self, link):
        link.up = True
        link.life += 1
        link.free_at = {}
        for side in (link.acceptor, link.dialler):
            side.on_up(link)

    def cut(self, link, down_s=RECONNECT_S):
        """End a connection, and what is on its way over it; it is opened again."""
        if link.up:
            link.up = False
            for side in (link.dialler, link.acceptor):
                side.on_down(link)
            self.at(self.now + down_s, lambda: self.open(link))

    def send(self, link, speaker, frame):
        """Send a frame, behind what this side has sent before; return whether the connection stands."""
        if not link.up:
            return False
        self.published += frame[2] == wire.Kind.PUBLISH
        hearer, life = (link.acceptor if speaker is link.dialler else link.dialler), link.life
        due = max(self.now + self.rng.random() * LATENCY_S, link.free_at.get(speaker, 0.0))
        link.free_at[speaker] = due
        self.at(due, lambda: link.up and link.life == life and hearer.on_frame(link, frame))
        return True
