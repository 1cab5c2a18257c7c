"""A configuration file of bridges: what is wrong in it is told by line and key."""

import pytest

from braidmq.bridges import config, kinds, tables
from braidmq.bridges.options import RouterOptions
from braidmq.errors import ConfigError


@pytest.fixture(autouse=True)
def one_kind(monkeypatch):
    found = kinds.Kind("foreign", RouterOptions, lambda plan: pytest.fail("nothing is made here"))
    monkeypatch.setattr(config, "HOMES", {"foreign": ""})
    monkeypatch.setattr(config, "kind", lambda name: found)


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "bridges.toml"
        path.touch(mode=0o600)
        path.write_text(text)
        return config.read(path)

    return read


def test_file_tells_all_there_is(read):
    options = read("""
[foreign]
join = "bridge.braid"
bind = ["tcp://127.0.0.1:5555"]
timeout_s = 7
[foreign.users.shop]
password = "secret"
join = "shop.braid"
""")["foreign"]
    assert (options.join, options.bind, options.timeout_s) == ("bridge.braid", ["tcp://127.0.0.1:5555"], 7.0)
    assert options.users["shop"].join == "shop.braid"
    assert not options.insecure_bind


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    [
        ('[foreign]\ntimeout_s = "long"\n', 2, "foreign.timeout_s", "expected `float`, got `str`"),
        ("[foreign]\n\ntimeout_s = 0\n", 3, "foreign.timeout_s", "expected `float` > 0"),
        ("[foreign]\ntimeouts = 1\n", 2, "foreign.timeouts", "there is no such key"),
        ("[foreign]\nbind = 'tcp://x'\n", 2, "foreign.bind", "expected `array`"),
        ("[foreign]\nbind = [\n 'a',\n 5]\n", 2, "foreign.bind", "expected `str`, got `int`"),
        (
            "[foreign.users.a]\npassword = 'x'\n[foreign.users.b]\npassword = 5\n",
            4,
            "foreign.users.b.password",
            "`str`",
        ),
        ("[foreign.users.a]\npassword = 'x'\n[foreign.users.'b.c']\njoin = 'x'\n", 3, "foreign.users.b.c", "missing"),
        ("[foreign]\nusers.a = {password = 'x', joins = 'y'}\n", 2, "foreign.users.a.joins", "there is no such key"),
        ("foreign = 1\n", 1, "foreign", "expected `object`"),
    ],
)
def test_wrong_value_is_told_by_line_and_key(read, text, line, key, said):
    with pytest.raises(ConfigError) as told:
        read(text)
    assert f"line {line}, {key}: " in str(told.value)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[foreign]\nbind = \n", "line 2"),
        ("[foreign]\njoin = 'a'\njoin = 'b'\n", "line 3"),
        ("[other]\n", "line 1: there is no bridge 'other': write one of foreign"),
        ("", "names no bridge"),
        (f"[foreign]\ntimeout_s = {'9' * 5_000}\n", "bridges.toml: .*4300 digits"),
        (f"[foreign]\nbind = {'[' * 50_000}\n", "within one another without end"),
        (f"[foreign]\nbind = {'{a=' * 50_000}\n", "within one another without end"),
    ],
)
def test_file_that_cannot_be_used_is_refused(read, text, said):
    with pytest.raises(ConfigError, match=said):
        read(text)


def test_file_that_others_can_read_is_refused_if_it_holds_secrets(tmp_path):
    path = tmp_path / "bridges.toml"
    path.write_text("[foreign.users.shop]\npassword = 'x'\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod"):
        config.read(path)
    path.write_text("[foreign]\ntimeout_s = 7\n")
    assert config.read(path)["foreign"].timeout_s == 7


def test_byte_order_mark_is_no_part_of_a_file(read):
    assert read("\ufeff[foreign]\ntimeout_s = 7\n")["foreign"].timeout_s == 7.0


def test_no_more_is_read_of_a_file_that_others_can_read(tmp_path, monkeypatch):
    path = tmp_path / "bridges.toml"
    path.write_text("[foreign]\ntimeout_s = 7\n" + "#" * 100)
    path.chmod(0o644)
    assert config.read(path)["foreign"].timeout_s == 7
    monkeypatch.setattr(tables, "BYTES_MAX", 100)
    with pytest.raises(ConfigError, match="longer than 100 bytes"):
        config.read(path)
