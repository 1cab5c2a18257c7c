"""What a broker says to its members: it passes on what others have written, and writes itself what becomes of requests.

Whatever is said to a session counts as a sign of life in the place of a heartbeat.
"""

from braidmq.core.broker.transit import Service, Session, Transit
from braidmq.core.reasons import name_of
from braidmq.core.send_queue import SendQueue
from braidmq.observer import BrokerObserver
from braidmq.wire import control
from braidmq.wire.envelope import (
    CANCEL,
    LOST,
    REJECT,
    REPLY,
    WORKING,
    Progress,
    Reason,
    Withdrawal,
    milliseconds,
    now_ms,
    pack,
)
from braidmq.wire.extension import INSTANCE_BYTES, Field, pack_field
from braidmq.wire.kinds import Control


class Outgoing:
    """Writes messages to sessions.

    Each method puts one message behind the others of its session, and the turn takes them all; what a session has too
    much of is not judged here.

    Attributes:
        name: the broker's.
    """

    __slots__ = ("_counters", "_observer", "_send_queue", "name")

    def __init__(
        self,
        name: str,
        send_queue: SendQueue[bytes],
        counters: dict[str, int],
        observer: BrokerObserver | None = None,
    ) -> None:
        self.name = name.encode()
        self._send_queue = send_queue
        self._counters = counters
        self._observer = observer

    def send(self, session: Session, message: bytes) -> None:
        """Send a message as it is."""
        session.spoke = True
        self._send_queue.put(session.route, message)

    def send_control(self, session: Session, message: Control, now: float) -> None:
        """Send a control message."""
        self.send(session, control.encode_control(message, now_ms(now)))

    def demand(self, worker: Session, wish: control.Demand, now: float) -> None:
        """Ask a worker for more credit; it is no reason to leave out a heartbeat."""
        self._send_queue.put_control(worker.route, wish, now)

    # -- to clients

    def reject(
        self,
        client: Session,
        reason: Reason,
        id_: bytes,
        tag: int,
        now: float,
        *,
        service: Service | None,
        retry_after_s: float = 0.0,
    ) -> None:
        """Refuse a request that certainly was not run, of a service if the broker knows it."""
        self._counters["rejected"] += 1
        rejected = client.usage.rejected
        rejected[reason] = rejected.get(reason, 0) + 1
        if service is not None:
            service.rejected += 1
        if reason is Reason.BUSY:
            self._counters["busy"] += 1
        if self._observer is not None:
            self._observer.on_request_rejected(id_, client.member.name, name_of(reason), now)
        self.send(client, self._short(REJECT, reason, id_, tag, now, time_ms=milliseconds(retry_after_s)))

    def echo(self, client: Session, id_: bytes, tag: int, payload: bytes, now: float) -> None:
        """Answer a request for the broker's own echo."""
        self.send(client, pack(REPLY, id_, 0, 0, now_ms(now), 0, tag, sender=self.name, payload=payload))

    def tell_of_loss(self, client: Session, transit: Transit, had_ms: int, now: float) -> None:
        """Tell that the worker of a request is gone, and for how long it has had it."""
        self.send(client, self._short(LOST, 0, transit.id, transit.client_tag, now, time_ms=had_ms))

    def tell_of_wait(self, client: Session, transit: Transit, now: float) -> None:
        """Tell that a request waits for a worker."""
        self.send(client, self._progress(transit, Progress.QUEUED, now))

    def tell_of_silence(self, client: Session, transit: Transit, worker: Session, now: float) -> None:
        """Tell that the worker of a request has said nothing since it was given it."""
        extension = pack_field(Field.INSTANCE, worker.instance) if len(worker.instance) == INSTANCE_BYTES else b""
        self.send(client, self._progress(transit, Progress.SILENT, now, sender=worker.name, extension=extension))

    # -- to workers

    def withdraw(self, transit: Transit, how: Withdrawal, now: float) -> None:
        """Tell the worker that has a request, if one has it, that less is expected of it."""
        offer, client = transit.offer, transit.client
        if offer is not None:
            assert client is not None
            self.send(offer.session, self._short(CANCEL, how, transit.id, transit.tag, now, sender=client.name))

    # -- inner

    def _progress(
        self, transit: Transit, progress: Progress, now: float, *, sender: bytes | None = None, extension: bytes = b""
    ) -> bytes:
        return self._short(
            WORKING, progress, transit.id, transit.client_tag, now, sender=sender, extension=extension,
            time_ms=now_ms(now),
        )  # fmt: skip

    def _short(
        self,
        command: int,
        code: int,
        id_: bytes,
        tag: int,
        now: float,
        *,
        sender: bytes | None = None,
        time_ms: int = 0,
        extension: bytes = b"",
    ) -> bytes:
        """Return a message without payload; its sender is the broker unless another is named."""
        name = self.name if sender is None else sender
        return pack(command, id_, 0, 0, now_ms(now), time_ms, tag, sender=name, code=int(code), extension=extension)
