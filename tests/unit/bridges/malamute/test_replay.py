"""What real programs of Malamute have sent is answered as they can bear it.

The recorded rows of clients and workers are replayed, in their order and time, at a bridge that stands in the place of
the recorded server. What that server had sent is what is expected, but where a bridge is to differ.
"""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.wire import Command
from tests.support.malamute import heard, judge

RECORDED = json.loads((Path(__file__).parents[3] / "data" / "malamute.json").read_text())
SERVERS = ("broker", "probe")
MSGPACK = {"services": {"*": {"frames": "msgpack"}}}


def frames_of(told):
    """Return recorded frames; `78*20000` stands for a byte that is repeated."""
    found = []
    for frame in told:
        byte, _, count = frame.partition("*")
        found.append(bytes.fromhex(byte) * int(count or 1))
    return found


def shown(frames):
    """Return what is compared of an answer: not who has sent it, as replies in the net come from the bridge."""
    said = heard(frames)
    tracker = said.tracker
    if said.command is Command.SERVICE_DELIVER and said.sender.endswith(b"/" + tracker):
        tracker = b""  # a delivery without a tracker has that of the bridge
    content = [f"{len(frame)} bytes" if len(frame) > 99 else frame.decode() for frame in said.content]
    if said.sender == b"$braidmq":
        return f"error {content[0]} {content[2]} for {tracker.decode()}"
    texts = [said.reason, said.subject, tracker]
    return " ".join([said.command.name, *(text.decode()[:30] for text in texts if text), *map(repr, content)])


class Replay:
    """A recording, played at a bridge.

    Attributes:
        got: what the bridge sent, by hearer.
        wanted: what the recorded server had sent.
    """

    def __init__(self, net, name):
        self.net = net
        self.senders = {}
        self.got, self.wanted = defaultdict(list), defaultdict(list)
        start = net.now
        for row in RECORDED[name]["rows"]:
            net.advance(max(0.0, start + row[0] - net.now))
            if len(row) == 2:
                self.note(row[1])
                continue
            _, speaker, hearer, told = row
            if told == "closed":
                net.close(speaker)
            elif speaker in SERVERS:
                self.wanted[hearer].append(self.shown_or_skipped(frames_of(told)))
            else:
                self.say(speaker, frames_of(told))
            self.look()

    @staticmethod
    def shown_or_skipped(frames):
        """Return what a recorded server has sent; some of it no client bears."""
        try:
            return shown(frames)
        except AssertionError:
            return "what kills"

    def note(self, text):
        if text.startswith("the broker is killed"):
            self.net.restart()

    def say(self, speaker, frames):
        said = wire.read(frames)
        if said is not None and said.command is Command.MAILBOX_SEND:
            sender = self.senders.pop((speaker, said.tracker), None)
            if sender is not None:  # the worker answers whoever has sent the request
                said.address = sender
                frames = wire.frames_of(said)
        judge(frames, self.net.say(speaker, *frames))

    def look(self):
        for hearer, frames in self.net.sent:
            self.got[hearer].append(shown(frames))
            said = heard(frames)
            if said.command is Command.SERVICE_DELIVER:
                self.senders[hearer, said.tracker] = said.sender
        self.net.sent.clear()


