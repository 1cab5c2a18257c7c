import random
from enum import IntEnum

import pytest

from braidmq.lab.simulation import trace as module
from braidmq.lab.simulation.trace import Trace, describe
from braidmq.wire import control, gossip, operation, registry
from braidmq.wire.bundle import join
from braidmq.wire.envelope import COMMON, VERSION, Command, Envelope, Flag, Outcome, Progress, Reason, encode

ID = bytes.fromhex("00000000000000000000000000abcdef")

CONTROLS = (
    control.Hello("n"),
    control.Welcome("b1", "n", 1_000, 64),
    control.Ready("echo", 3),
    control.Demand("echo", 1),
    control.Heartbeat(),
    control.Services(["echo"]),
    control.Peers([]),
    control.Goodbye("draining"),
    control.Status(),
    control.Report("b1"),
    gossip.Ping(7),
    gossip.Ack(7),
    gossip.Probe(7, "b2"),
    gossip.Nack(7),
    gossip.Gossip([gossip.Rumor("b2", 3, "dead")]),
    gossip.Sync([gossip.Rumor("b2", 3, "dead")]),
    gossip.About("b1", 1),
    gossip.Seek("echo"),
    gossip.Paths("echo", []),
    registry.RegistryVersion(3),
    registry.RegistryWanted(2),
    registry.RegistryPart(3, 2, 1, 0, b"x"),
    registry.RosterIs(b"x"),
    registry.CertificateIs(b"x"),
    registry.Published(3),
    registry.Enrol(b"x"),
    registry.Enrolled([registry.EnrolmentRow(b"x", 1)]),
    control.Bridging(control.BridgeStatus("http")),
    operation.Operate(1, operation.DRAIN, "b1"),
    operation.Operated(1, operation.DONE),
    operation.Withheld("operator", out=True),
)


def packed(command, body=b"", version=VERSION):
    return COMMON.pack(COMMON.size + len(body), version, command, 0, 0, 0) + body


def filled(trace):
    """Fill a trace with something of everything."""
    trace.note(0.5, "begins")
    trace.frame(1.0, "n", "b", "sends", encode(Envelope(Command.REQUEST, ID, service=b"echo")))
    trace.note(1.5, "kill b", fault=True)
    trace.note(2.0, "n has the end", ids=frozenset((ID,)))
    return trace


# -- the digest


def test_the_digest_is_the_same_whether_lines_are_kept_or_not():
    kept, lean = filled(Trace(keep=True)), filled(Trace(keep=False))
    assert kept.digest == lean.digest
    assert len(kept.digest) == 16
    assert (kept.events, lean.events) == (4, 4)
    assert (len(kept.lines), len(lean.lines)) == (4, 0)


@pytest.mark.parametrize(
    ("at", "source", "target", "what", "frame"),
    [
        (1.000000002, "n", "b", "sends", b"frame"),
        (1.0, "m", "b", "sends", b"frame"),
        (1.0, "n", "c", "sends", b"frame"),
        (1.0, "n", "b", "loses", b"frame"),
        (1.0, "n", "b", "sends", b"other"),
    ],
)
def test_every_part_of_an_event_counts(at, source, target, what, frame):
    one, other = Trace(keep=False), Trace(keep=False)
    one.frame(1.0, "n", "b", "sends", b"frame")
    other.frame(at, source, target, what, frame)
    assert one.digest != other.digest


def test_the_digest_depends_on_times_and_order():
    digests = set()
    for notes in ([(1.0, "a"), (2.0, "b")], [(1.0, "b"), (2.0, "a")], [(1.0, "a"), (2.5, "b")], [(1.0, "a")]):
        trace = Trace(keep=False)
        for at, text in notes:
            trace.note(at, text)
        digests.add(trace.digest)
    assert len(digests) == 4


def test_the_lines_are_bounded_and_the_digest_goes_on(monkeypatch):
    monkeypatch.setattr(module, "LINES_MAX", 2)
    trace = filled(Trace(keep=True))
    assert [line.at for line in trace.lines] == [0.5, 1.0]
    assert trace.digest == filled(Trace(keep=False)).digest


# -- the lines


def test_a_line_tells_the_time_and_what_happened():
    lines = [str(line) for line in filled(Trace(keep=True)).lines]
    assert lines == [
        "    0.5000  begins",
        "    1.0000  n > b sends: REQUEST abcdef tag 0 echo 0 ms left",
        "    1.5000  ** kill b",
        "    2.0000  n has the end",
    ]


def test_around_a_request_are_its_own_events_and_the_faults():
    trace = Trace(keep=True)
    trace.note(0.1, "kill c", fault=True)
    filled(trace).note(3.0, "about another", ids=frozenset((bytes(16),)))
    assert [line.at for line in trace.around(None, ID)] == [0.1, 1.0, 1.5, 2.0]


def test_faults_after_a_request_do_not_crowd_out_its_own_events():
    trace = filled(Trace(keep=True))
    for at in range(3, 100):
        trace.note(float(at), "a fault", fault=True)
    assert [line.at for line in trace.around(2.0, ID)] == [1.0, 1.5, 2.0]


