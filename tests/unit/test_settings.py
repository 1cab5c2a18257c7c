import dataclasses
import math
from collections.abc import Callable
from typing import Any, cast

import pytest

from braidmq.errors import ConfigError
from braidmq.settings import Settings

KNOBS = [knob for knob in dataclasses.fields(Settings) if knob.metadata]
PRESETS: dict[str, Callable[..., Settings]] = {
    "default": Settings,
    "test": Settings.test,
    "lan": Settings.lan,
    "wan": Settings.wan,
}


def refusal(**changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings(**changes)
    text = str(caught.value)
    assert len(text.splitlines()) == 1, "a message is one line"
    return text


def each_knob() -> Any:
    return pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)


class TestBounds:
    def test_every_number_has_bounds_around_its_default(self) -> None:
        choices = {knob.name for knob in dataclasses.fields(Settings)} - {knob.name for knob in KNOBS}
        assert choices == {"authenticate_replies", "balance", "wait_for_worker"}
        for knob in KNOBS:
            assert knob.metadata["low"] <= knob.default <= knob.metadata["high"]

    @each_knob()
    def test_below_is_refused(self, knob: dataclasses.Field[Any]) -> None:
        low = knob.metadata["low"]
        below = low - 1 if isinstance(knob.default, int) else math.nextafter(low, -math.inf)
        assert f"{knob.name} must be between" in refusal(**{knob.name: below})

    @each_knob()
    def test_above_is_refused(self, knob: dataclasses.Field[Any]) -> None:
        high = knob.metadata["high"]
        above = high + 1 if isinstance(knob.default, int) else math.nextafter(high, math.inf)
        assert f"{knob.name} must be between" in refusal(**{knob.name: above})

    @each_knob()
    def test_bound_itself_is_within(self, knob: dataclasses.Field[Any]) -> None:
        for bound in (knob.metadata["low"], knob.metadata["high"]):
            refused = ""
            try:
                assert getattr(Settings(**{knob.name: bound}), knob.name) == bound
            except ConfigError as error:
                refused = str(error)
            assert "must be between" not in refused, "only a contradiction may refuse a bound"

    @each_knob()
    def test_only_numbers_are_numbers(self, knob: dataclasses.Field[Any]) -> None:
        whole = "whole number" if isinstance(knob.default, int) else "number"
        for value in (True, False, "1", None, [1], 1j, b"1"):
            assert refusal(**{knob.name: value}) == f"{knob.name} must be a {whole}, not {value!r}"

    @each_knob()
    def test_nan_and_infinity_are_refused(self, knob: dataclasses.Field[Any]) -> None:
        for value in (math.nan, math.inf, -math.inf):
            assert knob.name in refusal(**{knob.name: value})

    @pytest.mark.parametrize("knob", [knob for knob in KNOBS if isinstance(knob.default, int)], ids=lambda k: k.name)
    def test_count_is_whole(self, knob: dataclasses.Field[Any]) -> None:
        assert f"{knob.name} must be a whole number" in refusal(**{knob.name: float(cast("Any", knob.default))})

    @pytest.mark.parametrize("knob", [knob for knob in KNOBS if knob.name.endswith("_s")], ids=lambda k: k.name)
    def test_duration_is_a_float(self, knob: dataclasses.Field[Any]) -> None:
        assert isinstance(knob.default, float)

    def test_duration_may_be_a_whole_number(self) -> None:
        assert Settings(timeout_s=2).timeout_s == 2

    def test_message_escapes_what_it_repeats(self) -> None:
        refusal(timeout_s="a\nb")
        refusal(balance="a\nb")

    def test_balance_is_one_of_two(self) -> None:
        for balance in ("least-outstanding", "round-robin"):
            assert Settings(balance=balance).balance == balance
        text = refusal(balance="random")
        assert text == "balance must be 'least-outstanding' or 'round-robin', not 'random'"

    def test_unknown_option_is_a_bug_of_the_caller(self) -> None:
        for preset in PRESETS.values():
            with pytest.raises(TypeError):
                preset(timeout=1)


class TestContradictions:
    @pytest.mark.parametrize(
        "changes",
        [
            {"heartbeat_s": 1.5},
            {"suspect_after_s": 1.0},
            {"suspect_after_s": 3.0},
            {"dead_after_s": 1.5},
            {"heartbeat_s": 3.0, "suspect_after_s": 2.0, "dead_after_s": 1.0},
        ],
    )
    def test_silence_is_noticed_in_order(self, changes: dict[str, float]) -> None:
        assert refusal(**changes) == "heartbeat_s, suspect_after_s and dead_after_s must grow in this order"

    def test_backoff_does_not_begin_above_its_bound(self) -> None:
        assert refusal(backoff_s=1.1) == "backoff_s must not exceed backoff_s_max"
        assert Settings(backoff_s=1.0).backoff_s_max == 1.0

    def test_reconnect_does_not_begin_above_its_bound(self) -> None:
        assert refusal(reconnect_s=5.1) == "reconnect_s must not exceed reconnect_s_max"
        assert Settings(reconnect_s=5.0).reconnect_s_max == 5.0

    def test_probe_has_an_answer_before_the_next_one(self) -> None:
        assert refusal(probe_timeout_s=1.0) == "probe_timeout_s must be below probe_s"
        assert refusal(probe_s=0.5) == "probe_timeout_s must be below probe_s"
        assert Settings(probe_timeout_s=0.999).probe_s == 1.0

    def test_the_dead_are_remembered_for_longer_than_a_suspicion(self) -> None:
        assert refusal(tombstone_s=7.9) == "tombstone_s must be at least twice suspicion_s"
        assert refusal(suspicion_s=30.1) == "tombstone_s must be at least twice suspicion_s"
        assert Settings(tombstone_s=8.0).suspicion_s == 4.0

    def test_presets_check_their_changes_too(self) -> None:
        for preset in PRESETS.values():
            with pytest.raises(ConfigError, match="must grow"):
                preset(heartbeat_s=60)


