"""The scripts behind `make nightly`."""

import subprocess
import sys

import pytest

from tools import nightly
from tools.pythons import find_python

HERE = "{}.{}".format(*sys.version_info[:2])


@pytest.fixture
def pyenv(tmp_path, monkeypatch):
    """A pyenv that holds two releases of this very Python, and a path without any."""
    for name in (f"{HERE}.9", f"{HERE}.10"):
        directory = tmp_path / "versions" / name / "bin"
        directory.mkdir(parents=True)
        (directory / f"python{HERE}").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (directory / f"python{HERE}").chmod(0o700)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    return tmp_path / "versions"


def test_the_newest_python_of_pyenv_is_found(pyenv):
    assert find_python(HERE) == pyenv / f"{HERE}.10" / "bin" / f"python{HERE}"


def test_a_python_that_does_not_start_is_passed_over(pyenv):
    (pyenv / f"{HERE}.10" / "bin" / f"python{HERE}").write_text("#!/bin/sh\nexit 127\n")
    assert find_python(HERE) == pyenv / f"{HERE}.9" / "bin" / f"python{HERE}"


def test_a_python_that_is_not_here_is_not_found(pyenv):
    assert find_python("3.99") is None


@pytest.fixture
def made(monkeypatch):
    """Targets that nightly makes, all of which are said to have passed but `broken`."""
    targets = []

    class Done:
        def __init__(self, command, **_):
            targets.append(command[1])
            self.returncode = 2 if command[1] == "broken" else 0

    monkeypatch.setattr(subprocess, "run", Done)
    return targets


def test_a_failure_stops_nothing_and_fails_the_night(made, capsys):
    assert nightly.main(("broken", "docs")) == 1
    assert made == ["broken", "docs"]
    failed, passed = capsys.readouterr().out.splitlines()[-2:]
    assert failed.startswith("broken")
    assert failed.endswith("failed: make ended with 2")
    assert passed.endswith("passed")


def test_what_is_not_here_is_skipped_and_said(made, capsys):
    assert nightly.main(("test-3.99", "docs")) == 0
    assert made == ["docs"]
    assert "skipped: no Python 3.99 here" in capsys.readouterr().out
