"""Malamute clients that call services of the net."""

import msgspec
import pytest

from braidmq.bridges.limits import CALLS_PER_PEER_MAX
from braidmq.errors import (
    AccessDenied,
    AttemptsExhausted,
    DeadlineExceeded,
    NodeClosed,
    NoWorker,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
)
from tests.support.malamute import CLOSE, OK, PONG, ask, error_of, heard, mailed, opening

KIB = 1024


def only(calls):
    (call,) = calls.values()
    return call


def test_request_becomes_a_call_and_its_reply_mail(shop):
    shop.services["pricing"] = None
    assert shop.say("shop", *ask(b"pricing", b"14", subject=b"price", tracker=b"t-1")) == [], "no SEND is confirmed"
    call = only(shop.calls)
    assert (call.service, call.payload, call.timeout_s, call.member) == ("pricing", b"14", 30.0, "")
    assert call.headers == {"subject": "price", "tracker": "t-1", "via": "malamute:shop"}
    shop.answer(call.number, b"42")
    assert shop.heard("shop")[-1] == mailed(b"worker", b"shop", b"42")


def test_client_without_an_address_is_answered(net):
    net.say("anonymous", *opening(b""))
    net.services["pricing"] = b"42"
    assert net.say("anonymous", *ask(b"pricing")) == [mailed(b"worker", b"", b"42")]
    assert net.core.counters["mail_dropped"] == 0


@pytest.mark.parametrize(
    ("frames", "content", "payload"),
    [
        ("one", [b"14"], b"14"),
        ("one", [], b""),
        ("msgpack", [b"14", b"", b"b"], b"\x93\xc4\x0214\xc4\x00\xc4\x01b"),
        ("msgpack", [b"14"], b"\x91\xc4\x0214"),
        ("msgpack", [], b"\x90"),
    ],
)
def test_frames_become_a_payload_and_a_payload_frames(make_net, frames, content, payload):
    net = make_net(services={"pricing": {"frames": frames}})
    net.say("shop", *opening(b"shop"))
    net.services["pricing"] = None
    net.say("shop", *ask(b"pricing", *content))
    call = only(net.calls)
    assert call.payload == payload
    net.answer(call.number, payload)
    assert heard(net.heard("shop")[-1]).content == (content or ([b""] if frames == "one" else []))


@pytest.mark.parametrize("payload", [b"no array", b"", b"\x91\x01", b"\xdd\x00\x10\x00\x00" + b"\xc4\x00" * 8])
def test_reply_that_is_no_array_is_an_answer_as_well(make_net, payload):
    net = make_net(services={"*": {"frames": "msgpack"}})
    net.say("shop", *opening(b"shop"))
    net.services["pricing"] = payload
    assert net.say("shop", *ask(b"pricing")) == [mailed(b"worker", b"shop", payload)]


@pytest.mark.parametrize(
    ("error", "code", "maybe"),
    [
        (NoWorker("nobody"), b"NO_WORKER", b"0"),
        (DeadlineExceeded("late", maybe_executed=True), b"DEADLINE", b"1"),
        (Overloaded("full"), b"OVERLOADED", b"0"),
        (AccessDenied("no"), b"DENIED", b"0"),
        (PayloadTooLarge("large"), b"TOO_LARGE", b"0"),
        (AttemptsExhausted("gone", maybe_executed=True), b"LOST", b"1"),
        (ServiceError("OUT_OF_STOCK", "none left"), b"OUT_OF_STOCK", b"1"),
        (NodeClosed("closed"), b"UNAVAILABLE", b"0"),
    ],
)
def test_error_becomes_mail_with_the_tracker(shop, error, code, maybe):
    shop.services["pricing"] = error
    (told,) = shop.say("shop", *ask(b"pricing", tracker=b"t-9"))
    assert error_of(told) == (b"t-9", code, maybe)
    assert heard(told).content[1] == f"{error}".encode()


