"""What `braidmq top` shows on 80 columns and 24 lines, as text."""

import io

import pytest
from rich.console import Console

from braidmq.cli.top.details import detail_lines
from braidmq.cli.top.pages import Kind, Net
from braidmq.cli.top.picture import ASKING, frame, rows_shown
from braidmq.cli.top.state import Screen
from braidmq.monitor.looking import Look
from braidmq.wire.control import NodeStatus, ServiceStatus
from tests.support.three_brokers import looks

MANY = [ServiceStatus(f"s{number:02}", 1, 8, 0, 0) for number in range(40)]


def net(*dead, **more):
    return Net.of(looks(*dead, **more))


def console(width=80, height=24, color_system=None):
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=color_system)


def drawn(seen, *keys, on=None, screen=None):
    on, screen = on or console(), screen or Screen()
    for key in keys:
        screen.on_key(key, seen, rows_shown(seen, on.width, on.height))
    return [line.rstrip() for line in frame(on, screen, seen, "10:41:02")]


def shown(text):
    """A screen of 24 lines: those of `text`, with empty ones before the last."""
    *lines, last = text.strip("\n").split("\n")
    return [*lines, *[""] * (23 - len(lines)), last]


FOOT = "q quit  ? help  Tab next list  Enter open  / filter  s sort  r reverse  10:41:02"
DETAIL_FOOT = "q quit  ? help  Esc back  up down scroll                                10:41:02"


def test_a_net_that_is_well():
    idle = [ServiceStatus("idle", 1, 8, 0, 0)]
    assert drawn(net(services=idle)) == shown(f"""
all is well: 3 brokers (b1, b2, b3), 4 nodes, 1 service
b1 up 2,100/s  b2 up 2,100/s  b3 up 2,100/s

[1 Services] 2 Brokers  3 Callers  4 Workers  5 Findings
   SERVICE             WORKERS LOADv  OUTSTANDING  CREDIT  QUEUED  REP/S  P99 ms
>  idle                      1    0%            0      24       0  3,150     2.9
{FOOT}
""")


def test_a_broker_that_is_dead_is_in_the_first_line_with_what_to_do_below_it():
    assert drawn(net("b2")) == shown(f"""
something is wrong: b2 is dead for 12 s
! b2 is dead for 12 s: nothing answers there (tcp://10.0.0.2:5551); b1 and b3 go
  on without it. Start it again: `braidmq broker --join b2.braid`; its log says
  why it has ended.
b1 up 2,100/s  b2 dead  b3 up 2,100/s

[1 Services] 2 Brokers  3 Callers  4 Workers  5 Findings
   SERVICE             WORKERS LOADv  OUTSTANDING  CREDIT  QUEUED  REP/S  P99 ms
>~ pricing                   2  112%          120     128      24  2,100     2.9
   stock                     1   12%            2      16       0  2,100     2.9
   idle                      1    0%            0      16       0  2,100     2.9
{FOOT}
""")


def test_the_list_of_brokers():
    assert drawn(net("b2"), "2")[6:11] == [
        " 1 Services [2 Brokers] 3 Callers  4 Workers  5 Findings",
        "   BROKER^      STATE      UP FOR  NODES  IN FLIGHT  QUEUED  REQ/S  REP/S  REJ/S",
        ">  b1           up     1 min 31 s      4         61      12  2,100  1,050      0",
        " ! b2           dead            -      -          -       -      -      -      -",
        "   b3           up     1 min 31 s      4         61      12  2,100  1,050      0",
    ]


def test_a_broker_in_detail():
    assert (
        drawn(net("b2"), "2", "enter")[6:]
        == f"""\
Brokers > b1
b1 at tcp://10.0.0.1:5551: up, for 1 min 31 s, braidmq 9
requests/s 2,100  replies/s 1,050  rejects/s 0

SEEN BY  AS     LINK  FOR  RTT   PROBLEM
b3       alive  up    0 s  1 ms  -

SERVICE  WORKERS  CREDIT  OUTSTANDING  QUEUED
idle     1        8       0            0
pricing  2        64      60           12
stock    1        8       1            0

CALLER  IN FLIGHT  STATE
shop    40         open
web     10         open

requests 2,100  replies 1,050  rejected 3
{DETAIL_FOOT}""".split("\n")
    )


