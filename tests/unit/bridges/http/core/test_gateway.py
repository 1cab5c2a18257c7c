import json

import pytest

from braidmq import DeadlineExceeded, NoWorker, ServiceError
from braidmq.bridges.http.core import gateway as module
from braidmq.bridges.http.core.callers import Caller, Callers, Entry
from braidmq.bridges.http.core.gateway import Call
from braidmq.bridges.http.core.messages import Answer, Head
from braidmq.bridges.http.core.problems import Refused
from tests.support.http_peer import gateway, reply

KEYED = (b"idempotency-key", b'"k"')


def head(*fields, service="pricing", names=()):
    return Head("POST", f"/services/{service}".encode(), [(b"host", b"localhost"), *fields], names=names)


def begin(core, *fields, payload=b"14", now=0.0, **more):
    exchange = core.on_head(head(*fields, **more))
    return exchange, core.on_body(exchange, payload, now)


def refusal(call):
    with pytest.raises(Refused) as told:
        call()
    return told.value.answer


def test_a_request_becomes_a_call_and_its_reply_the_answer():
    core = gateway(content_types={"pricing": "application/json"})
    exchange, call = begin(core, (b"braid-timeout", b"2"), (b"braid-attempts", b"4"), (b"braid-header-x", b"y"))
    assert isinstance(call, Call)
    assert (call.service, call.payload, call.timeout_s, call.attempts) == ("pricing", b"14", 2.0, 4)
    assert call.headers == {"x": "y"}
    assert call.possible_duplicate is False
    assert core.under_way == 1
    answer = core.on_end(exchange, reply(), 1.0)
    assert (answer.status, answer.body, answer.content_type) == (200, b"42", b"application/json")
    core.release(exchange)
    core.release(exchange)
    assert core.under_way == core.held_bytes == 0
    core.check()


def test_a_caller_has_no_more_under_way_than_its_limit():
    callers = Callers([Entry(Caller("other"), certificate="other.example")], anonymous=True)
    core = gateway(callers=callers, calls_max=2)
    first, _ = begin(core)
    begin(core)
    answer = refusal(lambda: core.on_head(head()))
    assert answer.status == 429
    assert (b"retry-after", b"1") in answer.fields
    begin(core, names=("other.example",))
    core.release(first)
    begin(core)


def test_payloads_are_bounded_one_by_one_and_together(monkeypatch):
    core = gateway()
    assert refusal(lambda: core.on_head(head((b"content-length", b"1025")))).status == 413
    exchange = core.on_head(head())
    core.on_part(exchange, 1_024)
    assert refusal(lambda: core.on_part(exchange, 1_025)).status == 413
    assert core.held_bytes == 1_024
    monkeypatch.setattr(module, "HELD_BYTES_MAX", 2_000)
    answer = refusal(lambda: core.on_head(head((b"content-length", b"1000"))))
    assert answer.status == 503
    assert json.loads(answer.body)["type"] == "urn:braidmq:overloaded"
    core.release(exchange)
    core.on_head(head((b"content-length", b"1000")))
    assert core.held_bytes == 1_000


def test_payloads_of_one_caller_are_bounded_together(monkeypatch):
    monkeypatch.setattr(module, "HELD_BYTES_PER_CALLER_MAX", 900)
    core = gateway(callers=Callers([Entry(Caller("other"), certificate="other.example")], anonymous=True))
    alone = core.on_head(head((b"content-length", b"1000")))
    answer = refusal(lambda: core.on_head(head((b"content-length", b"1"))))
    assert answer.status == 429
    assert (b"retry-after", b"1") in answer.fields
    core.on_part(alone, 1_024)
    other = core.on_head(head((b"content-length", b"900"), names=("other.example",)))
    core.check()
    core.release(alone)
    first, second = core.on_head(head((b"content-length", b"500"))), core.on_head(head())
    core.on_part(second, 400)
    assert refusal(lambda: core.on_part(second, 401)).status == 429
    core.release(first)
    core.on_part(second, 900)
    core.check()
    core.release(second)
    core.release(other)
    core.check()
    assert core.held_bytes == 0


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ((b"content-encoding", b"gzip"), 415),
        ((b"expect", b"a miracle"), 417),
        ((b"braid-timeout", b"-1"), 400),
        ((b"braid-attempts", b"0"), 400),
        ((b"idempotency-key", b"k"), 400),
        ((b"braid-header-via", b"x"), 400),
    ],
)
def test_a_wrong_field_is_refused_before_the_body_comes(field, status):
    core = gateway()
    assert refusal(lambda: core.on_head(head(field))).status == status
    assert core.under_way == 0


