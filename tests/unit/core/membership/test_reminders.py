from braidmq.core.membership.reminders import Occasion, Reminders


def taken(reminders: Reminders, now: float) -> list[tuple[Occasion, str]]:
    found = []
    while (look := reminders.take(now)) is not None:
        found.append(look)
        reminders.validate_state()
    return found


def test_those_that_are_due_come_in_order_and_once() -> None:
    reminders = Reminders()
    reminders.put(Occasion.SUSPICION, "b", 2.0)
    reminders.put(Occasion.TOMBSTONE, "a", 1.0)
    reminders.put(Occasion.SUSPICION, "c", 3.0)
    assert reminders.next_at == 1.0
    assert taken(reminders, 2.0) == [(Occasion.TOMBSTONE, "a"), (Occasion.SUSPICION, "b")]
    assert reminders.next_at == 3.0
    assert taken(reminders, 2.0) == []


def test_earliest_time_counts_for_each_reason() -> None:
    reminders = Reminders()
    reminders.put(Occasion.SUSPICION, "a", 5.0)
    reminders.put(Occasion.SUSPICION, "a", 9.0)
    reminders.put(Occasion.TOMBSTONE, "a", 6.0)
    assert len(reminders) == 2
    reminders.put(Occasion.SUSPICION, "a", 1.0)
    assert taken(reminders, 1.0) == [(Occasion.SUSPICION, "a")]
    assert (Occasion.SUSPICION, "a") not in reminders
    assert (Occasion.TOMBSTONE, "a") in reminders
    assert taken(reminders, 9.0) == [(Occasion.TOMBSTONE, "a")], "what was put off earlier is no reason any more"
    assert reminders.next_at is None


def test_time_that_an_earlier_one_has_replaced_is_none_for_what_is_put_down_later() -> None:
    reminders = Reminders()
    reminders.put(Occasion.SUSPICION, "a", 5.0)
    reminders.put(Occasion.SUSPICION, "a", 1.0)
    assert taken(reminders, 1.0) == [(Occasion.SUSPICION, "a")]
    reminders.put(Occasion.SUSPICION, "a", 9.0)
    assert taken(reminders, 6.0) == []
    assert taken(reminders, 9.0) == [(Occasion.SUSPICION, "a")]


def test_times_that_move_away_leave_nothing_behind() -> None:
    reminders = Reminders()
    for delay in range(1_000):
        reminders.put(Occasion.SUSPICION, "a", 5.0 + delay)
    assert len(reminders) == 1
