"""Where a command gets its join file from."""

import json
import os
import subprocess
import sys

import pytest

from braidmq.trust.authority import Authority


@pytest.fixture
def join(tmp_path):
    return Authority.create(tmp_path / "net").add_node("n1", calls=["*"])


def call(*options, payload="hi", text="", **environment):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BRAIDMQ_JOIN")}
    return subprocess.run(
        [sys.executable, "-m", "braidmq", "call", "echo", payload, *map(str, options)],
        env=inherited | environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_text_of_a_file_may_be_in_the_environment(join):
    result = call(BRAIDMQ_JOIN_DATA=join.read_text())
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith("braidmq: the join file of n1 names no broker")


def test_the_command_line_goes_before_the_environment(join):
    result = call("--join", join, BRAIDMQ_JOIN_DATA="damaged")
    assert result.stderr.startswith(f"braidmq: {join} names no broker")


def test_two_places_in_the_environment_are_refused(join):
    result = call(BRAIDMQ_JOIN=str(join), BRAIDMQ_JOIN_DATA=join.read_text())
    assert result.returncode == 2
    assert "$BRAIDMQ_JOIN and $BRAIDMQ_JOIN_DATA are both set" in result.stderr


def test_a_damaged_text_is_one_line_without_its_secret(join):
    text = join.read_text()
    for damaged in (text[: len(text) // 2], f"'{text}'", text[1:], ""):
        result = call(BRAIDMQ_JOIN_DATA=damaged)
        assert result.returncode == 2
        assert result.stderr.startswith("braidmq: $BRAIDMQ_JOIN_DATA is ")
        assert result.stderr.count("\n") == 1
        assert json.loads(text)["secret_key"] not in result.stderr


def test_a_file_may_come_from_stdin_unless_that_is_the_payload(join):
    assert "the join file on stdin names no broker" in call("--join", "-", text=join.read_text()).stderr
    assert "cannot be the join file and the payload" in call("--join", "-", payload="-").stderr


def test_without_any_the_option_is_missing():
    result = call()
    assert result.returncode == 2
    assert "Missing option '--join' (env var: 'BRAIDMQ_JOIN')" in result.stderr
