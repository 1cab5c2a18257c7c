"""The table [malamute] of the configuration file: what is wrong in it is told by line and key."""

import pytest

from braidmq.bridges import config
from braidmq.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "bridges.toml"
        path.touch(mode=0o600)
        path.write_text(text)
        return config.read(path)["malamute"]

    return read


def test_table_tells_all_there_is(read):
    options = read("""
[malamute]
join = "bridge-1.braid"
bind = ["tcp://127.0.0.1:9999", "ipc://@/malamute"]
timeout_s = 30.0
[malamute.names]
"color printer" = "printer.color"
[malamute.services."*"]
concurrency = 4
[malamute.services."pricing"]
frames = "msgpack"
timeout_s = 5.0
timeout = "deadline"
wait = true
errors = "silent"
subject = "service"
concurrency = 32
duplicates = "refuse"
""")
    assert options.name_of(b"color printer") == "printer.color"
    assert options.name_of(b"pricing") == "pricing"
    pricing = options.of("pricing")
    assert (pricing.frames, pricing.timeout, pricing.errors, pricing.subject) == (
        "msgpack", "deadline", "silent", "service",
    )  # fmt: skip
    assert (pricing.timeout_s, pricing.wait, pricing.concurrency, pricing.duplicates) == (5.0, True, 32, "refuse")
    other = options.of("printer.color")
    assert (other.frames, other.timeout_s, other.wait, other.concurrency) == ("one", None, None, 4)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ('[malamute.names]\nprinter = "two words"\n', 2, "malamute.names.printer"),
        ('[malamute.services."a b"]\n', 1, "malamute.services"),
        ("[malamute.services.a]\nconcurrency = 0\n", 2, "malamute.services.a.concurrency"),
        ("[malamute.services.a]\nconcurrency = 1001\n", 2, "malamute.services.a.concurrency"),
        ('[malamute.services.a]\n\nerrors = "loud"\n', 3, "malamute.services.a.errors"),
        ("[malamute.services.a]\nheaders = 1\n", 2, "malamute.services.a.headers"),
    ],
)
def test_wrong_value_is_told_by_line_and_key(read, text, line, key):
    with pytest.raises(ConfigError, match=f"line {line}, {key}: "):
        read(text)
