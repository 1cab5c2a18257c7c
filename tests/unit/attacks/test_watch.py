import pytest

from attacks.watch import TICKS_PER_S, Usage, Watch, usage_of
from braidmq.lab.processes.child import Child
from braidmq.lab.processes.waiting import wait_until


def test_usage_is_read_from_proc(tmp_path):
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 1024 kB\n")
    (tmp_path / "stat").write_text(f"1 (a) b) S {' '.join(['0'] * 10)} {3 * TICKS_PER_S} {TICKS_PER_S} 0\n")
    assert usage_of(tmp_path) == Usage(2.0, 4.0)


def test_a_process_that_has_ended_has_no_memory(tmp_path):
    (tmp_path / "status").write_text("Name:\tx\nState:\tZ (zombie)\n")
    (tmp_path / "stat").write_text("1 (x) Z\n")
    with pytest.raises(IndexError):
        usage_of(tmp_path)


def test_what_a_process_used_is_known_when_it_has_ended():
    child = Child(["sleep", "60"])
    try:
        with Watch(lambda: {"x": child}) as watch:
            wait_until(lambda: watch.usages().get("x", Usage()).rss_mib > 0.1, "it is seen when its program runs")
            child.close()
            assert watch.usages()["x"].rss_mib > 0.1
    finally:
        child.close()
