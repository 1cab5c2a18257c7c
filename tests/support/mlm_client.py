"""A client and worker of Malamute over libzmq, as its C client mlm_client 1.2 behaves, and as easily killed.

It knows nothing of the bridge: frames are made and read here by what that client was seen to send. As a program,
`python mlm_client.py client ENDPOINT SERVICE COUNT` asks one thing after another, again if there is no answer for 5 s,
and prints each answer; `python mlm_client.py worker ENDPOINT SERVICE NAME` answers whatever it is asked with its name.
"""

import struct
import sys
from collections import deque
from time import monotonic

import zmq

PING_S = 1.0
PATIENCE_S = 4.0
POLL_MS = 20
ASK_AGAIN_S = 5.0

OPEN, PING, PONG, CLOSE = 1, 2, 3, 4
MAILBOX_SEND, MAILBOX_DELIVER = 9, 10
SERVICE_SEND, SERVICE_OFFER, SERVICE_DELIVER = 11, 12, 13
OK, ERROR = 14, 15
STREAM_WRITE = 5


class DiedError(Exception):
    """The real client has stopped for good, or hangs for ever."""


class Heard:
    """One message for the program."""

    def __init__(self, kind: int, texts: list[bytes], content: list[bytes]) -> None:
        self.kind = kind
        self.sender, self.address, self.subject, self.tracker = texts
        self.content = content


def head(command: int, *fields: bytes | int) -> bytes:
    """Return a first frame; numbers are timeouts."""
    parts = [b"\xaa\xa8", bytes([command])]
    parts += [struct.pack(">I", each) if isinstance(each, int) else bytes([len(each)]) + each for each in fields]
    return b"".join(parts)


