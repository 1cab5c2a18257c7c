"""How long a key is kept out, and for what."""

from braidmq.core.broker.bars import BAR_S, BAR_S_MAX, KEYS_MAX, PARDON_S, SESSIONS_BURST, SESSIONS_PER_S, Bars

NOW = 1_000.0


def test_a_key_is_barred_for_a_while_and_no_other_one() -> None:
    bars = Bars()
    assert bars.add("a", NOW) == BAR_S
    assert bars.left_s("a", NOW + 1.0) == BAR_S - 1.0
    assert bars.left_s("a", NOW + BAR_S) == 0.0
    assert bars.left_s("b", NOW) == 0.0


def test_whoever_comes_back_to_do_so_again_is_barred_for_longer_up_to_a_limit() -> None:
    bars, now, lasted = Bars(), NOW, []
    for _ in range(6):
        lasted.append(bars.add("a", now))
        now += lasted[-1] + 1.0
    assert lasted == [BAR_S, 2 * BAR_S, 4 * BAR_S, 8 * BAR_S, BAR_S_MAX, BAR_S_MAX]


def test_a_key_that_has_behaved_since_counts_as_new() -> None:
    bars = Bars()
    bars.add("a", NOW)
    assert bars.add("a", NOW + BAR_S + PARDON_S + 1.0) == BAR_S


def test_sessions_are_counted_and_forgotten_with_time() -> None:
    bars = Bars()
    assert all(bars.count_session("a", NOW) for _ in range(SESSIONS_BURST))
    assert not bars.count_session("a", NOW)
    assert bars.count_session("a", NOW + 3.0 / SESSIONS_PER_S)
    assert bars.count_session("b", NOW)


def test_a_steady_pace_is_never_too_much() -> None:
    bars = Bars()
    assert all(bars.count_session("a", NOW + number / SESSIONS_PER_S) for number in range(10 * SESSIONS_BURST))


def test_the_keys_that_are_remembered_are_bounded() -> None:
    bars = Bars()
    for number in range(KEYS_MAX + 10):
        bars.add(str(number), NOW)
        bars.count_session(str(number), NOW)
    bars.validate_state()
    assert not bars.left_s("0", NOW)
    assert bars.left_s(str(KEYS_MAX), NOW)
