import pytest

from braidmq.cli.trial.steps import Step, judge
from braidmq.cli.trial.tally import Tally
from braidmq.cli.trial.text import end_line, load_text, milliseconds, picture, summary
from braidmq.errors import NoWorker, ServiceError
from braidmq.histogram import Histogram
from tests.support.trials import reply


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.00412, "0.004"),
        (0.0512, "0.051"),
        (0.5123, "0.512"),
        (5.123, "5.12"),
        (51.23, "51.2"),
        (5123.4, "5,123"),
    ],
)
def test_times_have_three_digits_that_count(value, shown):
    assert milliseconds(value) == shown


@pytest.mark.parametrize(
    ("end", "line"),
    [
        (reply(), "3: 1.50 ms by w1 over b1, 4 bytes"),
        (reply("b2", "w2", retries=1), "3: 1.50 ms by w2 over b2, 4 bytes, retry 1, a possible duplicate"),
        (NoWorker("nobody serves it"), "3: NoWorker after 1.50 ms: nobody serves it"),
        (
            ServiceError("BAD", "\x1b[2J\n4: all is well"),
            "3: ServiceError after 1.50 ms: BAD: \\x1b[2J\\n4: all is well",
        ),
    ],
)
def test_each_call_has_one_line_that_is_fit_for_a_terminal(end, line):
    assert end_line(3, end, 0.0015) == line


def filled(*ends):
    tally = Tally()
    for number, end in enumerate(ends):
        tally.sent += 1
        if isinstance(end, Exception):
            tally.on_error(end)
        else:
            tally.on_reply(end, 0.001 * 2**number)
    return tally


def test_the_summary_has_sums_errors_paths_and_a_picture():
    assert (
        summary("echo", filled(reply(), reply("b2"), reply(), NoWorker("x")), 3.25)
        == """\
echo: 4 sent, 3 answered, 1 failed, in 3.2 s
  1 x NoWorker

BROKER  WORKER  REPLIES  MIN ms  P50 ms  P90 ms  P99 ms  P99.9 ms  MAX ms
b1      w1      2        1.01    1.01    4.00    4.00    4.00      4.00
b2      w1      1        2.00    2.00    2.00    2.00    2.00      2.00
all     all     3        1.01    2.02    4.00    4.00    4.00      4.00

FROM      TO ms  REPLIES
0.989 to  1.11   1        ########################################
1.11 to   1.25   0
1.25 to   1.41   0
1.41 to   1.59   0
1.59 to   1.79   0
1.79 to   2.02   1        ########################################
2.02 to   2.27   0
2.27 to   2.56   0
2.56 to   2.88   0
2.88 to   3.25   0
3.25 to   3.65   0
3.65 to   4.12   1        ########################################"""
    )


def test_one_path_has_no_sum_and_one_latency_no_picture():
    text = summary("echo", filled(reply()), 1.0)
    assert "all " not in text
    assert "#" not in text


def test_a_picture_has_a_bounded_number_of_lines_and_no_reply_is_left_out():
    latency = Histogram()
    for number in range(1, 5_000):
        latency.add(number / 1_000)
    _head, *lines = picture(latency)
    assert 1 < len(lines) <= 12
    assert sum(int(line.split()[3].replace(",", "")) for line in lines) == 4_999


def step(per_s, in_flight=0, rate=0.0, **more):
    told = filled(*more.get("ends", [reply()]))
    return Step(in_flight, rate, 5.0, per_s, told, more.get("held_back", 0), more.get("busy", 0.2))


def test_one_load_tells_of_paths_several_do_not():
    one = load_text("echo", 10, [step(99.5, in_flight=64)], None)
    assert one.startswith("echo: calls of 10 bytes\nIN FLIGHT  REPLIES/S  FAILED  MIN ")
    assert "\n64         99.5       0 " in one
    assert "\n1 sent, 1 answered, 0 failed, in 5.0 s\n\nBROKER  WORKER" in one
    steps = [step(10, rate=10.0), step(15, rate=15.0), step(16, rate=22.5)]
    several = load_text("echo", 10, steps, judge(steps))
    assert "BROKER" not in several
    assert "\nRATE  REPLIES/S " in several
    assert several.endswith(
        "echo is full at about 15 replies a second (at 15.0 a second, p99 1.00 ms): "
        "beyond, 71 % of what is asked for is answered"
    )


def test_it_says_if_the_command_itself_is_the_limit_and_what_could_not_begin():
    assert "took a whole processor" not in load_text("echo", 1, [step(5, 1, busy=0.89)], None)
    text = load_text("echo", 1, [step(5, rate=9.0, busy=0.9, held_back=3)], None)
    assert "took a whole processor" in text
    assert "\n3 calls were due and did not begin, as too many were under way" in text


def test_a_load_that_is_too_much_from_the_beginning_is_told():
    steps = [step(0, in_flight=1, ends=(NoWorker("x"),))]
    assert load_text("echo", 1, steps, judge(steps)).endswith(
        "echo does not take the least of these loads: 100 % of the calls fail"
    )