def texts_of(frame: bytes, at: int, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        if at >= len(frame) or at + 1 + frame[at] > len(frame):
            raise DiedError(f"a message is cut short: {frame!r}")
        found.append(frame[at + 1 : at + 1 + frame[at]])
        at += 1 + frame[at]
    return found


class MlmClient:
    """One program. `step` does what is due, without waiting.

    Attributes:
        opened: it has got an OK for its OPEN.
        connected: it takes its server for alive.
        inbox: messages for the program.
        offered: what it provides, and offers again whenever it opens.
        reason: of the last error, for which a call of the program has failed.
        opens: how often it has opened.
        dropped: mail that it has dropped, as it took its server for gone.
    """

    def __init__(
        self,
        endpoint: str,
        address: bytes,
        *,
        user: bytes = b"",
        password: bytes = b"",
        context: zmq.Context | None = None,
    ) -> None:
        self.address = address
        self.opened = self.connected = self.closed = False
        self.inbox: deque[Heard] = deque()
        self.offered: list[tuple[bytes, bytes]] = []
        self.reason: bytes | None = None
        self.opens = self.dropped = self.oks = 0
        self._waits_for_ok = True
        self._heard_at = self._pinged_at = monotonic()
        self._socket = (context or zmq.Context.instance()).socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        if user:
            self._socket.plain_username, self._socket.plain_password = user, password
        self._socket.connect(endpoint)
        self._open()

    # -- what a program asks for

    def offer(self, service: bytes, pattern: bytes = b".*") -> None:
        """Provide a service. `oks` counts, or `reason` is set."""
        self.offered.append((service, pattern))
        self.reason = None
        self._say(head(SERVICE_OFFER, service, pattern))

    def ask(self, service: bytes, *content: bytes, subject: bytes = b"price", tracker: bytes = b"t-1") -> None:
        self._say(head(SERVICE_SEND, service, subject, tracker, 0), *content)

    def mail(self, address: bytes, *content: bytes, subject: bytes = b"price", tracker: bytes = b"t-1") -> None:
        self._say(head(MAILBOX_SEND, address, subject, tracker, 0), *content)

    def answer(self, heard: Heard, *content: bytes) -> None:
        """Answer a request, as workers do: by mail to its sender."""
        self.mail(heard.sender, *content, subject=heard.subject, tracker=heard.tracker)

    def write_stream(self) -> None:
        self._say(head(STREAM_WRITE, b"stream"))

    def say_raw(self, *frames: bytes) -> None:
        """Say what no client says."""
        self._say(*frames)

    def writable(self) -> bool:
        """Whether a message can be said at once: the server reads."""
        return bool(self._socket.poll(0, zmq.POLLOUT))

    def destroy(self) -> None:
        """Say goodbye; `closed` follows."""
        self.closed = False
        self._waits_for_ok = True
        self._say(head(CLOSE))

    def cut(self) -> None:
        """End the connection without a word."""
        self._socket.close(0)

    # -- what it does by itself

    def step(self) -> bool:
        """Read what has come, and PING; return whether there is something for the program."""
        now = monotonic()
        if now - self._heard_at >= PATIENCE_S:
            self.connected = False
        if now - self._pinged_at >= PING_S:
            self._pinged_at = now
            self._say(head(PING))
        while self._socket.poll(0):
            self._heard_at = monotonic()
            self._on_message(self._socket.recv_multipart(zmq.NOBLOCK))
        return bool(self.inbox)

    def wait(self, timeout_ms: int = POLL_MS) -> None:
        """Wait until something may have come."""
        self._socket.poll(timeout_ms)

    def _on_message(self, frames: list[bytes]) -> None:
        first = frames[0]
        if len(first) < 3 or first[:2] != b"\xaa\xa8":
            raise DiedError(f"no message of Malamute: {frames!r}")
        command = first[2]
        if command == OK:
            self._on_ok(first)
        elif command == ERROR:
            self._on_error(first)
        elif command == PONG:
            self.connected = self.opened
        elif command in (MAILBOX_DELIVER, SERVICE_DELIVER):
            heard = Heard(command, texts_of(first, 3, 4), frames[1:])
            if self.connected:
                self.inbox.append(heard)
            else:
                self.dropped += 1
        else:
            raise DiedError(f"unknown command {command}")

    def _on_ok(self, first: bytes) -> None:
        if struct.unpack(">H", first[3:5]) != (200,):
            raise DiedError(f"an OK that is none: {first!r}")
        self.oks += 1
        if self._waits_for_ok and not self.opened:
            self._waits_for_ok = False
            self.opened = self.connected = True
            self.opens += 1
            for service, pattern in self.offered:
                self._say(head(SERVICE_OFFER, service, pattern))
        elif self._waits_for_ok:
            self._waits_for_ok = self.opened = self.connected = False
            self.closed = True

    def _on_error(self, first: bytes) -> None:
        (status,) = struct.unpack(">H", first[3:5])
        if status != 500:
            raise DiedError(f"ERROR {status}: {first!r}")
        if not self.opened:
            if not self.opens:
                raise DiedError("an ERROR in answer to OPEN: connect() hangs for ever")
            return  # a spare one, before the OK of its OPEN
        (self.reason,) = texts_of(first, 5, 1)
        self.opened = False
        self._open()

    def _open(self) -> None:
        self._waits_for_ok = True
        self._say(b"\xaa\xa8\x01\x08MALAMUTE\x00\x01" + bytes([len(self.address)]) + self.address)

    def _say(self, *frames: bytes) -> None:
        self._socket.send_multipart(frames, zmq.NOBLOCK)


def ask_all(endpoint: str, service: str, count: int) -> None:
    client = MlmClient(endpoint, b"shop")
    again = 0
    for number in range(count):
        asked = [service.encode(), b"%d" % number]
        tracker = b"t-%d" % number
        client.ask(*asked, tracker=tracker)
        asked_at = monotonic()
        while True:
            client.step()
            if client.inbox:
                heard = client.inbox.popleft()
                if heard.tracker == tracker:
                    break
                assert again, "an answer too many"
            elif monotonic() - asked_at > ASK_AGAIN_S:
                again += 1
                asked_at = monotonic()
                client.ask(*asked, tracker=tracker)
            else:
                client.wait()
        assert heard.address == b"shop"
        print(heard.subject.decode(), *(frame.decode() for frame in heard.content), flush=True)  # noqa: T201
    client.destroy()
    while not client.closed:
        client.step()
        client.wait()
    assert again or not client.inbox, "an answer too many"
    print(f"asked again {again} times", flush=True)  # noqa: T201


def serve(endpoint: str, service: str, name: str) -> None:
    worker = MlmClient(endpoint, name.encode())
    worker.offer(service.encode())
    while True:
        while worker.step():
            heard = worker.inbox.popleft()
            worker.answer(heard, name.encode() + b" " + heard.content[0])
        worker.wait()


if __name__ == "__main__":
    role, endpoint, service, last = sys.argv[1:]
    if role == "client":
        ask_all(endpoint, service, int(last))
    else:
        serve(endpoint, service, last)
