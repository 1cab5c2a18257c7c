"""What real programs of Majordomo have sent is answered as its specification wants, and never with what kills them.

The recorded rows of clients and workers are replayed, in their order and time, at a bridge that stands in the place of
the recorded broker. What that broker had sent is what is expected, but for heartbeats, for tokens, and where a bridge
is to differ.
"""

import json
from pathlib import Path

import pytest

from tests.support.majordomo import is_allowed

RECORDED = json.loads((Path(__file__).parents[3] / "data" / "majordomo.json").read_text())
BROKERS = ("broker", "broker-back", "broker-front", "probe")
PAYLOADS = {"services": {"*": {"frames": "msgpack"}}}

DISCONNECT = {b"MDPW01": b"\x05", b"MDPW02": b"\x06"}


class Replay:
    """A recording, played at a bridge: what it sends stands in `got`, what the broker had sent in `wanted`."""

    def __init__(self, net, name, *, skip=()):
        self.net = net
        self.tokens = {}
        self.got, self.wanted = [], []
        start = net.now
        for row in RECORDED[name]["rows"]:
            if len(row) == 2:
                continue
            at, speaker, hearer, frames = row
            net.advance(max(0.0, start + at - net.now))
            if frames == "closed":
                net.close(hearer if speaker in BROKERS else speaker)
            elif speaker in BROKERS:
                self.note(self.wanted, hearer, [bytes.fromhex(frame) for frame in frames])
            elif speaker not in skip:
                net.say(speaker, *self.with_token(speaker, [bytes.fromhex(frame) for frame in frames]))
            self.look()

    @staticmethod
    def note(rows, hearer, frames):
        """Note what is sent to somebody, whatever its token is; heartbeats do not count."""
        if not is_heartbeat(frames):
            rows.append((hearer, [*frames[:3], b"TOKEN", *frames[4:]] if is_request(frames) else frames))

    def look(self):
        for hearer, frames in self.net.sent:
            if is_request(frames):
                self.tokens[hearer] = frames[3]
            self.note(self.got, hearer, frames)
        self.net.sent.clear()

    def with_token(self, speaker, frames):
        """Let a worker give back the token of this bridge where it gave back the recorded one."""
        if len(frames) > 4 and frames[1] in DISCONNECT and frames[4] == b"" and speaker in self.tokens:
            return [*frames[:3], self.tokens[speaker], *frames[4:]]
        return frames

    def told(self, *names):
        return [frames for name, frames in self.got if name in names]


def is_request(frames):
    return len(frames) > 4 and frames[1] in DISCONNECT and frames[2] == b"\x02"


def is_heartbeat(frames):
    return frames in ([b"", b"MDPW01", b"\x04"], [b"", b"MDPW02", b"\x05"])


def by_peer(rows):
    """Rows of each peer in their order: those of several cross each other."""
    return {name: [frames for told, frames in rows if told == name] for name in {name for name, _ in rows}}


@pytest.mark.parametrize(
    "name",
    [
        "mdp01-01-roundtrip",
        "mdp01-02-async-two-workers",
        "mdp01-10-guide-python",
        "mdp02-01-majortomo-final",
        "mdp02-03-majortomo-busy",
    ],
)
def test_bridge_answers_as_the_broker_of_the_recording_did(make_net, name):
    played = Replay(make_net(**PAYLOADS), name)
    assert by_peer(played.got) == by_peer(played.wanted)
    assert played.wanted


def test_worker_that_hangs_is_told_to_register_and_once_more_if_it_does_not(net):
    played = Replay(net, "mdp01-06-worker-hangs")
    assert played.told("worker") == [[b"", b"MDPW01", b"\x05"]] * 2
    assert played.told("worker#2") == []


def test_mmi_is_answered_as_the_guides_broker_does(net):
    played = Replay(net, "mdp01-03-mmi")
    assert by_peer(played.got) == by_peer(played.wanted)
    assert [frames[-1] for frames in played.told("client", "client#2", "client#3", "client#4")] == [
        b"404", b"200", b"501", b"200",
    ]  # fmt: skip


def test_copies_of_a_client_are_requests_of_their_own_and_marked(net):
    played = Replay(net, "mdp01-04-client-retries", skip=("worker",))
    assert played.got == []
    assert net.cancelled == [1, 2, 3]
    net.say("again", b"", b"MDPC01", b"pricing", b"14")
    assert net.calls[4].possible_duplicate


def test_request_of_a_worker_that_was_killed_is_not_answered_twice(make_net):
    net = make_net(**PAYLOADS)
    played = Replay(net, "mdp01-05-worker-killed")
    assert played.told("client#2") == [[b"", b"MDPC01", b"pricing", b"14"]]
    assert played.told("client") == []
    assert net.core.counters["lost"] == 1


