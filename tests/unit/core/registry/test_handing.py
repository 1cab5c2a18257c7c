"""Handing out a registry: whoever asks is answered in turn, and nobody gets more than a broker can hand out."""

import math

import pytest

from braidmq.core.registry.handing import DIFFERENCE_BYTES, HANDED_BYTES_MAX, HANDED_BYTES_PER_S, Handing
from braidmq.wire.registry import PART_BYTES, PARTS_AHEAD, RegistryWanted


class Edition:
    version = 7
    digest = b""

    def __init__(self, size):
        self.whole = bytes(size)
        self.made = 0

    def since(self, version):
        self.made += 1
        return version, self.whole


def handed(parts):
    return sum(len(part.data) for _, part in parts)


def test_who_asks_is_answered_at_once():
    handing = Handing(Edition(100_000), 5.0)
    handing.ask("b", RegistryWanted(5, 0, PARTS_AHEAD), 5.0)
    assert handing.due_at == 5.0
    found = handing.take(5.0)
    assert [(key, part.since, part.offset) for key, part in found] == [
        ("b", 5, offset) for offset in range(0, 100_000, PART_BYTES)
    ]
    assert handing.due_at == math.inf


@pytest.mark.parametrize("same", [True, False])
def test_who_asks_without_end_gets_no_more_than_there_is_to_hand_out(same):
    edition = Edition(4 * 1024 * 1024)
    handing = Handing(edition, 0.0)
    size = 0
    for number in range(20_000):
        now = number / 20_000
        handing.ask("b", RegistryWanted(5 if same else number, 0, PARTS_AHEAD), now)
        size += handed(handing.take(now))
    assert 0 < size <= HANDED_BYTES_MAX + HANDED_BYTES_PER_S + PARTS_AHEAD * PART_BYTES
    assert edition.made <= (HANDED_BYTES_MAX + HANDED_BYTES_PER_S) / DIFFERENCE_BYTES + 1


def test_others_have_their_turn_beside_who_asks_without_end():
    handing = Handing(Edition(4 * 1024 * 1024), 0.0)
    answered = []
    for number in range(4_000):
        handing.ask("b", RegistryWanted(5, 0, PARTS_AHEAD), number / 1_000)
        if number == 1_000:
            handing.ask("c", RegistryWanted(5, 0, PARTS_AHEAD), number / 1_000)
        answered += [(key, number) for key, _ in handing.take(number / 1_000)]
    first = next(number for key, number in answered if key == "c")
    assert first <= 1_000 + 1_000 * 2 * PARTS_AHEAD * PART_BYTES / HANDED_BYTES_PER_S + 1


def test_who_is_gone_is_not_answered():
    handing = Handing(Edition(100), 0.0)
    handing.ask("b", RegistryWanted(5), 0.0)
    handing.forget("b", 0.0)
    assert handing.due_at == math.inf
    assert not handing.take(1.0)


def test_it_goes_on_when_it_is_due():
    handing = Handing(Edition(4 * 1024 * 1024), 0.0)
    for name in "bcde":
        handing.ask(name, RegistryWanted(5, 0, PARTS_AHEAD), 0.0)
    now, rounds = 0.0, 0
    while handing.due_at < math.inf:
        now = max(now, handing.due_at)
        rounds += bool(handing.take(now))
    assert rounds > 1
    assert 0.03 < now < 0.2
