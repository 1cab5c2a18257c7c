from braidmq.carrier.keys import SPARE_CONNECTIONS, Keys


def test_a_key_is_full_at_its_limit_and_no_other_one_is():
    keys = Keys(3)
    uses = [keys.enter("a") for _ in range(2 * 3 + SPARE_CONNECTIONS)]
    assert keys.is_full("a")
    assert not keys.is_full("b")
    keys.leave(uses.pop())
    assert not keys.is_full("a")


def test_connections_of_one_key_share_what_waits():
    keys = Keys(3)
    one, two = keys.enter("a"), keys.enter("a")
    one.held_bytes += 5
    assert two.held_bytes == 5
    assert keys.enter("b").held_bytes == 0


def test_a_key_without_connections_is_forgotten():
    keys = Keys(3)
    uses = [keys.enter("a"), keys.enter("a")]
    keys.leave(uses[0])
    assert len(keys) == 1
    keys.leave(uses[1])
    assert len(keys) == 0
    assert keys.enter("a").connections == 1
