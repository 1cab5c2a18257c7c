import math
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from braidmq.core.links.link import Failure as LinkFailure
from braidmq.errors import BraidError, ProtocolError, ServiceError
from braidmq.members import NAME_BYTES_MAX, SERVICE_BYTES_MAX
from braidmq.settings import Settings
from braidmq.trust.invitation import INVITATIONS_MAX
from braidmq.wire import control
from braidmq.wire.control import (
    KINDS,
    BridgeStatus,
    Bridging,
    Demand,
    Failure,
    Goodbye,
    Heartbeat,
    Hello,
    LagStatus,
    LossStatus,
    NodeStatus,
    Peer,
    Peers,
    PeerStatus,
    Ready,
    Report,
    Services,
    ServiceStatus,
    Status,
    Welcome,
    decode_control,
    decode_failure,
    encode_control,
    encode_failure,
)
from braidmq.wire.envelope import COMMON, CONTROL_FIRST, UINT32, VERSION
from braidmq.wire.gossip import (
    INCARNATION_MAX,
    MEMBERS_MAX,
    RUMORS_MAX,
    About,
    Ack,
    Gossip,
    Nack,
    Paths,
    Ping,
    Probe,
    Rumor,
    Seek,
    ServiceAbout,
    Sync,
)
from braidmq.wire.kinds import Control, kinds_of
from braidmq.wire.limits import CONTROL_BYTES_MAX
from braidmq.wire.nesting import NESTING_MAX
from braidmq.wire.operation import DRAIN, REFUSED, Operate, Operated, OperationStatus, Withheld
from braidmq.wire.registry import (
    DIGEST_BYTES,
    ENROLMENTS_TOLD_MAX,
    PART_BYTES,
    PARTS_AHEAD,
    REGISTRY_BYTES_MAX,
    BrokerVersion,
    CertificateIs,
    Enrol,
    Enrolled,
    EnrolmentRow,
    Published,
    RegistryPart,
    RegistryVersion,
    RegistryWanted,
    RosterIs,
)
from braidmq.wire.registry_status import EndStatus, RegistryStatus, SeenStatus, TokenStatus

RUMOR = Rumor("b", 3, "suspect", "c", b"\x00\xff")
EVERY: dict[int, Control] = {
    Hello.NUMBER: Hello(software="braidmq", serial=3, roster=4),
    Welcome.NUMBER: Welcome(broker="a", member="b", heartbeat_ms=1, payload_bytes_max=2, software="braidmq"),
    Ready.NUMBER: Ready(service="echo", credit=3),
    Demand.NUMBER: Demand(service="echo", backlog=4),
    Heartbeat.NUMBER: Heartbeat(),
    Services.NUMBER: Services(available=["echo", "orders.place"]),
    Peers.NUMBER: Peers(
        brokers=[Peer(certificate=b"\x00\xff", connected=True), Peer(certificate=b"", state="suspect")]
    ),
    Goodbye.NUMBER: Goodbye(reason="refused", text="revoked"),
    Status.NUMBER: Status(),
    Bridging.NUMBER: Bridging(BridgeStatus("majordomo", 3, 1, 20, 2, 1, 4)),
    Report.NUMBER: Report(
        broker="a",
        uptime_s=1.5,
        brokers=[
            PeerStatus("b", "alive", "up", "", 1, 2, 3, 4, 5, 6, 7, True, 8, [OperationStatus(DRAIN, "a", "ops", 5)])
        ],
        nodes=[NodeStatus("n", "up", 1, 2, ["echo"], None, "ops", 3, 4, 5, {"BUSY": 6})],
        services=[ServiceStatus("echo", 1, 2, 3, 4, 5, [17, 5])],
        counters={"requests": 2**63},
        registry=RegistryStatus(
            7,
            "ab",
            3,
            [EndStatus("n", -5)],
            1,
            [TokenStatus(4, "r-*", 9, 2, 60)],
            [SeenStatus("r-1", 8, 4)],
            1,
            [SeenStatus("n", 6)],
            -90,
        ),
        losses=[LossStatus("w", 5, True, 2, ["echo"])],
        lag=LagStatus([0, 1], 2, 3, 4),
    ),
    Ping.NUMBER: Ping(number=1, rumors=[RUMOR, Rumor("c", 0, "dead")]),
    Ack.NUMBER: Ack(number=1, rumors=[RUMOR]),
    Probe.NUMBER: Probe(number=2, target="c", rumors=[RUMOR]),
    Nack.NUMBER: Nack(number=2),
    Gossip.NUMBER: Gossip(rumors=[RUMOR]),
    Sync.NUMBER: Sync(members=[RUMOR], answer=True),
    About.NUMBER: About("a", 1, ["tcp://a:1"], 2, 3, 4, settled=True, services=[ServiceAbout("echo", 5, 6)]),
    Seek.NUMBER: Seek(service="echo"),
    Paths.NUMBER: Paths(service="echo", brokers=["a", "b"]),
    RegistryVersion.NUMBER: RegistryVersion(version=7, digest=b"\x00\xff", unix_ms=2**53),
    RegistryWanted.NUMBER: RegistryWanted(since=5, offset=PART_BYTES, parts=PARTS_AHEAD),
    RegistryPart.NUMBER: RegistryPart(version=7, since=5, total=3, offset=1, data=b"\x00\xff"),
    RosterIs.NUMBER: RosterIs(roster=b"\x00\xff"),
    CertificateIs.NUMBER: CertificateIs(certificate=b"\x00\xff", invitation=b"\x01"),
    Published.NUMBER: Published(version=7, refused="older", brokers=[BrokerVersion("b", 6)]),
    Enrol.NUMBER: Enrol(enrolment=b"\x00\xff"),
    Enrolled.NUMBER: Enrolled(rows=[EnrolmentRow(b"\x00\xff", 1)], refused="used"),
    Operate.NUMBER: Operate(7, DRAIN, "b1", force=True),
    Operated.NUMBER: Operated(7, REFUSED, "it is the last one"),
    Withheld.NUMBER: Withheld("ops", out=True),
}


