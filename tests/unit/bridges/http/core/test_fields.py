import pytest

from braidmq.bridges.http.core.fields import Fields
from braidmq.bridges.http.core.problems import Refused


def fields(**values):
    return Fields((name.replace("_", "-").encode(), value) for name, value in values.items())


def refusal(call):
    with pytest.raises(Refused) as told:
        call()
    assert told.value.answer.status == 400
    assert b"urn:braidmq:bad-header" in told.value.answer.body
    return str(told.value)


@pytest.mark.parametrize(
    ("said", "prefer", "timeout_s"),
    [
        (None, None, 5.0),
        (b"2.5", None, 2.5),
        (b"0.001", None, 0.001),
        (b"30", None, 30.0),
        (b"1e1", None, 10.0),
        (None, b"wait=2", 2.0),
        (None, b"wait=20", 20.0),
        (None, b"wait=99", 30.0),
        (None, b"wait=0", 0.001),
        (None, b"wait=soon", 5.0),
        (None, b'respond-async, WAIT = "7" ; x=1', 7.0),
        (b"3", b"wait=2", 2.0),
        (b"3", b"wait=4", 3.0),
    ],
)
def test_the_smaller_timeout_holds(said, prefer, timeout_s):
    given = [(b"braid-timeout", said), (b"prefer", prefer)]
    assert Fields((name, value) for name, value in given if value is not None).timeout_s(5.0, 30.0) == timeout_s


def test_the_usual_timeout_is_no_longer_than_the_longest():
    assert Fields([]).timeout_s(5.0, 2.0) == 2.0


@pytest.mark.parametrize("said", [b"-1", b"0", b"30.1", b"nan", b"inf", b"", b"1 s", b"0x1", b"1_0", b"1e99", b"\xb2"])
def test_a_timeout_out_of_its_bounds_is_refused(said):
    assert "from 0.001 to 30" in refusal(lambda: fields(braid_timeout=said).timeout_s(5.0, 30.0))


def test_attempts_are_a_whole_number_up_to_20():
    assert fields(braid_attempts=b"20").attempts() == 20
    assert fields().attempts() is None


@pytest.mark.parametrize("said", [b"0", b"21", b"-1", b"1.0", b"", b"+1", b"9" * 30])
def test_other_attempts_are_refused(said):
    refusal(fields(braid_attempts=said).attempts)


def test_a_key_is_unquoted():
    assert fields(idempotency_key=rb'"a \"b\" \\ c"').idempotency_key() == r'a "b" \ c'
    assert fields(idempotency_key=b'"' + b"x" * 255 + b'"').idempotency_key() == "x" * 255
    assert fields().idempotency_key() is None


@pytest.mark.parametrize(
    "said", [b"abc", b'""', b'"a', b'"a"b"', b'"\xc3\xa4"', b'"a";x=1', rb'"\x"', b'"' + b"x" * 256 + b'"']
)
def test_what_is_no_key_is_refused(said):
    refusal(fields(idempotency_key=said).idempotency_key)


@pytest.mark.parametrize(
    "name", [b"idempotency-key", b"braid-timeout", b"authorization", b"content-type", b"traceparent", b"host"]
)
def test_a_second_one_that_would_contradict_the_first_is_refused(name):
    assert "twice" in refusal(lambda: Fields([(name, b"1"), (name, b"1")]))


def test_lists_may_come_in_several_lines():
    given = Fields(
        [(b"tracestate", b"a=1"), (b"tracestate", b"b=2"), (b"braid-header-x", b"1"), (b"braid-header-x", b"2")]
    )
    assert given.handed_on() == {"tracestate": "a=1, b=2", "x": "1, 2"}


def test_headers_of_the_trace_and_those_named_reach_the_handler():
    given = fields(
        traceparent=b"00-1-2-01",
        baggage=b"k=v",
        content_type=b"text/plain",
        braid_header_tenant=b"\xc3\xa4cme",
        accept=b"*/*",
        cookie=b"secret",
    )
    assert given.handed_on() == {
        "traceparent": "00-1-2-01",
        "baggage": "k=v",
        "content-type": "text/plain",
        "tenant": "äcme",
    }


@pytest.mark.parametrize("name", [b"via", b"traceparent", b"content-type", b"idempotency-key"])
def test_nobody_speaks_in_the_gateways_name(name):
    assert "the gateway's own" in refusal(Fields([(b"braid-header-" + name, b"forged")]).handed_on)


@pytest.mark.parametrize("name", [b"braid-timout", b"braid-", b"braid-header-", b"braid-worker"])
def test_a_mistyped_field_is_not_taken_for_nothing(name):
    assert "there is no field" in refusal(lambda: Fields([(name, b"1")]))


def test_headers_are_utf8():
    refusal(Fields([(b"braid-header-x", b"\xff")]).handed_on)