@pytest.mark.parametrize(
    ("name", "worker"), [("mdp01-07-broker-restart", "worker#2"), ("mdp02-05-majortomo-restart", "worker#2")]
)
def test_worker_of_a_bridge_that_has_restarted_is_told_to_register(make_net, name, worker):
    """The bridge that comes second knows nothing: what was before its start is left out."""
    rows = RECORDED[name]["rows"]
    first = next(number for number, row in enumerate(rows) if len(row) == 4 and row[1] == worker)
    net = make_net(**PAYLOADS)
    for _, speaker, hearer, frames in (row for row in rows[first:] if len(row) == 4):
        if frames != "closed" and speaker.startswith("worker"):
            net.say(speaker, *(bytes.fromhex(frame) for frame in frames))
        elif frames == "closed":
            net.close(speaker if speaker.startswith("worker") else hearer)
        if speaker == "worker#3":
            break
    front = net.sent[0][1][:-1]
    assert net.sent == [(worker, [*front, DISCONNECT[front[1]]])]
    assert net.offers == {("", "pricing"): 1}


def test_bad_input_to_the_guides_broker_is_borne(net):
    played = Replay(net, "mdp01-08-bad-input")
    disconnect = [b"", b"MDPW01", b"\x05"]
    assert played.told("raw") == [disconnect] * 4, "as the guide's broker, which aborts at what comes next"
    net.advance(10.0)
    assert [frames for _, frames in net.sent] == [] or net.sent[-1][1] == disconnect
    assert net.offers == {}
    assert net.core.idle


def test_bad_input_to_majortomos_broker_is_borne(net):
    played = Replay(net, "mdp02-06-majortomo-bad-input")
    told = played.told("raw")
    assert told[:2] == [[b"", b"MDPW02", b"\x06"]] * 2, "HEARTBEAT before READY, and READY again"
    assert all(frames[:2] == [b"", b"MDPW02"] for frames in told[:3])
    assert net.core.idle


def test_parts_of_majortomos_worker_are_one_final_for_its_client(make_net):
    net = make_net(**PAYLOADS)
    played = Replay(net, "mdp02-02-majortomo-partial")
    final = [b"", b"MDPC02", b"\x04", b"part:1", b"part:2", b"part:3", b"end"]
    assert played.told("client") == [final]


def test_majortomos_client_hears_nothing_of_a_service_that_is_not_there(net):
    assert Replay(net, "mdp02-04-majortomo-no-worker").told("client") == [[b"", b"MDPC02", b"\x04", b"404"]]
    assert net.say("client", b"", b"MDPC02", b"\x02", b"nothing", b"14") == []


def test_pyzmq_mdp_is_served(make_net):
    played = Replay(make_net(**PAYLOADS), "mdp01-09-pyzmq-mdp")
    assert played.told("client", "client#2", "client#3") == [
        [b"", b"MDPC01", b"pricing", b"14", b"blue"],
        [b"", b"MDPC01", b"mmi.service", b"200"],
    ]
    assert played.told("worker#2") == [[b"", b"MDPW01", b"\x05"]] * 3, "so it need not wait until it gives up"


def test_gaterpc_is_refused_without_a_word_that_it_could_take_wrong(net):
    played = Replay(net, "mdp01-11-gaterpc")
    assert played.told("client") == []
    assert net.offers == {}
    assert played.told("worker")[0] == [b"", b"MDPW01", b"\x05"], "after a while: it registers again at once"
    assert net.core.counters["denied"] >= 1


def test_libmdps_client_is_answered_and_its_worker_is_not_served_for_long(make_net):
    net = make_net(**PAYLOADS)
    net.services["pricing"] = b"42"
    assert net.say("c", b"", b"MDPC02", b"pricing", b"14") == [[b"", b"MDPC02", b"pricing", b"42"]]
    Replay(net, "mdp02-07-libmdp-2013", skip=("client",))
    assert net.core.idle


def test_newest_majordomo_is_not_spoken(net):
    played = Replay(net, "mdp02-08-majordomo-head")
    assert played.got == []
    assert net.core.counters["dropped"] == sum(
        len(row) == 4 and row[1] != "broker" and row[3] != "closed"
        for row in RECORDED["mdp02-08-majordomo-head"]["rows"]
    )


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_nothing_is_sent_that_a_peer_of_any_recording_could_not_bear(make_net, name):
    net = make_net(**PAYLOADS)
    net.services["pricing"] = b"42"
    played = Replay(net, name)
    net.advance(20.0)
    played.look()
    said: dict[str, list[list[bytes]]] = {}
    for row in RECORDED[name]["rows"]:
        if len(row) == 4 and row[3] != "closed":
            said.setdefault(row[1], []).append([bytes.fromhex(frame) for frame in row[3]])
    for peer, frames in played.got:
        assert is_allowed(frames, said[peer]), (peer, frames)
