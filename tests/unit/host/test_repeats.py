from braidmq.host.repeats import KINDS_MAX, LINES_MAX, PERIOD_S, Repeats, more_of


def test_some_lines_of_a_kind_are_written_and_the_rest_is_counted():
    repeats = Repeats()
    assert [repeats.admit("a", 0.0) for _ in range(LINES_MAX)] == [0] * LINES_MAX
    assert [repeats.admit("a", 1.0) for _ in range(7)] == [None] * 7
    assert repeats.admit("b", 1.0) == 0


def test_after_a_period_the_next_line_says_how_many_there_were():
    repeats = Repeats()
    for _ in range(LINES_MAX + 7):
        repeats.admit("a", 0.0)
    assert repeats.admit("a", PERIOD_S - 0.1) is None
    assert repeats.admit("a", PERIOD_S) == 8
    assert repeats.admit("a", PERIOD_S) == 0


def test_more_kinds_than_are_told_apart_share_their_lines():
    repeats = Repeats()
    for number in range(KINDS_MAX):
        assert repeats.admit(number, 0.0) == 0
    admitted = [repeats.admit(f"other {number}", 1.0) for number in range(2 * LINES_MAX)]
    assert admitted == [0] * LINES_MAX + [None] * LINES_MAX
    assert repeats.admit("later", PERIOD_S) == 0, "there is room again"
    assert len(repeats._kinds) <= KINDS_MAX + 1


def test_a_line_says_how_many_more_there_were():
    assert more_of(0) == ""
    assert more_of(1234) == "; 1,234 more like this since this was told last"
