from braidmq.core.ids import ID_BYTES, SECRET_BYTES, Ids, derived

SECRET = bytes(range(SECRET_BYTES))


def test_ids_differ_and_their_first_bit_is_clear() -> None:
    ids = Ids(SECRET)
    made = [ids.next() for _ in range(5_000)]
    assert len(set(made)) == len(made)
    assert {len(id_) for id_ in made} == {ID_BYTES}
    assert all(id_[0] < 0x80 for id_ in made)


def test_one_id_says_nothing_of_the_next() -> None:
    ids = Ids(SECRET)
    first, second = ids.next(), ids.next()
    assert sum((a ^ b).bit_count() for a, b in zip(first, second, strict=True)) > 30
    assert Ids(SECRET[::-1]).next() != first


def test_one_secret_gives_the_same_ids() -> None:
    assert Ids(SECRET).next() == Ids(SECRET).next()


def test_what_is_derived_for_one_purpose_is_not_what_is_for_another() -> None:
    assert derived(SECRET, b"a", 8) == derived(SECRET, b"a", 8)
    assert len({derived(SECRET, b"a", 8), derived(SECRET, b"b", 8), derived(SECRET[::-1], b"a", 8)}) == 3