@pytest.mark.parametrize(
    "name",
    ["mlm-01-service-roundtrip", "mlm-02-two-workers", "mlm-09-mailbox-kept", "mlm-11-plain",
     "mlm-12-curve-unsupported", "mlm-17-malformed"],
)  # fmt: skip
def test_programs_hear_what_their_server_said(make_net, name):
    replay = Replay(make_net(**MSGPACK), name)
    wanted = replay.wanted
    if name == "mlm-09-mailbox-kept":  # Malamute gives kept mail the tracker of the last one
        first, *rest = [each for each in wanted["client#2"] if each.startswith("MAILBOX")]
        wanted["client#2"] = ["OK", first.replace("t-1b", "t-1"), *rest]
    assert replay.got == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        pytest.param(
            "mlm-03-no-worker-and-timeout",
            {
                "client": ["OK", "error NO_WORKER 0 for t-1", "PONG", "MAILBOX_DELIVER price t-1 '42'"],
                "worker": ["OK", "OK"],
            },
            id="a request without a worker is told to have none",
        ),
        pytest.param(
            "mlm-04-worker-killed",
            {
                "client": [
                    "OK", "error LOST 1 for t-1", "error NO_WORKER 0 for t-2", "PONG", "PONG", "PONG",
                    "error NO_WORKER 0 for t-3", "PONG", "PONG",
                ],
                "worker": ["OK", "OK", "SERVICE_DELIVER price t-1 '14'"],
                "worker#2": ["OK", "OK", "PONG"],
            },
            id="what dies with a worker is told to be lost",
        ),
        pytest.param(
            "mlm-05-anonymous-client",
            {
                "client": ["OK", "MAILBOX_DELIVER price t-1 '42'", "PONG"],
                "worker": ["OK", "OK", "SERVICE_DELIVER price t-1 '14'", "PONG"],
            },
            id="a client without an address is answered",
        ),
        pytest.param(
            "mlm-06-duplicate-address",
            {"first": ["OK", *("PONG", "OK") * 3], "second": ["OK", *("PONG", "OK") * 3]},
            id="two with one address do not fight",
        ),
        pytest.param(
            "mlm-07-broker-restart-fast",
            {
                "client": ["OK", "MAILBOX_DELIVER price t-1 '1'"],
                "worker": ["OK", "OK", "OK", "SERVICE_DELIVER price t-1 '1'"],
                "client#2": ["ERROR", "ERROR", "ERROR", "OK", *["PONG"] * 2, "MAILBOX_DELIVER price t-3 '3'",
                             *["PONG"] * 9],
                "worker#2": ["ERROR", "ERROR", "OK", "OK", "OK", "SERVICE_DELIVER price t-2 '2'", *["PONG"] * 2,
                             "SERVICE_DELIVER price t-3 '3'", *["PONG"] * 9],
            },
            id="what was sent while no bridge ran is held, and done",
        ),
        pytest.param(
            "mlm-08-broker-restart-slow",
            {
                "client": ["OK", "MAILBOX_DELIVER price t-1 '1'"],
                "worker": ["OK", "OK", "OK", "SERVICE_DELIVER price t-1 '1'"],
                "client#2": [*["ERROR"] * 5, "OK", *["PONG"] * 2, "MAILBOX_DELIVER price t-3 '3'", *["PONG"] * 9],
                "worker#2": [*["ERROR"] * 4, "OK", "OK", "SERVICE_DELIVER price t-2 '2'", "OK", *["PONG"] * 2,
                             "SERVICE_DELIVER price t-3 '3'", *["PONG"] * 9],
            },
            id="what was held waits for its worker",
        ),
        pytest.param(
            "mlm-10-patterns",
            {
                "client": ["OK", "error LOST 0 for other", *["PONG"] * 2],
                "worker-1": ["OK", "OK", "SERVICE_DELIVER bw.A4 bw.A4 'x'", "ERROR the pattern is no regular expr",
                             *["PONG"] * 2],
                "worker-2": ["OK", "OK", "SERVICE_DELIVER color.A4 color.A4 'x'", "OK", *["PONG"] * 2],
            },
            id="what no pattern takes was not run, and what is no pattern is refused",
        ),
        pytest.param(
            "mlm-13-client-hangs",
            {"client": ["OK", "PONG", "OK", "PONG", "PONG"]},
            id="a client that was silent for 4 s is still known",
        ),
        pytest.param(
            "mlm-14-streams",
            {
                "writer": ["OK", "ERROR streams are not bridged"],
                "reader": ["OK", *["ERROR streams are not bridged"] * 2],
            },
            id="streams are not bridged",
        ),
        pytest.param(
            "mlm-15-before-open",
            {"raw": ["ERROR", "ERROR", "ERROR", "OK", "OK", "SERVICE_DELIVER price t '14'", "OK", "PONG"]},
            id="what comes before an OPEN is done after it",
        ),
        pytest.param(
            "mlm-16-confirm-credit", {"raw": ["OK", "PONG", "PONG", "OK"]}, id="credit and confirmations mean nothing"
        ),
        pytest.param("mlm-18-truncated", {"raw": ["OK", "OK"]}, id="what is cut short is dropped"),
        pytest.param(
            "mlm-19-contents",
            {
                "client": ["OK"],
                "worker": [
                    "OK", "OK", "SERVICE_DELIVER call '1'", "SERVICE_DELIVER s", "SERVICE_DELIVER s ''",
                    "SERVICE_DELIVER s 'a' '' 'b'", "SERVICE_DELIVER s '20000 bytes'",
                    f"SERVICE_DELIVER {'s' * 30} {'t' * 30} '1'",
                ],
            },
            id="an empty subject is a call, and any number of frames is delivered",
        ),
        pytest.param(
            "mlm-20-worker-closes",
            {
                "client": ["OK", "error LOST 1 for t-1", "error NO_WORKER 0 for t-2", "PONG", "PONG"],
                "worker": ["OK", "OK", "SERVICE_DELIVER price t-1 '14'", "OK"],
            },
            id="what a worker had that closes is told to be lost",
        ),
    ],
)  # fmt: skip
def test_programs_hear_more_than_their_server_said(make_net, name, wanted):
    assert Replay(make_net(**MSGPACK), name).got == wanted


CALM = {"OK", "PONG", "error NO_WORKER 0 for t-1", "error NO_WORKER 0 for t-2"}
MORE = {
    "mlm-probe-04-error300-to-offer": {"SERVICE_DELIVER s '1'"},  # it calls what it offers itself
    "mlm-probe-10-error501-to-stream": {"ERROR streams are not bridged"},
    "mlm-probe-12-close-unanswered": {"ERROR"},  # it went on, as nobody had answered its CLOSE
}


@pytest.mark.parametrize("name", [name for name in RECORDED if "probe" in name])
def test_client_that_was_tried_out_is_calm(make_net, name):
    """A bridge says nothing of what was tried out on these."""
    replay = Replay(make_net(**MSGPACK), name)
    assert set(replay.got["client"]) <= CALM | MORE.get(name, set())
    assert replay.got["client"][0] == "OK"


def test_every_recording_is_there():
    assert len(RECORDED) == 40
