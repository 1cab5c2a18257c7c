"""Numbers at the ends of their fields, and what is computed of them: nothing overflows on the way back to the wire."""

from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from braidmq.core.broker.pace import Pace
from braidmq.wire.control import Ready, Status, decode_control, encode_control
from braidmq.wire.envelope import LOST, REJECT, RENEW, REPLY, UINT16, UINT32, WORKING, Envelope, encode, milliseconds
from tests.support.examples import TIMES
from tests.support.rigs.broker_rig import Rig

uint32 = st.sampled_from([0, 1, 86_400_000, UINT32 - 1, UINT32]) | st.integers(0, UINT32)
uint16 = st.sampled_from([0, 1, 60_000, UINT16])
uint8 = st.sampled_from([0, 1, 2, 127, 254, 255])
spans = st.sampled_from([0.0, 0.001, 0.9, 3_600.0, 86_400.0, 50 * 86_400.0, 400 * 86_400.0])
requests = st.fixed_dictionaries(
    {"time_ms": uint32, "working_ms": uint16, "code": uint8, "retry_count": uint8, "flags": uint8, "sent_ms": uint32}
)
answers = st.tuples(st.sampled_from([REPLY, REJECT, LOST, WORKING]), uint8, uint32, uint8)


@given(st.floats())
def test_every_span_fits_its_field(seconds: float) -> None:
    assert 0 <= milliseconds(seconds) <= UINT32


@given(st.lists(st.tuples(spans, spans), max_size=30), st.integers(0, 100_000), spans)
def test_time_to_come_back_fits_its_field_however_long_work_takes(
    answered: list[tuple[float, float]], queued: int, remaining_s: float
) -> None:
    pace, now = Pace(), 1_000.0
    for apart_s, work_s in answered:
        now += apart_s
        pace.on_answer(now - work_s, now)
    assert 0 <= milliseconds(pace.late_s(queued, remaining_s)) <= UINT32


@hypothesis_settings(max_examples=40 * TIMES, deadline=None)
@given(
    st.lists(requests, min_size=1, max_size=8),
    st.lists(st.tuples(spans, answers, requests), max_size=8),
    uint32,
)
def test_broker_survives_what_peers_say_and_what_time_does(
    first: list[dict[str, Any]], steps: list[tuple[float, tuple[int, int, int, int], dict[str, Any]]], credit: int
) -> None:
    rig = Rig(queue_messages_max=100_000, in_flight_max=100_000, settle_s=0.0)
    worker, client, eye = rig.worker(credit=1), rig.client(), rig.connect("eye", observe=True)
    for fields in first:
        client.request(**fields)
    for jump_s, (command, code, time_ms, retry_count), fields in steps:
        rig.now += jump_s
        for member in (worker, client, eye):
            member.heartbeat()
        for held in list(worker.held.values()):
            if command != WORKING:
                worker.held.pop(held.tag)
            answer = Envelope(
                command, held.id, tag=held.tag, sent_ms=worker.sent_ms, code=code, time_ms=time_ms,
                retry_count=retry_count,
            )  # fmt: skip
            worker.frame(encode(answer))
        worker.granted[b"echo"] = credit
        worker.control(Ready("echo", credit))
        sent = client.request(**fields)
        client.frame(encode(Envelope(RENEW, sent.id, tag=sent.tag, sent_ms=client.sent_ms, time_ms=time_ms)))
        eye.control(Status())
        rig.tick()
    report = rig.core.report(rig.now)
    assert decode_control(encode_control(report, 0)) == report
