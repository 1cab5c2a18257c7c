import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from braidmq import cli, errors


def command_that(monkeypatch, ending):
    """Let `braidmq list` end as `ending` does."""

    def body():
        if isinstance(ending, BaseException):
            raise ending
        return ending

    command = click.command("list")(body)
    monkeypatch.setattr(cli._LazyGroup, "get_command", lambda _self, _ctx, _name: command)


@pytest.mark.parametrize(
    ("ending", "code", "complaint"),
    [
        (None, 0, ""),
        (0, 0, ""),
        (5, 5, ""),
        (errors.ConfigError("wrong\nfile"), 2, "braidmq: wrong file\n"),
        (errors.BraidError("a\x1b[31mb\u202e"), 1, "braidmq: a\\x1b[31mb\\u202e\n"),
        (errors.ServiceError("CODE", "no"), 3, "braidmq: CODE: no\n"),
        (errors.DeadlineExceeded("late"), 4, "braidmq: late\n"),
        (errors.NoWorker("nobody"), 5, "braidmq: nobody\n"),
        (errors.AccessDenied("no"), 6, "braidmq: no\n"),
        (errors.DeadlineExceeded("late", maybe_executed=True), 4, "braidmq: late; it may have been run\n"),
        (errors.AttemptsExhausted("lost", maybe_executed=True), 7, "braidmq: lost; it may have been run\n"),
        (errors.ServiceError("CODE", "no", maybe_executed=True), 3, "braidmq: CODE: no\n"),
        (errors.NodeClosed(), 1, "braidmq: NodeClosed\n"),
        (
            OSError(24, "Too many open files"),
            1,
            "braidmq: Too many open files: raise the limit of this process (`ulimit -n`, LimitNOFILE=)\n",
        ),
        (OSError(28, "No space left on device", "f"), 1, "braidmq: f: No space left on device\n"),
        (OSError(28, "No space left on device"), 1, "braidmq: No space left on device\n"),
        (OSError("odd"), 1, "braidmq: odd\n"),
        (
            MemoryError(),
            1,
            "braidmq: there is not enough memory: raise the limit of this process, or free some of the machine's\n",
        ),
        (click.UsageError("Missing thing."), 2, "braidmq: Missing thing (see `braidmq list --help`)\n"),
        (click.ClickException("broken"), 1, "braidmq: broken\n"),
    ],
    ids=repr,
)
def test_the_end_of_a_command_becomes_a_code_and_at_most_one_line(monkeypatch, capfd, ending, code, complaint):
    command_that(monkeypatch, ending)
    assert cli.run(["list"]) == code
    assert capfd.readouterr() == ("", complaint)


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupted_command_says_nothing(monkeypatch, capfd, ending):
    command_that(monkeypatch, ending)
    assert cli.run(["list"]) == 130
    assert capfd.readouterr().err.strip() == ""


def test_a_bug_is_not_hidden(monkeypatch):
    command_that(monkeypatch, ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        cli.run(["list"])


@pytest.mark.parametrize("name", ["init", "add", "list", "broker", "serve", "call", "status"])
def test_the_commands_are_found_under_their_names(name):
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command.name == name
    assert command.help


WRITE_WITHOUT_FLUSH = """
import sys, click
from braidmq import cli
cli._LazyGroup.get_command = lambda *_: click.command("list")(lambda: sys.stdout.write("data") and None)
sys.exit(cli.run(["list"]))
"""


def write_without_flush(stdout):
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", WRITE_WITHOUT_FLUSH]
    child = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=buffered, text=True, check=False)
    return child.returncode, child.stderr


def test_buffered_output_whose_reader_has_gone_is_no_complaint():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert write_without_flush(writer) == (1, "")
    finally:
        os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_buffered_output_that_cannot_be_written_is_one_line():
    with Path("/dev/full").open("w") as full:
        assert write_without_flush(full) == (1, "braidmq: No space left on device\n")