class TestPresets:
    @pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
    def test_leaves_room_for_a_lost_heartbeat_and_a_failover(self, preset: Any) -> None:
        settings = preset()
        assert settings.dead_after_s >= 2 * settings.heartbeat_s
        assert settings.timeout_s > settings.exchange_timeout_s
        assert settings.transport_timeout_s > settings.transport_heartbeat_s

    @pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
    def test_changes_override_single_fields(self, preset: Any) -> None:
        plain, changed = preset(), preset(timeout_s=7.5, balance="round-robin")
        assert (changed.timeout_s, changed.balance) == (7.5, "round-robin")
        assert dataclasses.replace(changed, timeout_s=plain.timeout_s, balance=plain.balance) == plain

    def test_grow_from_test_to_wan(self) -> None:
        test, lan, wan = Settings.test(), Settings(), Settings.wan()
        for name in (
            "exchange_timeout_s", "heartbeat_s", "suspect_after_s", "dead_after_s", "reconnect_s", "drain_s",
            "settle_s", "probe_s", "probe_timeout_s", "suspicion_s", "gossip_s", "sync_s", "tombstone_s",
        ):  # fmt: skip
            assert getattr(test, name) < getattr(lan, name) < getattr(wan, name), name

    def test_lan_is_the_default(self) -> None:
        assert Settings.lan() == Settings()

    @pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
    def test_news_of_brokers_is_remembered_until_everyone_has_it(self, preset: Any) -> None:
        settings = preset()
        everyone_s = settings.gossip_s * 4 * math.ceil(math.log10(settings.brokers_connected_max + 1))
        assert settings.tombstone_s > 2 * everyone_s + settings.sync_s
        assert settings.settle_s >= settings.reconnect_s_max

    def test_defaults_are_those_of_the_reliability_page(self) -> None:
        settings = Settings()
        assert (settings.heartbeat_s, settings.suspect_after_s, settings.dead_after_s) == (1.0, 1.5, 3.0)
        assert (settings.transport_heartbeat_s, settings.transport_timeout_s, settings.handshake_s_max) == (5, 15, 4)
        assert (settings.timeout_s, settings.exchange_timeout_s, settings.attempts) == (5.0, 1.0, 3)
        assert (settings.backoff_s, settings.backoff_s_max) == (0.1, 1.0)
        assert (settings.retry_budget_ratio, settings.retry_budget_per_s, settings.retry_budget_max) == (0.1, 1, 10)
        assert (settings.reconnect_s, settings.reconnect_s_max, settings.drain_s) == (0.1, 5.0, 5.0)
        assert (settings.in_flight_max, settings.queue_messages_max) == (256, 1_000)
        assert (settings.dedup_s, settings.dedup_entries_max) == (60.0, 100_000)
        assert settings.payload_bytes_max == 1024 * 1024
        assert (settings.probe_s, settings.probe_timeout_s, settings.indirect_probes) == (1.0, 0.5, 3)
        assert (settings.suspicion_s, settings.tombstone_s) == (4.0, 60.0)
        assert (settings.gossip_s, settings.gossip_fanout, settings.sync_s) == (0.2, 3, 30.0)
        assert settings.brokers_connected_max == 16


class TestImmutability:
    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            Settings().timeout_s = 1.0

    def test_replaced_settings_are_checked(self) -> None:
        with pytest.raises(ConfigError):
            dataclasses.replace(Settings(), attempts=0)

    def test_equal_settings_are_equal_and_hashable(self) -> None:
        assert Settings() == Settings()
        assert len({Settings(), Settings(timeout_s=5.0), Settings(timeout_s=6.0)}) == 2

    def test_fields_are_named_only_by_keyword(self) -> None:
        with pytest.raises(TypeError):
            Settings(5.0)


class TestParse:
    def test_changes_what_is_named(self) -> None:
        settings = Settings.parse(["payload_bytes_max=4096", "drain_s=2.5", "balance=round-robin"])
        assert (settings.payload_bytes_max, settings.drain_s, settings.balance) == (4096, 2.5, "round-robin")
        assert settings.attempts == Settings().attempts

    @pytest.mark.parametrize("wrong", ["nosuch=1", "attempts", "attempts=many", "attempts=1.5", "attempts=0", "=1"])
    def test_refuses_what_is_wrong_in_one_line(self, wrong: str) -> None:
        with pytest.raises(ConfigError) as caught:
            Settings.parse([wrong])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PRESETS)
def test_a_burst_of_all_that_a_client_may_have_in_flight_can_wait_for_one_broker(name: str) -> None:
    preset = PRESETS[name]()
    assert preset.outbox_bytes_max >= preset.in_flight_bytes_max