def test_silence_can_be_had_instead_of_errors(make_net):
    net = make_net(services={"quiet": {"errors": "silent"}})
    net.say("shop", *opening(b"shop"))
    assert net.say("shop", *ask(b"quiet")) == []
    assert error_of(net.say("shop", *ask(b"loud"))[0]) == (b"t-1", b"NO_WORKER", b"0")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (ask(b"two words"), b"INVALID_SERVICE"),
        (ask(b""), b"INVALID_SERVICE"),
        (ask(b"\xff"), b"INVALID_SERVICE"),
        (ask(b"x" * 128), b"INVALID_SERVICE"),
        (ask(b"pricing", b"1", b"2"), b"INVALID"),
    ],
)
def test_request_that_cannot_be_a_call_is_told_so(shop, message, code):
    assert error_of(shop.say("shop", *message)[0]) == (b"t-1", code, b"0")
    assert shop.calls == {}
    assert shop.peer("shop").refused == 1


def test_service_can_be_called_otherwise_in_the_net(make_net):
    net = make_net(names={"color printer": "print.color"}, services={"print.*": {"subject": "service", "timeout_s": 3}})
    net.say("shop", *opening(b"shop"))
    net.services["print.color.A4"] = None
    net.say("shop", *ask(b"color printer", subject=b"A4"))
    call = only(net.calls)
    assert (call.service, call.timeout_s) == ("print.color.A4", 3.0)


@pytest.mark.parametrize(
    ("told", "now", "later"), [({}, None, True), ({"wait": True}, True, True), ({"wait": False}, False, False)]
)
def test_call_waits_for_a_worker_as_it_is_told_or_as_it_was_held(make_net, told, now, later):
    net = make_net(services={"pricing": told})
    net.services["pricing"] = None
    net.say("late", *ask(b"pricing"))
    net.say("late", *opening(b"late"))
    net.say("late", *ask(b"pricing"))
    assert [call.wait for call in net.calls.values()] == [later, now]


@pytest.mark.parametrize(
    ("timeout", "timeout_ms", "timeout_s"),
    [("ignore", 1_500, 30.0), ("deadline", 1_500, 1.5), ("deadline", 0, 30.0), ("deadline", 0xFFFFFFFF, 86_400.0)],
)
def test_timeout_of_a_request_counts_where_it_is_told(make_net, timeout, timeout_ms, timeout_s):
    net = make_net(services={"pricing": {"timeout": timeout}})
    net.say("shop", *opening(b"shop"))
    net.services["pricing"] = None
    net.say("shop", *ask(b"pricing", timeout_ms=timeout_ms))
    assert only(net.calls).timeout_s == timeout_s


def test_texts_that_are_no_unicode_are_headers_all_the_same(net):
    net.say("raw", *opening(b"\xff\x00"))
    net.services["pricing"] = None
    net.say("raw", *ask(b"pricing", subject=b"\xfe", tracker=b"\xfd"))
    call = only(net.calls)
    msgspec.msgpack.encode(call.headers)
    net.answer(call.number, b"42")
    assert net.heard("raw")[-1] == mailed(b"worker", b"\xff\x00", b"42", subject=b"\xfe", tracker=b"\xfd")


