import pytest

from braidmq.histogram import Histogram
from braidmq.lab.demo.board import SILENT_S, WINDOW, Board, BrokerState
from braidmq.lab.demo.plan import Plan
from braidmq.lab.demo.tally import Snapshot, Stage
from braidmq.lab.demo.view import PlainView


def snapshot(at, replies=0, client="c1", served=None, **fields):
    served = served or {}
    return Snapshot(client=client, at=at, requests=replies, replies=replies, served_at=served, **fields)


@pytest.fixture
def board():
    board = Board(Plan(brokers=2), ["b1", "b2"])
    board.on_started("b1", 101, 1.0)
    board.on_started("b2", 102, 1.0)
    return board


def test_a_broker_is_up_once_it_has_served(board):
    assert not board.may_kill()
    board.on_snapshot(snapshot(2.0, served={"b1": 1.9}))
    assert board.brokers["b1"].state is BrokerState.UP
    assert not board.may_kill()
    board.on_snapshot(snapshot(2.2, served={"b1": 2.1, "b2": 2.1}))
    assert board.may_kill()


def test_none_is_killed_while_one_is_down_or_has_not_served_since_its_restart(board):
    board.on_snapshot(snapshot(2.0, served={"b1": 1.9, "b2": 1.9}))
    board.on_killed("b1", 3.0)
    assert not board.may_kill()
    board.on_snapshot(snapshot(3.1, served={"b1": 2.99, "b2": 3.1}))
    assert board.brokers["b1"].state is BrokerState.DOWN
    board.on_started("b1", 103, 4.5)
    board.on_snapshot(snapshot(4.6, served={"b1": 2.99, "b2": 4.6}))
    assert not board.may_kill()
    board.on_snapshot(snapshot(4.8, served={"b1": 4.7, "b2": 4.7}))
    assert board.may_kill()
    assert (board.kills, board.restarts, board.brokers["b1"].pid) == (1, 1, 103)


def test_the_rate_is_measured_by_the_clock_of_each_client(board):
    for number in range(WINDOW + 2):
        board.on_snapshot(snapshot(10.0 + number * 0.2, replies=number * 100))
        board.on_snapshot(snapshot(50.0 + number * 0.1, replies=number * 10, client="c2"))
    assert board.rate(11.4) == pytest.approx(500 + 100)
    assert board.totals.replies == (WINDOW + 1) * 110


def test_a_silent_client_has_no_rate(board):
    board.on_snapshot(snapshot(10.0))
    board.on_snapshot(snapshot(10.2, replies=100))
    assert board.rate(10.3) == pytest.approx(500)
    assert board.rate(10.2 + SILENT_S) == 0.0


def test_the_latency_shown_is_that_of_the_last_second(board):
    before, after = Histogram(), Histogram()
    before.add(1.0)
    after.add(1.0)
    after.add(0.01)
    board.on_snapshot(snapshot(10.0, latency=before))
    board.on_snapshot(snapshot(10.2, latency=after))
    assert board.latency().percentile_ms(99) == pytest.approx(10, rel=0.03)


def test_clients_are_counted_by_their_stage(board):
    board.on_snapshot(snapshot(1.0, stage=Stage.READY))
    board.on_snapshot(snapshot(1.0, client="c2", stage=Stage.DONE))
    assert (board.clients_at(Stage.READY), board.clients_at(Stage.DONE), board.clients_at(Stage.RUNNING)) == (1, 1, 0)
    assert board.has("c2")
    assert not board.has("c3")


def test_the_plain_view_tells_each_event_once_and_a_line_per_second(board):
    lines = []
    view = PlainView(lines.append, lambda: None)
    board.started_at = 10.0
    board.on_killed("b1", 10.5)
    for now in (10.5, 10.7, 11.4, 11.6):
        view.show(board, now)
    assert sum("kill -9 b1 (pid 101)" in line for line in lines) == 1
    assert sum("lost 0" in line for line in lines) == 2
    assert "b1 KILLED" in lines[-1]
