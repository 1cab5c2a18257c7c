import pytest

from braidmq.lab.bench.cells import CELLS, Cell, Shape, by_shape, size


@pytest.mark.parametrize(
    ("bytes_", "text"), [(64, "64 B"), (1024, "1 KiB"), (4096, "4 KiB"), (1500, "1500 B"), (0, "0 B")]
)
def test_sizes_are_written_as_people_write_them(bytes_, text):
    assert size(bytes_) == text


def test_a_load_says_whether_it_is_open_or_closed():
    assert str(Cell(Shape(), 4096, 64)) == "1 x 1 over 1, 4 KiB, 64 in flight"
    assert str(Cell(Shape(8, 8, 3), 64, rate=2000.0)) == "8 x 8 over 3, 64 B, 2,000/s"


def test_a_net_is_started_once_for_all_its_loads():
    one, other = Shape(1, 1, 1), Shape(8, 8, 3)
    cells = [Cell(one, 64, 1), Cell(other, 64, 1), Cell(one, 64, 64)]
    assert by_shape(cells) == [(one, [cells[0], cells[2]]), (other, [cells[1]])]


def test_all_loads_are_different():
    assert len(set(CELLS)) == len(CELLS)
    assert sum(len(loads) for _, loads in by_shape(CELLS)) == len(CELLS)