def test_around_a_time_are_the_events_just_before_it_and_all_earlier_faults():
    trace = Trace(keep=True)
    for at in range(10):
        trace.note(float(at), "event", fault=at in (2, 8))
    assert [line.at for line in trace.around(6.0, b"")] == [2.0, 5.0, 6.0]
    assert [line.at for line in trace.around(6.0, b"", before_s=2.0)] == [2.0, 4.0, 5.0, 6.0]


def test_around_no_time_are_the_faults():
    assert [line.at for line in filled(Trace(keep=True)).around(None, b"")] == [1.5]


@pytest.mark.parametrize("id_", [ID, b""])
def test_around_are_the_last_events_if_there_are_too_many(id_):
    trace = Trace(keep=True)
    for at in range(10):
        trace.note(at / 100, "event", ids=frozenset((ID,)))
    assert [line.at for line in trace.around(0.09, id_, lines_max=3)] == [0.07, 0.08, 0.09]


# -- what frames hold


def test_every_exchange_message_is_told_with_its_id():
    codes: dict[Command, type[IntEnum]] = {Command.REPLY: Outcome, Command.WORKING: Progress, Command.REJECT: Reason}
    for command in Command:
        for code in codes.get(command, (None,)):
            message = encode(Envelope(command, ID, tag=7, code=code or 0, sender=b"w0"))
            told, ids = describe(message)
            assert told.startswith(f"{command.name} abcdef tag 7")
            assert told.endswith(" of w0")
            assert ids == {ID}
            assert code is None or f" {code.name} " in told


def test_a_request_is_told_with_all_that_decides_its_fate():
    envelope = Envelope(
        Command.REQUEST, ID, service=b"echo", time_ms=300, flags=Flag.POSSIBLE_DUPLICATE, retry_count=2, sender=b"c0"
    )
    assert describe(encode(envelope))[0] == "REQUEST abcdef tag 0 flagged retry 2 echo 300 ms left of c0"


def test_no_payload_is_told():
    assert "secret" not in describe(encode(Envelope(Command.REPLY, ID, payload=b"secret")))[0]


def test_codes_and_commands_that_nobody_knows_are_told_as_numbers():
    assert "code 99" in describe(encode(Envelope(Command.REPLY, ID, code=99)))[0]
    assert describe(encode(Envelope(17, ID)))[0].startswith("command 17 ")
    assert describe(packed(99))[0] == "command 99"


@pytest.mark.parametrize("message", CONTROLS, ids=lambda message: type(message).__name__)
def test_every_control_message_is_told(message):
    told, ids = describe(control.encode_control(message, 0))
    assert told.startswith(f"{type(message).__name__}(")
    assert not ids


def test_every_command_is_among_them():
    told = {control.encode_control(message, 0)[5] for message in CONTROLS}
    assert told == control.KINDS.keys()


def test_a_long_message_is_cut_short():
    told, _ = describe(control.encode_control(control.Services([f"s{number}" for number in range(100)]), 0))
    assert told.startswith("Services(")
    assert len(told) < 200


def test_all_messages_of_a_bundle_are_told():
    messages = [encode(Envelope(Command.CANCEL, ID)), control.encode_control(control.Heartbeat(), 0)]
    messages.append(encode(Envelope(Command.LOST, bytes(16))))
    ((bundle, _),) = join(messages)
    told, ids = describe(bundle)
    assert told == "CANCEL abcdef tag 0, Heartbeat(), LOST 000000 tag 0"
    assert ids == {ID, bytes(16)}


def test_garbage_is_called_garbage():
    request = encode(Envelope(Command.CANCEL, ID))
    assert describe(b"") == ("garbage", frozenset())
    assert describe(b"\xff" * 20) == ("garbage", frozenset())
    assert describe(request + b"\xff" * 20) == ("CANCEL abcdef tag 0, garbage", {ID})
    assert describe(packed(Command.REQUEST))[0].startswith("malformed (")
    assert describe(packed(control.Hello.NUMBER, b"\xff"))[0].startswith("malformed (")


def test_whatever_a_frame_holds_is_told_on_one_printable_line():
    rng = random.Random(1)
    names = (b"a\nb", b"\x1b[31m", b"\xff\xfe", b"\0")
    frames = [encode(Envelope(Command.REQUEST, ID, service=name, sender=name)) for name in names]
    frames += [control.encode_control(message, 0) for message in (*CONTROLS, control.Hello("a\nb\x1b[31m"))]
    frames += [packed(command, rng.randbytes(rng.randrange(60))) for command in range(256) for _ in range(10)]
    for frame in list(frames):
        for _ in range(10):
            garbled = bytearray(frame)
            garbled[rng.randrange(4, len(garbled))] = rng.randrange(256)
            frames.append(bytes(garbled))
    for frame in frames:
        told, _ = describe(frame)
        assert told.isprintable(), told
