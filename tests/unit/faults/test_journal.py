from braidmq.lab.simulation.record import Call, Error, Execution, Reply
from faults.journal import Journal, Reader, path_of


def execution(key):
    return Execution(key, "w1", b"\x00\xff", 1.0, True, 1)


def test_entries_come_back_as_they_were(tmp_path):
    calls = [
        Call("a", "c1", 1.0, 6.0, 3, b"\x00\xff", [(2.0, Reply("a", "w1", b"\x00\xff", True, 1, "b1"))]),
        Call("b", "c1", 1.0, 6.0, 3, b"\x01", [(2.0, Error("NoBroker", 1, True, id=b"\x01"))]),
    ]
    journal = Journal(tmp_path, Call, "c1")
    for call in calls:
        journal.add(call)
    journal.flush()
    assert Reader(tmp_path).read().calls == calls


def test_a_reader_returns_only_what_is_new(tmp_path):
    journal, reader = Journal(tmp_path, Execution, "w1"), Reader(tmp_path)
    journal.add(execution("a"))
    assert reader.read().executions == []
    journal.flush()
    assert [each.key for each in reader.read().executions] == ["a"]
    journal.add(execution("b"))
    journal.flush()
    assert [each.key for each in reader.read().executions] == ["b"]


def test_a_line_that_a_killed_process_left_half_written_is_passed_over(tmp_path):
    journal = Journal(tmp_path, Execution, "w1", 1)
    journal.add(execution("a"))
    journal.flush()
    with path_of(tmp_path, Execution, "w1", 1).open("ab") as file:
        file.write(b'{"key":"b","work')
    next_life = Journal(tmp_path, Execution, "w1", 2)
    next_life.add(execution("c"))
    next_life.flush()
    assert [each.key for each in Reader(tmp_path).read().executions] == ["a", "c"]