def message(command: int, body: bytes, version: int = VERSION) -> bytes:
    return COMMON.pack(COMMON.size + len(body), version, command, 0, 0, 0) + body


def refused(command: int, fields: Any) -> None:
    with pytest.raises(ProtocolError, match=KINDS[command].__name__.upper()):
        decode_control(message(command, msgspec.msgpack.encode(fields)))


def failure(details: bytes) -> bytes:
    return b"\x82\xa4code\xa1x\xa7details" + details


class TestControl:
    def test_every_control_command_is_covered(self) -> None:
        assert EVERY.keys() == KINDS.keys()

    @pytest.mark.parametrize("command", EVERY, ids=lambda command: KINDS[command].__name__)
    def test_survives(self, command: int) -> None:
        encoded = encode_control(EVERY[command], sent_ms=UINT32)
        assert COMMON.unpack_from(encoded) == (len(encoded), VERSION, command, 0, 0, UINT32)
        assert decode_control(encoded) == EVERY[command]

    def test_has_a_number_of_its_own(self) -> None:
        kinds = list(kinds_of(Control))
        assert len(kinds) == len(KINDS)
        assert all(CONTROL_FIRST <= kind.NUMBER <= 255 for kind in kinds)

    def test_sign_of_life_is_13_bytes(self) -> None:
        assert len(encode_control(Heartbeat(), 0)) == 13

    @pytest.mark.parametrize("command", [63, 99, 255])
    def test_unknown_command_is_skipped_whatever_its_body(self, command: int) -> None:
        assert decode_control(message(command, b"\xc1\xc1")) is None

    def test_unknown_field_is_skipped(self) -> None:
        body = msgspec.msgpack.encode({"new": {"a": [1, None, b"", 1.5]}, "service": "echo", "credit": 1, "newer": 2})
        assert decode_control(message(Ready.NUMBER, body)) == Ready(service="echo", credit=1)

    def test_newer_minor_version_is_read(self) -> None:
        assert decode_control(message(Heartbeat.NUMBER, b"\x80", version=VERSION | 15)) == Heartbeat()

    @pytest.mark.parametrize("version", [0x00, 0x20, 0xFF])
    def test_other_major_version_is_refused(self, version: int) -> None:
        with pytest.raises(ProtocolError, match="version"):
            decode_control(message(Heartbeat.NUMBER, b"\x80", version=version))

    @pytest.mark.parametrize("command", EVERY, ids=lambda command: KINDS[command].__name__)
    def test_every_truncation_is_refused(self, command: int) -> None:
        encoded = encode_control(EVERY[command], 0)
        for size in range(len(encoded)):
            with pytest.raises(ProtocolError):
                decode_control(encoded[:size])
            with pytest.raises(ProtocolError):
                decode_control(message(command, encoded[COMMON.size : size]))

    def test_trailing_bytes_are_refused(self) -> None:
        with pytest.raises(ProtocolError):
            decode_control(encode_control(Heartbeat(), 0) + b"\0")
        with pytest.raises(ProtocolError, match="HEARTBEAT"):
            decode_control(message(Heartbeat.NUMBER, b"\x80\x80"))

    def test_size_is_bounded(self) -> None:
        def padded(size: int) -> bytes:
            head = b"\x81\xa3new\xc6"
            pad = size - COMMON.size - len(head) - 4
            return message(Hello.NUMBER, head + pad.to_bytes(4) + bytes(pad))

        assert decode_control(padded(CONTROL_BYTES_MAX)) == Hello()
        with pytest.raises(ProtocolError, match="bytes"):
            decode_control(padded(CONTROL_BYTES_MAX + 1))


