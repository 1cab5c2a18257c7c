from array import array

import pytest

from braidmq.lab.bench.cells import Cell, Shape
from braidmq.lab.bench.figures import NUMBERS, Figures, latencies_us, summed_up
from tests.support.rigs.bench_rig import figures

CELL = Cell(Shape(), 4096, 64)


def test_percentiles_are_in_microseconds():
    found = latencies_us(array("d", [number / 1e6 for number in range(1, 1001)]))
    assert found == pytest.approx({"p50_us": 501, "p99_us": 991, "p99_9_us": 1000})


def test_nothing_has_percentiles_of_zero():
    assert latencies_us(array("d")) == {"p50_us": 0.0, "p99_us": 0.0, "p99_9_us": 0.0}


def test_rounds_are_summed_up_as_their_median_with_the_spread():
    found = summed_up("X", CELL, [figures(100.0), figures(300.0), figures(120.0)])
    assert (found.median["per_s"], found.low["per_s"], found.high["per_s"]) == (120.0, 100.0, 300.0)
    assert (found.rounds, found.failed, found.problem) == (3, 0, "")


def test_what_failed_in_any_round_is_told():
    found = summed_up("X", CELL, [figures(100.0), figures(90.0, failed=2, problem="lost"), figures(80.0, failed=1)])
    assert (found.failed, found.problem) == (3, "lost")


def test_every_number_has_a_median():
    assert set(NUMBERS) == set(Figures.__struct_fields__) - {"failed", "problem"}