def test_who_has_no_token_learns_nothing_of_the_rest():
    core = gateway(callers=Callers())
    assert refusal(lambda: core.on_head(head((b"braid-timeout", b"-1")))).status == 401


def test_the_handler_is_told_for_whom_the_gateway_calls():
    callers = Callers([Entry(Caller("shop"), certificate="shop.example")])
    _, call = begin(gateway(callers=callers), names=("shop.example",))
    assert call.headers == {"via": "http:shop"}
    assert call.caller.join == ""


def test_an_answer_with_a_key_is_given_again():
    core = gateway()
    exchange, call = begin(core, KEYED)
    assert call.headers == {"idempotency-key": "k"}
    core.on_end(exchange, ServiceError("OUT_OF_STOCK"), 1.0)
    _, again = begin(core, KEYED, now=2.0)
    assert isinstance(again, Answer)
    assert again.status == 500
    assert (b"idempotency-replayed", b"?1") in again.fields
    assert core.counters["replayed"] == 1
    assert core.counters["calls"] == 1


@pytest.mark.parametrize("hang_up", [True, False])
def test_one_that_may_have_been_run_is_called_again_with_the_flag(hang_up):
    core = gateway()
    exchange, _ = begin(core, KEYED)
    exchange_2 = core.on_head(head(KEYED))
    assert refusal(lambda: core.on_body(exchange_2, b"14", 0.0)).status == 409
    if hang_up:
        core.on_hang_up(exchange, 1.0)
    else:
        core.on_end(exchange, DeadlineExceeded("late", maybe_executed=True), 1.0)
    _, call = begin(core, KEYED, now=2.0)
    assert call.possible_duplicate is True


def test_one_that_was_not_run_is_called_again_without_the_flag():
    core = gateway()
    exchange, _ = begin(core, KEYED)
    core.on_end(exchange, NoWorker("none"), 1.0)
    assert core.remembered == 0
    _, call = begin(core, KEYED, now=2.0)
    assert not call.possible_duplicate


def test_while_it_drains_it_takes_nothing_new():
    core = gateway()
    exchange, _ = begin(core)
    core.draining = True
    answer = refusal(lambda: core.on_head(head()))
    assert answer.status == 503
    assert answer.closes
    assert core.on_end(exchange, reply(), 1.0).status == 200


def own(core, path):
    return core.on_body(core.on_head(Head("GET", path, [])), b"", 0.0)


def test_readiness_is_that_of_the_node():
    why = ""
    core = gateway(readiness=lambda: why)
    assert own(core, b"/readyz").status == 200
    why = "no broker is up"
    answer = own(core, b"/readyz")
    assert answer.status == 503
    assert b"no broker is up" in answer.body
    assert own(core, b"/healthz").status == 200
    why, core.draining = "", True
    assert own(core, b"/readyz").status == 503
    assert own(core, b"/healthz").status == 200


def test_the_description_names_its_limits():
    document = json.loads(own(gateway(timeout_s_max=7.0), b"/openapi.json").body)
    assert document["openapi"] == "3.1.0"
    call = document["paths"]["/services/{service}"]["post"]
    timeout = next(each for each in call["parameters"] if each["name"] == "Braid-Timeout")
    assert timeout["schema"]["maximum"] == 7.0
    assert "1024" in call["requestBody"]["description"]


def test_refusals_and_answers_are_counted():
    core = gateway()
    with pytest.raises(Refused) as told:
        core.on_head(head((b"braid-timeout", b"-1")))
    core.on_answer(core.on_refused(told.value))
    assert core.counters["bad-header"] == 1
    assert core.answers == {400: 1}
