import json
import sys

import msgspec
import pytest

from braidmq.printable import printable, printable_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gr\u00fc\u00df", "gr\u00fc\u00df"),
        ("", ""),
        ("a\x1b[31mb\n", "a\\x1b[31mb\\n"),
        ("\u202eright to left", "\\u202eright to left"),
        (b"\xff".decode(sys.getfilesystemencoding(), "surrogateescape"), "\\udcff"),
    ],
)
def test_control_characters_become_escapes(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["gr\u00fc\u00df", "\x1b[31m", "\x9b2J", "\x7f", "\u202e\u2028", "\U000e0001", "a\nb"])
def test_json_means_the_same_without_control_characters(text):
    shown = printable_json(msgspec.json.encode({"text": text}))
    assert shown.decode().isprintable()
    assert json.loads(shown) == msgspec.json.decode(shown) == {"text": text}
