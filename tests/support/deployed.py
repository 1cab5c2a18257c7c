"""What lies under deploy/: its units, manifests and commands, for the tests that check them."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from braidmq.cli import cli

DEPLOY = Path(__file__).parents[2] / "deploy"


def check_command(words):
    """Check that `braidmq WORDS` is a command, with options that exist and values that they take; return those."""
    name, *arguments = words
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, f"there is no command {name!r}"
    return command.make_context(name, list(arguments)).params


def lines_of_unit(path):
    """Return what a unit of systemd says: section, name and value of each line."""
    said, section = [], ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, f"{path.name}: {line}"
            said.append((section, name, value))
    return said


def of_unit(path, name):
    """Return all values that a unit gives to a name."""
    return [value for _, each, value in lines_of_unit(path) if each == name]


def documents(path):
    """Return the documents of a file of YAML."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]


def as_json(document):
    return json.dumps(document)


def words_of(line):
    """Return the words of a command in a script or document, without those before `braidmq`."""
    words = shlex.split(line)
    return words[words.index("braidmq") + 1 :]


def needs(program):
    """Return the mark of a test that needs a program which is not everywhere."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"there is no {program} here")


def said_by(*command, **options):
    """Run a program to its end; return its exit code and all that it says."""
    result = subprocess.run(
        [str(each) for each in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        **options,
    )
    return result.returncode, result.stdout
