import pytest

pytest.importorskip("rich")

from rich.console import Console

from braidmq.lab.demo.board import Board
from braidmq.lab.demo.live import picture
from braidmq.lab.demo.plan import Plan
from braidmq.lab.demo.tally import Snapshot


def drawn(board, now, width, height):
    console = Console(width=width, height=height, record=True, file=open("/dev/null", "w"), legacy_windows=False)  # noqa: PTH123, SIM115
    with console.capture() as capture:
        console.print(picture(board, now, width, height))
    console.file.close()
    return capture.get().splitlines()


def busy_board(brokers=3, **totals):
    board = Board(Plan(brokers=brokers), [f"b{number}" for number in range(1, brokers + 1)])
    for number, name in enumerate(board.brokers):
        board.on_started(name, 1_000 + number, 0.0)
    board.started_at = 1.0
    served = dict.fromkeys(board.brokers, 1.5)
    board.on_snapshot(Snapshot(client="c1", at=2.0, served_at=served))
    board.on_snapshot(Snapshot(client="c1", at=3.0, requests=1_000, replies=1_000, served_at=served, **totals))
    board.on_sample(3.0)
    board.on_killed("b1", 3.5)
    return board


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (200, 60), (40, 10)])
@pytest.mark.parametrize("brokers", [1, 3, 16])
def test_the_picture_fits_its_terminal(size, brokers):
    width, height = size
    lines = drawn(busy_board(brokers), 4.0, width, height)
    assert max(map(len, lines)) <= width
    if height >= 24:
        assert len(lines) <= height


def test_the_picture_shows_who_was_killed_and_what_was_lost():
    text = "\n".join(drawn(busy_board(), 4.0, 80, 24))
    assert "✗ killed" in text
    assert "● up" in text
    assert "kill -9 b1 (pid 1000)" in text
    assert "▲" in text
    assert "█▀█" in text  # the 0 of what is lost
    assert "█▀█" not in "\n".join(drawn(busy_board(late=17), 4.0, 80, 24))


def test_a_board_without_any_news_can_be_drawn():
    assert drawn(Board(Plan(), ["b1", "b2", "b3"]), 0.0, 80, 24)
