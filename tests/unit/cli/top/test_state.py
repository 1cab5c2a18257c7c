import pytest

from braidmq.cli.top.pages import Kind, Net
from braidmq.cli.top.state import FILTER_CHARS_MAX, Screen
from braidmq.wire.control import ServiceStatus
from tests.support.three_brokers import looks

HEIGHT = 10


def net(services=None):
    return Net.of(looks(**({} if services is None else {"services": services})))


SEEN = net()


def pressed(*keys, seen=SEEN, screen=None):
    screen = screen or Screen()
    for key in keys:
        screen.on_key(key, seen, HEIGHT)
    return screen


def selected(screen, seen=SEEN):
    rows = screen.rows(seen)
    return rows[screen.selected(rows)].name


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ((), Kind.SERVICES),
        (("2",), Kind.BROKERS),
        (("5",), Kind.FINDINGS),
        (("tab", "tab"), Kind.CALLERS),
        (("left",), Kind.FINDINGS),
        (("5", "right"), Kind.SERVICES),
        (("9", "x"), Kind.SERVICES),
    ],
)
def test_keys_choose_a_list(keys, kind):
    assert pressed(*keys).kind is kind


def test_the_selection_moves_and_stops_at_the_ends():
    assert [selected(pressed(*keys)) for keys in ((), ("down",), ("down",) * 9, ("end", "up"), ("down", "home"))] == [
        "pricing",
        "stock",
        "idle",
        "stock",
        "pricing",
    ]


def test_the_selection_stays_with_its_row_wherever_that_goes():
    screen = pressed("down")
    busy = net([ServiceStatus("stock", 1, 1, 1, 50), ServiceStatus("pricing", 1, 8, 0, 0)])
    assert selected(screen, busy) == "stock"
    assert screen.selected(screen.rows(busy)) == 0
    assert selected(screen, net([ServiceStatus("idle", 1, 1, 0, 0)])) == "idle"


def test_each_list_has_its_own_order_and_selection():
    screen = pressed("s", "r", "2", "down", "1")
    assert (screen.sorting.column, screen.sorting.reverse) == (3, True)
    assert selected(pressed("2", screen=screen)) == "b2"
    assert (screen.sorting.column, screen.sorting.reverse) == (0, False)


def test_sorting_goes_through_all_columns_and_back():
    assert pressed(*"ssssss").sorting.column == 0
    assert pressed(*"SSS").sorting.column == 7


def test_a_filter_is_typed_kept_and_taken_away():
    screen = pressed(*"/stoq", "backspace")
    assert (screen.editing, screen.filter, screen.leaving) == (True, "sto", False)
    assert [row.name for row in screen.rows(SEEN)] == ["stock"]
    pressed("enter", screen=screen)
    assert (screen.editing, screen.filter) == (False, "sto")
    assert pressed("escape", screen=screen).filter == ""
    assert pressed(*"/sto", "escape").filter == ""
    assert len(pressed("/", *("x" * 200)).filter) == FILTER_CHARS_MAX


def test_a_row_is_opened_and_left():
    screen = pressed("down", "enter")
    assert screen.opened == "stock"
    assert pressed("down", "down", "up", screen=screen).scroll == 1
    assert pressed("home", screen=screen).scroll == 0
    assert pressed("escape", screen=screen).opened is None
    assert selected(screen) == "stock"


def test_nothing_is_opened_where_nothing_is():
    assert pressed(*"/zzz", "enter", "enter", "down").opened is None


def test_help_comes_and_goes():
    assert pressed("?").helping
    assert not pressed("?", "?").helping
    assert not pressed("?", "escape").helping


@pytest.mark.parametrize("before", [(), ("enter",), ("?",), ("5",)])
def test_q_quits_from_everywhere(before):
    assert pressed(*before, "q").leaving