def test_a_service_in_detail():
    assert drawn(net(), "enter")[3:15] == [
        "Services > pricing",
        "pricing: 216 requests for 192 places of its workers, 112%",
        "",
        "AT BROKER  WORKERS  CREDIT  OUTSTANDING  QUEUED",
        "b1         2        64      60           12",
        "b2         2        64      60           12",
        "b3         2        64      60           12",
        "",
        "WORKER  STATE  SILENT  BROKERS",
        "w1      open   12 ms   b1, b2, b3",
        "w2      open   7 ms    b1, b2, b3",
        "",
    ]


def test_a_caller_in_detail():
    assert drawn(net(), "3", "enter")[3:12] == [
        "Callers > shop",
        "shop: 120 requests under way, 80% of those of all nodes",
        "requests/s 252,000  rejects/s 0",
        "",
        "AT BROKER  STATE  SILENT  IN FLIGHT",
        "b1         open   10 ms   40",
        "b2         open   10 ms   40",
        "b3         open   10 ms   40",
        "",
    ]


def test_a_finding_in_detail_and_one_that_is_over():
    screen = Screen()
    lines = drawn(net("b2"), "5", "enter", screen=screen)
    assert lines[6] == "Findings > broker-dead b2"
    assert lines[7].startswith("! b2 is dead for 12 s: nothing answers there")
    assert drawn(net(), screen=screen)[4] == "it is over"


@pytest.mark.parametrize("kind", [Kind.SERVICES, Kind.BROKERS, Kind.CALLERS, Kind.WORKERS])
def test_details_of_what_has_gone_say_so(kind):
    assert "any more" in detail_lines(net(), kind, "gone", 80)[0]


def test_a_long_list_shows_the_part_with_the_selected_row_and_says_so():
    lines = drawn(net(services=MANY), "pagedown", "pagedown")
    assert lines[3].endswith("   23 to 40 of 40")
    assert lines[5].startswith("   s22 ")
    assert [line[:6] for line in lines if line.startswith(">")] == [">  s36"]
    assert drawn(net(services=MANY))[3].endswith("   1 to 18 of 40")


def test_a_filter_is_shown_while_it_is_typed_and_after_that():
    screen = Screen()
    assert drawn(net(), *"/sto", screen=screen)[-1] == "filter: sto_   Enter keeps it, Esc takes it away"
    assert drawn(net(), "enter", screen=screen)[3].endswith("5 Findings   filter: sto")
    assert drawn(net(), *"/zzz")[4] == "none of the services fits 'zzz': Esc shows all"


def test_before_the_first_look_it_says_what_it_does():
    assert drawn(Net.of(Look((), ())))[0] == ASKING


def test_without_any_broker_it_says_why_for_each():
    lines = drawn(net("b1", "b2", "b3"))
    assert lines[0] == "no broker tells its state"
    assert lines[1] == "  b1 at tcp://10.0.0.1:5551: nothing answers there"
    assert lines[5] == "[1 Services] 2 Brokers  3 Callers  4 Workers  5 Findings"


def test_help_fits_80_columns():
    lines = drawn(net(), "?")
    assert lines[4].startswith("q ^C ")
    assert not any("\u2026" in line for line in lines)


def test_scrolling_ends_where_the_text_does():
    screen = Screen()
    nodes = [NodeStatus(f"n{number:02}", "open", 1, 1) for number in range(50)]
    first = drawn(net(nodes=nodes), "2", "enter", screen=screen)
    assert "more lines below)" in first[3]
    last = drawn(net(nodes=nodes), "end", screen=screen)
    assert last[-2].startswith("requests ")
    assert drawn(net(nodes=nodes), "up", screen=screen)[-2] == last[-3]


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 10), (20, 4), (5, 2), (1, 1)])
@pytest.mark.parametrize("keys", [(), ("2",), ("enter",), ("?",), ("5",), ("/",)])
def test_whatever_the_size_it_fits(size, keys):
    lines = drawn(net("b2", services=MANY), *keys, on=console(*size))
    assert len(lines) == size[1]
    assert max(map(len, lines)) <= size[0]


def test_colours_are_only_where_there_are_some_and_marks_are_everywhere():
    assert "\x1b" not in "".join(drawn(net("b2")))
    coloured = drawn(net("b2"), "2", on=console(color_system="standard"))
    assert "\x1b[1;31m" in coloured[0]
    assert any(line.startswith(" !") for line in drawn(net("b2"), "2"))
