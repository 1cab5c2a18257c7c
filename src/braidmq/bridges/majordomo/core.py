"""The Majordomo bridge without sockets and clock: frames in, frames, calls and offers out."""

from braidmq.bridges.majordomo import wire
from braidmq.bridges.majordomo.clients import Clients
from braidmq.bridges.majordomo.options import MajordomoOptions
from braidmq.bridges.majordomo.workers import Workers
from braidmq.bridges.port import BridgeCore, Job, Output, Peer, Rights, Send
from braidmq.errors import BraidError
from braidmq.messages import Reply

COUNTERS = (
    "requests", "replies", "errors", "copies", "jobs", "lost", "late", "denied", "disconnects", "dropped", "unsent",
)  # fmt: skip
"""What is counted: requests of clients, replies to them, those that got none because of an error, requests that were
marked as copies; jobs for workers, those lost with one, answers that came too late; workers that may not serve,
DISCONNECTs; messages without a meaning, or beyond a limit; messages that did not leave."""


class MajordomoCore(BridgeCore):
    """See BridgeCore. Clients and workers of all dialects are told apart by what they say (majordomo/wire.py).

    Args:
        options: of the bridge.
        rights: who may do what.
        payload_bytes_max: of the net.
    """

    def __init__(self, options: MajordomoOptions, rights: Rights, payload_bytes_max: int) -> None:
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._outputs: list[Output] = []
        self._workers = Workers(options, self._outputs, self.counters, rights, payload_bytes_max)
        self._clients = Clients(options, self._outputs, self.counters, rights, self._workers.serves)

    def on_message(self, peer: Peer, frames: list[bytes], now: float) -> None:
        """See BridgeCore."""
        dropped = self.counters["dropped"]
        said = wire.read(frames)
        if isinstance(said, wire.Request):
            self._clients.on_request(peer, said, now)
        elif said is not None:
            self._workers.on_command(peer, said, now)
        else:
            self.counters["dropped"] += 1
        peer.refused += self.counters["dropped"] > dropped

    def on_gone(self, peer: Peer, now: float) -> None:
        """See BridgeCore."""
        self._clients.on_gone(peer, now)
        self._workers.on_gone(peer)

    def on_unsent(self, send: Send, now: float) -> None:
        """See BridgeCore."""
        self.counters["unsent"] += 1
        self._workers.on_unsent(send)

    def on_call_end(self, number: int, end: Reply | BraidError, now: float) -> None:
        """See BridgeCore."""
        self._clients.on_call_end(number, end, now)

    def on_job(self, job: Job, now: float) -> None:
        """See BridgeCore."""
        self._workers.on_job(job)

    def on_job_dropped(self, number: int, now: float) -> None:
        """See BridgeCore."""
        self._workers.on_dropped(number)

    def on_refused(self, member: str, service: str, now: float) -> None:
        """See BridgeCore."""
        self._workers.on_refused(member, service, now)

    def on_services(self, member: str, services: frozenset[str], now: float) -> None:
        """See BridgeCore."""
        self._clients.on_services(member, services)

    def on_timer(self, now: float) -> None:
        """See BridgeCore."""
        self._workers.on_timer(now)

    def drain(self, now: float) -> None:
        """See BridgeCore."""
        self._clients.draining = True
        self._workers.drain()

    def end(self, now: float) -> None:
        """See BridgeCore."""
        self._workers.say_goodbye()

    def take(self) -> list[Output]:
        """See BridgeCore."""
        outputs = self._outputs[:]
        self._outputs.clear()
        return outputs

    def next_deadline(self) -> float | None:
        """See BridgeCore."""
        return self._workers.next_deadline()

    @property
    def idle(self) -> bool:
        """See BridgeCore."""
        return not len(self._clients) and not self._workers.jobs

    def validate_state(self) -> None:
        """Assert what must hold between inputs. For tests."""
        self._clients.validate_state()
        self._workers.validate_state()
