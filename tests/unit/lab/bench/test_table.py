from braidmq.lab.bench.cells import Cell, Shape
from braidmq.lab.bench.figures import summed_up
from braidmq.lab.bench.table import lines, ratio
from tests.support.rigs.bench_rig import figures

MANY, ONE, OPEN = Cell(Shape(), 64, 64), Cell(Shape(), 64, 1), Cell(Shape(), 64, rate=500.0)


def summary(system, cell, per_s, p50_us=100.0, **changes):
    return summed_up(system, cell, [figures(per_s, p50_us=p50_us, **changes)])


def test_throughput_is_compared_by_calls_per_second():
    assert ratio(summary("ours", MANY, 300.0), summary("theirs", MANY, 100.0)) == 3.0


def test_latency_is_compared_by_the_median():
    for cell in (ONE, OPEN):
        assert ratio(summary("ours", cell, 1.0, p50_us=50.0), summary("theirs", cell, 9.0, p50_us=100.0)) == 2.0


def test_each_load_has_a_table_with_ratios_to_ours():
    found = lines([summary("ours", MANY, 300.0), summary("theirs", MANY, 200.0), summary("theirs", ONE, 9.0)], "ours")
    assert [line for line in found if line.startswith("1 x 1")] == [str(MANY), str(ONE)]
    rows = [line for line in found if line.startswith(("ours", "theirs"))]
    assert [row.endswith("1.50") for row in rows] == [False, True, False]


def test_what_failed_stands_beside_its_row():
    (row,) = [line for line in lines([summary("x", MANY, 1.0, failed=3, problem="boom")], "x") if line.startswith("x")]
    assert row.endswith("3 failed: boom")
