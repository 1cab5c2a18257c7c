from braidmq.host.pauses import PAUSE_S_MAX, PAUSE_S_MIN, STEADY_S, Pauses


def test_each_pause_is_twice_as_long_up_to_the_longest():
    pauses = Pauses()
    found = [pauses.after(1.0) for _ in range(10)]
    assert found[:4] == [PAUSE_S_MIN, 2 * PAUSE_S_MIN, 4 * PAUSE_S_MIN, 8 * PAUSE_S_MIN]
    assert found[-3:] == [PAUSE_S_MAX] * 3
    assert found == sorted(found)


def test_after_a_long_life_the_pause_is_the_shortest_again():
    pauses = Pauses()
    for _ in range(5):
        pauses.after(STEADY_S - 0.1)
    assert pauses.after(STEADY_S) == PAUSE_S_MIN
    assert pauses.after(0.0) == 2 * PAUSE_S_MIN


def test_processes_have_pauses_of_their_own():
    one, other = Pauses(), Pauses()
    one.after(0.0)
    assert other.after(0.0) == PAUSE_S_MIN