class TestFields:
    @pytest.mark.parametrize("value", [-1, UINT32 + 1, 2**64 - 1, 1.5, math.nan, True, "1", None, [1]])
    def test_count_is_an_integer_of_32_bits(self, value: object) -> None:
        refused(Ready.NUMBER, {"service": "echo", "credit": value})
        refused(Demand.NUMBER, {"service": "echo", "backlog": value})

    def test_heartbeat_interval_is_not_zero(self) -> None:
        refused(Welcome.NUMBER, {"broker": "a", "member": "b", "heartbeat_ms": 0, "payload_bytes_max": 1})

    @pytest.mark.parametrize("name", ["", "m" * (NAME_BYTES_MAX + 1)])
    def test_name_is_bounded(self, name: str) -> None:
        refused(Welcome.NUMBER, {"broker": name, "member": "b", "heartbeat_ms": 1, "payload_bytes_max": 1})
        refused(Welcome.NUMBER, {"broker": "a", "member": name, "heartbeat_ms": 1, "payload_bytes_max": 1})

    @pytest.mark.parametrize("service", ["", "s" * (SERVICE_BYTES_MAX + 1)])
    def test_service_name_is_bounded(self, service: str) -> None:
        refused(Ready.NUMBER, {"service": service, "credit": 1})
        refused(Services.NUMBER, {"available": [service]})

    def test_text_is_bounded(self) -> None:
        refused(Hello.NUMBER, {"software": "x" * 256})
        refused(Goodbye.NUMBER, {"reason": "refused", "text": "x" * 256})

    def test_lists_are_bounded(self) -> None:
        refused(Services.NUMBER, {"available": ["s"] * 100_001})
        refused(Peers.NUMBER, {"brokers": [{"certificate": b""}] * (MEMBERS_MAX + 1)})
        refused(Sync.NUMBER, {"members": [["b", 0, "alive"]] * (MEMBERS_MAX + 1)})
        refused(About.NUMBER, {"name": "a", "version": 0, "services": [["s", 0, 0]] * 100_001})
        refused(About.NUMBER, {"name": "a", "version": 0, "endpoints": ["tcp://a:1"] * 17})
        refused(Paths.NUMBER, {"service": "s", "brokers": ["a"] * (RUMORS_MAX + 1)})
        for command in (Ping.NUMBER, Ack.NUMBER, Probe.NUMBER, Gossip.NUMBER):
            rumors = [["b", 0, "alive"]] * (RUMORS_MAX + 1)
            refused(command, {"number": 1, "target": "c", "rumors": rumors})
            assert decode_control(
                message(command, msgspec.msgpack.encode({"number": 1, "target": "c", "rumors": rumors[1:]}))
            )

    def test_certificate_is_bounded(self) -> None:
        refused(Peers.NUMBER, {"brokers": [{"certificate": bytes(64 * 1024 + 1)}]})

    @pytest.mark.parametrize(
        "rumor",
        [
            {"name": "b", "incarnation": 0, "state": "alive"},
            [],
            ["b"],
            ["b", 0],
            ["", 0, "alive"],
            ["b" * (NAME_BYTES_MAX + 1), 0, "alive"],
            ["b", -1, "alive"],
            ["b", INCARNATION_MAX + 1, "alive"],
            ["b", 1.5, "alive"],
            ["b", 0, "well"],
            ["b", 0, 1],
            ["b", 0, "suspect", "c" * (NAME_BYTES_MAX + 1)],
            ["b", 0, "alive", "", "text"],
            ["b", 0, "alive", "", bytes(64 * 1024 + 1)],
        ],
        ids=lambda rumor: str(rumor)[:30],
    )
    def test_rumor_is_bounded(self, rumor: object) -> None:
        refused(Gossip.NUMBER, {"rumors": [rumor]})
        refused(Sync.NUMBER, {"members": [rumor]})

    def test_a_registry_and_its_parts_are_bounded(self) -> None:
        version, wanted, part = RegistryVersion.NUMBER, RegistryWanted.NUMBER, RegistryPart.NUMBER
        whole: dict[str, Any] = {
            "version": 1,
            "since": 0,
            "total": REGISTRY_BYTES_MAX,
            "offset": 0,
            "data": bytes(PART_BYTES),
        }
        assert decode_control(message(part, msgspec.msgpack.encode(whole))) == RegistryPart(**whole)
        for field, value in (
            ("version", -1),
            ("version", 2**63),
            ("since", 2**63),
            ("total", REGISTRY_BYTES_MAX + 1),
            ("offset", REGISTRY_BYTES_MAX + 1),
            ("data", bytes(PART_BYTES + 1)),
        ):
            refused(part, whole | {field: value})
        refused(version, {"version": 2**63})
        refused(version, {"version": 1, "digest": bytes(DIGEST_BYTES + 1)})
        refused(version, {"version": 1, "unix_ms": 2**53 + 1})
        for more in ({"offset": REGISTRY_BYTES_MAX + 1}, {"parts": 0}, {"parts": PARTS_AHEAD + 1}):
            refused(wanted, {"since": 1} | more)
        refused(Hello.NUMBER, {"serial": 2**63})
        refused(Hello.NUMBER, {"roster": -1})
        refused(Published.NUMBER, {"version": 1, "refused": "x" * 256})
        refused(Published.NUMBER, {"version": 1, "brokers": [["b", 1]] * 1_025})
        refused(Enrolled.NUMBER, {"rows": [[b"", 0]] * (ENROLMENTS_TOLD_MAX + 1)})

    def test_state_of_a_broker_is_one_of_four(self) -> None:
        refused(Peers.NUMBER, {"brokers": [{"certificate": b"", "state": "well"}]})

    def test_required_field_must_be_there(self) -> None:
        refused(Ready.NUMBER, {"service": "echo"})
        refused(Goodbye.NUMBER, {})

    def test_goodbye_has_a_known_reason(self) -> None:
        refused(Goodbye.NUMBER, {"reason": "whim"})

    @pytest.mark.parametrize("body", [b"", b"\xc0", b"\x90", b"\x01", b"\xc1", b"\x81\x01\x01", b"\x81\x80\x01"])
    def test_body_is_a_map_with_names(self, body: bytes) -> None:
        with pytest.raises(ProtocolError, match="HELLO"):
            decode_control(message(Hello.NUMBER, body))