class TestAnswers:
    def test_answer_goes_to_the_program_that_asked_not_to_a_newer_one(self, shop):
        shop.services["pricing"] = None
        shop.say("shop", *ask(b"pricing"))
        shop.say("shop2", *opening(b"shop"))
        shop.answer(1, b"42")
        assert shop.heard("shop")[-1] == mailed(b"worker", b"shop", b"42")
        assert shop.heard("shop2") == []

    def test_answer_of_one_that_has_gone_goes_to_the_newest_of_its_address(self, shop):
        shop.services["pricing"] = None
        shop.say("shop", *ask(b"pricing"))
        shop.close("shop")
        shop.say("second", *opening(b"shop"))
        shop.say("third", *opening(b"shop"))
        shop.answer(1, b"42")
        assert shop.heard("second") == [OK]
        assert shop.heard("third") == []

    @pytest.mark.parametrize("end", ["close", "gone", "silence"])
    def test_answer_of_one_that_has_gone_is_kept(self, shop, end):
        shop.services["pricing"] = None
        shop.say("shop", *ask(b"pricing"))
        match end:
            case "close":
                shop.say("shop", *CLOSE)
            case "gone":
                shop.close("shop")
            case "silence":
                shop.advance(12)
        shop.answer(1, b"42")
        assert shop.cancelled == []
        assert shop.say("shop", *opening(b"shop")) == [OK, mailed(b"worker", b"shop", b"42")]

    def test_answer_of_one_without_an_address_that_has_gone_is_dropped(self, net):
        net.services["pricing"] = None
        net.say("anonymous", *opening(b""))
        net.say("anonymous", *ask(b"pricing"))
        net.close("anonymous")
        net.say("other", *opening(b""))
        net.answer(1, b"42")
        assert net.heard("other") == [OK]
        assert net.core.counters["mail_dropped"] == 1

    def test_answer_does_not_follow_a_program_to_another_address(self, shop):
        shop.services["pricing"] = None
        shop.say("shop", *ask(b"pricing"))
        shop.say("shop", *opening(b"store"))
        shop.answer(1, b"42")
        assert shop.heard("shop")[1:] == [OK]
        assert shop.say("shop2", *opening(b"shop")) == [OK, mailed(b"worker", b"shop", b"42")]

    def test_stopped_client_finds_its_answer(self, shop):
        """Stopped for 15 s: its answer comes in the middle, behind a PONG; or, later still, as mail."""
        shop.services["pricing"] = None
        shop.say("shop", *ask(b"pricing", tracker=b"a"))
        shop.say("shop", *ask(b"pricing", tracker=b"b"))
        shop.heard("shop")
        shop.advance(5)
        shop.answer(1, b"41")
        assert shop.heard("shop") == [PONG, mailed(b"worker", b"shop", b"41", tracker=b"a")]
        shop.advance(10)
        shop.answer(2, b"42")
        assert shop.heard("shop") == []
        assert shop.say("shop", *opening(b"shop")) == [OK, mailed(b"worker", b"shop", b"42", tracker=b"b")]


class TestBounds:
    def test_calls_of_one_client_are_bounded(self, shop):
        shop.services["pricing"] = None
        for _ in range(CALLS_PER_PEER_MAX):
            assert shop.say("shop", *ask(b"pricing")) == []
        assert shop.peer("shop").refused == 0
        for count in (1, 2):
            assert error_of(shop.say("shop", *ask(b"pricing", tracker=b"x"))[0]) == (b"x", b"OVERLOADED", b"0")
            assert shop.peer("shop").refused == count, "it is not read for a while"
        shop.say("other", *opening(b"other"))
        assert shop.say("other", *ask(b"pricing")) == []
        shop.answer(1, b"")
        assert shop.say("shop", *ask(b"pricing")) == []
        assert shop.peer("shop").refused == 2

    def test_bytes_of_the_calls_of_one_client_are_bounded(self, shop, monkeypatch):
        monkeypatch.setattr("braidmq.bridges.malamute.requests.CALLS_BYTES_PER_PEER_MAX", 100 * KIB)
        shop.services["pricing"] = None
        assert shop.say("shop", *ask(b"pricing", bytes(200 * KIB))) == [], "one may be larger"
        assert error_of(shop.say("shop", *ask(b"pricing", b"1"))[0])[1] == b"OVERLOADED"
        shop.answer(1, b"")
        assert shop.say("shop", *ask(b"pricing", b"1")) == []

    def test_calls_of_those_that_have_gone_are_bounded(self, net, monkeypatch):
        monkeypatch.setattr("braidmq.bridges.malamute.requests.LEFT_CALLS_MAX", 3)
        net.services["pricing"] = None
        for number in range(5):
            net.say("shop", *opening(b"shop"))
            net.say("shop", *ask(b"pricing"))
            net.close("shop")
            assert len(net.calls) == min(number + 1, 3)
        assert net.cancelled == [1, 2]
        for number in (3, 4, 5):
            net.answer(number, b"")
        assert net.core.idle


def test_no_call_begins_while_the_bridge_drains(shop):
    shop.services["pricing"] = None
    shop.say("shop", *ask(b"pricing"))
    shop.core.drain(shop.now)
    assert error_of(shop.say("shop", *ask(b"pricing", tracker=b"x"))[0]) == (b"x", b"UNAVAILABLE", b"0")
    assert not shop.core.idle
    shop.answer(1, b"42")
    assert shop.core.idle
    assert mailed(b"worker", b"shop", b"42") in shop.heard("shop")
