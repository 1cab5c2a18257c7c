from braidmq.monitor.finding import NAMES_MAX
from braidmq.monitor.happenings import Happening
from braidmq.monitor.journal import ENTRIES_MAX, TEXT_CHARS_MAX, Journal


def filled(count, first_id=1):
    journal = Journal(first_id)
    for number in range(count):
        journal.add(Happening("node-joined", ("w1",), f"entry {number}"), 100.0 + number)
    return journal


def ids(entries):
    return [entry.id for entry in entries]


def test_a_reader_gets_what_came_after_the_entry_that_it_has():
    journal = filled(5)
    assert ids(journal.after(2, 10)) == [3, 4, 5]
    assert ids(journal.after(2, 2)) == [3, 4]
    assert journal.after(5, 10) == []
    assert journal.after(99, 10) == []


def test_a_reader_of_an_earlier_life_gets_all():
    journal = filled(3, first_id=1_000)
    assert ids(journal.after(17, 10)) == [1_000, 1_001, 1_002]


def test_pages_go_back_in_time():
    journal = filled(5)
    assert ids(journal.before(None, 2)) == [5, 4]
    assert ids(journal.before(4, 2)) == [3, 2]
    assert ids(journal.before(1, 2)) == []
    assert ids(journal.before(99, 2)) == [5, 4]


def test_the_oldest_entries_go():
    journal = filled(ENTRIES_MAX + 3)
    assert len(journal.before(None, 2 * ENTRIES_MAX)) == ENTRIES_MAX
    assert ids(journal.after(0, 1)) == [4]
    assert ids(journal.after(3, 1)) == [4]
    assert ids(journal.after(4, 1)) == [5]
    assert ids(journal.after(ENTRIES_MAX + 2, 9)) == [ENTRIES_MAX + 3]


def test_an_empty_journal_has_no_entries():
    journal = Journal(7)
    assert (journal.last_id, journal.after(0, 5), journal.before(None, 5)) == (6, [], [])


def test_no_entry_is_longer_than_it_may_be_or_reaches_a_terminal_raw():
    journal = Journal(1)
    journal.add(Happening("refused", ("\x1b[2J",) * 100, "\x07" + "x" * 1_000), 0.0)
    (entry,) = journal.after(0, 1)
    assert entry.names == ("\\x1b[2J",) * NAMES_MAX
    assert len(entry.text) == TEXT_CHARS_MAX
    assert entry.text.startswith("\\x07xxx")
    assert entry.text.endswith("...")
