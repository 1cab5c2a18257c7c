"""What a core wishes of its connections to brokers, and what comes of it: alike for nodes and brokers."""

from typing import Protocol

from braidmq.core.links.link import Action, Close, Failure, Resolve, Step
from braidmq.turn.ports import Dialer, Host


class Dialing(Protocol):
    """The side of a core that connects to brokers."""

    def take_actions(self) -> list[Action]:
        """Return what to look up, open and close, in order."""

    def on_resolved(self, name: str, addresses: list[str], now: float) -> None:
        """Handle the addresses behind a broker's endpoints."""

    def on_reached(self, name: str) -> None:
        """Note that something takes connections at a broker's address."""

    def on_hung(self, name: str) -> None:
        """Note that a broker's host takes what is sent, although the broker was given up for its silence."""

    def on_connected(self, name: str, now: float) -> None:
        """Note that the transport's handshake with a broker is complete."""

    def on_failed(self, name: str, failure: Failure, unsent: list[bytes], now: float) -> None:
        """Note that a connection failed or ended, and which messages never left."""


def note_step(core: Dialing, name: str, step: Step, now: float) -> None:
    """Tell a core how far a connection has come."""
    if step is Step.REACHED:
        core.on_reached(name)
    else:
        core.on_connected(name, now)


def fail(core: Dialing, dialer: Dialer, name: str, failure: Failure, now: float) -> None:
    """Close a connection that has ended, or is look_after, and tell its core so."""
    core.on_failed(name, failure, dialer.close(name), now)


def act(core: Dialing, dialer: Dialer, host: Host, now: float) -> None:
    """Look up addresses, open and close connections, until nothing more follows from it."""
    while True:
        for name, addresses in host.looked_up():
            core.on_resolved(name, addresses, now)
        actions = core.take_actions()
        if not actions:
            return
        for action in actions:
            if isinstance(action, Close):
                if action.silent and dialer.has_arrived(action.name):
                    core.on_hung(action.name)
                dialer.close(action.name)
            elif isinstance(action, Resolve):
                host.look_up(action.name, action.endpoints)
            else:
                failure = dialer.open(action)
                if failure is not None:
                    core.on_failed(action.name, failure, [], now)