class TestHostileMessagePack:
    @pytest.mark.parametrize("opener", [b"\x91", b"\x81\xa1k", b"\x81", b"\xdd\x00\x00\x00\x01"])
    @pytest.mark.parametrize("depth", [400, 10_000, 1_000_000])
    def test_deep_nesting_is_refused(self, opener: bytes, depth: int) -> None:
        nested = opener * (depth // len(opener)) + b"\xc0"
        with pytest.raises(ProtocolError):
            decode_failure(failure(nested))
        with pytest.raises(ProtocolError):
            decode_control(message(Hello.NUMBER, b"\x81\xa3new" + nested))

    def test_nesting_is_bounded_by_us_and_not_by_the_interpreter(self) -> None:
        deepest, deeper = (b"\x91" * depth + b"\xc0" for depth in (NESTING_MAX - 1, NESTING_MAX))  # all is in a map
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(100_000)
        try:
            assert decode_control(message(Hello.NUMBER, b"\x81\xa3new" + deepest)) == Hello()
            assert decode_failure(failure(deepest)).details
            with pytest.raises(ProtocolError, match="HELLO is malformed: nested"):
                decode_control(message(Hello.NUMBER, b"\x81\xa3new" + deeper))
            with pytest.raises(ProtocolError, match="nested"):
                decode_failure(failure(deeper))
        finally:
            sys.setrecursionlimit(before)

    @pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"])
    def test_announced_length_without_its_bytes_is_refused(self, head: bytes) -> None:
        huge = head + b"\xff\xff\xff\xff"
        with pytest.raises(ProtocolError):
            decode_failure(failure(huge))
        with pytest.raises(ProtocolError):
            decode_failure(failure(b"\x93" + huge * 3))
        for command in EVERY:
            with pytest.raises(ProtocolError):
                decode_control(message(command, huge))
        for field, command in ((b"\xa9available", Services.NUMBER), (b"\xa5nodes", Report.NUMBER)):
            with pytest.raises(ProtocolError):
                decode_control(message(command, b"\x81" + field + huge))

    @pytest.mark.parametrize("text", [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80"])
    def test_invalid_utf8_is_refused(self, text: bytes) -> None:
        string = bytes((0xA0 | len(text),)) + text
        with pytest.raises(ProtocolError):
            decode_control(message(Hello.NUMBER, b"\x81\xa8software" + string))
        with pytest.raises(ProtocolError):
            decode_failure(failure(string))
        with pytest.raises(ProtocolError):
            decode_failure(failure(b"\x81" + string + b"\x01"))

    @pytest.mark.parametrize("seconds", [253_402_300_800, 2**62, 2**63 - 1, -62_135_596_801, -(2**63)])
    def test_timestamp_beyond_the_calendar_is_refused(self, seconds: int) -> None:
        stamp = b"\xc7\x0c\xff" + bytes(4) + seconds.to_bytes(8, signed=True)
        with pytest.raises(ProtocolError):
            decode_failure(failure(stamp))

    def test_nan_and_infinity_are_floats_like_others(self) -> None:
        details = decode_failure(encode_failure(ServiceError("x", details=[math.nan, math.inf]), MANY)).details
        assert math.isnan(details[0])
        assert details[1] == math.inf

    def test_map_as_a_key_is_refused(self) -> None:
        for key in (b"\x80", b"\x91\x80"):
            with pytest.raises(ProtocolError, match="hashable"):
                decode_failure(failure(b"\x81" + key + b"\x01"))

    def test_error_does_not_repeat_a_long_value_of_the_peer(self) -> None:
        long = "a" * 1_000_000
        body = msgspec.msgpack.encode({"reason": long})
        with pytest.raises(ProtocolError) as caught:
            decode_control(message(Goodbye.NUMBER, body))
        assert len(str(caught.value)) < 300

    def test_error_is_one_line_whatever_the_peer_says(self) -> None:
        body = msgspec.msgpack.encode({"reason": "a\nb\r\u2028c"})
        with pytest.raises(ProtocolError) as caught:
            decode_control(message(Goodbye.NUMBER, body))
        assert len(str(caught.value).splitlines()) == 1


MANY = 10_000
"""More bytes than any of these errors has."""


class TestFailure:
    def test_survives(self) -> None:
        details = {"a": [1, -1, 2**64 - 1, -(2**63), 1.5, None, True, "ä", b"\xff"], "b": {}}
        assert decode_failure(encode_failure(ServiceError("CODE", "text", details), MANY)) == Failure(
            "CODE", "text", details
        )

    def test_moment_survives(self) -> None:
        moment = datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
        assert decode_failure(encode_failure(ServiceError("CODE", details=moment), MANY)).details == moment

    def test_code_alone_is_enough(self) -> None:
        assert encode_failure(ServiceError("CODE"), MANY) == b"\x81\xa4code\xa4CODE"
        assert decode_failure(b"\x81\xa4code\xa4CODE") == Failure("CODE", "", None)

    @pytest.mark.parametrize("character", ["x", "ä", "€", "😀"])
    def test_code_is_cut_at_255_bytes(self, character: str) -> None:
        error = ServiceError("CODE")
        error.code = character * 300  # set afterwards, it was not looked at
        code = decode_failure(encode_failure(error, MANY)).code
        assert 255 - len(character.encode()) < len(code.encode()) <= 255
        assert code == character * len(code)

    @pytest.mark.parametrize("code", [b"\xc0", b"\x01", b"\xda\x01\x00" + b"x" * 256], ids=["nil", "number", "long"])
    def test_code_is_a_short_text(self, code: bytes) -> None:
        with pytest.raises(ProtocolError):
            decode_failure(b"\x81\xa4code" + code)

    def test_what_messagepack_cannot_carry_is_left_out_and_the_error_says_so(self) -> None:
        cyclic: list[Any] = []
        cyclic.append(cyclic)
        nested: list[Any] = []
        for _ in range(NESTING_MAX):
            nested = [nested]
        for unfit in (object(), 2**64, -(2**63) - 1, cyclic, nested, "\ud800", {"k": "\udfff"}):
            failure = decode_failure(encode_failure(ServiceError("CODE", "text", unfit), MANY))
            assert (failure.code, failure.details) == ("CODE", None)
            assert failure.message.startswith("text (the whole error could not be sent: ")
        error = ServiceError("CODE")
        error.code = "\ud800"
        assert decode_failure(encode_failure(error, MANY)).code == "?"
        assert decode_failure(encode_failure(ServiceError("CODE", "\ud800"), MANY)).message.startswith("? (the whole")

    def test_what_is_too_large_is_left_out_and_the_error_says_so(self) -> None:
        failure = decode_failure(encode_failure(ServiceError("CODE", "text", "x" * 2000), 1000))
        assert (failure.code, failure.details) == ("CODE", None)
        assert "the limit is 1000" in failure.message

    def test_that_cannot_be_read_is_not_mistaken_for_the_handlers_own(self) -> None:
        with pytest.raises(BraidError) as caught:
            decode_failure(b"")
        assert not isinstance(caught.value, ServiceError)


def test_full_welcome_carries_the_bounds_of_the_settings() -> None:
    high = Settings(heartbeat_s=60, suspect_after_s=90, dead_after_s=180, payload_bytes_max=64 * 1024 * 1024)
    welcome = Welcome(
        broker="b" * NAME_BYTES_MAX,
        member="m" * NAME_BYTES_MAX,
        heartbeat_ms=int(high.heartbeat_s * 1_000),
        payload_bytes_max=high.payload_bytes_max,
    )
    assert decode_control(encode_control(welcome, 0)) == welcome


def test_report_rows_are_cut_well_below_the_largest_message() -> None:
    took = [255, UINT32] * (control.REPORT_BUCKETS_MAX // control.REPORT_ROWS_MAX)
    row = ServiceStatus("s" * SERVICE_BYTES_MAX, UINT32, UINT32, UINT32, UINT32, UINT32, took)
    node = NodeStatus("n" * NAME_BYTES_MAX, "suspect", UINT32, UINT32, ["s" * SERVICE_BYTES_MAX])
    problem = max(LinkFailure, key=len)
    peer = PeerStatus(
        node.name,
        "suspect",
        "connecting",
        problem,
        UINT32,
        UINT32,
        UINT32,
        UINT32,
        UINT32,
        UINT32,
        UINT32,
        True,
        UINT32,
    )
    rows = control.REPORT_ROWS_MAX
    seen = SeenStatus(node.name, UINT32, UINT32)
    registry = RegistryStatus(
        UINT32,
        ends=[EndStatus(node.name, -UINT32)] * rows,
        tokens=[TokenStatus(UINT32, node.name, UINT32, UINT32, -UINT32)] * INVITATIONS_MAX,
        enrolled=[seen] * rows,
        seen=[seen] * rows,
    )
    report = Report(services=[row] * rows, nodes=[node] * rows, brokers=[peer] * rows, registry=registry)
    assert len(encode_control(report, 0)) < CONTROL_BYTES_MAX // 2
