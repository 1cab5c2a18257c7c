"""The script of a story: prose, commands, and what happens after each command.

    Prose is what begins at the margin.

    > alice calls echo "hello"
        0.000  alice -> b1    REQUEST #1 ...

A command begins with `> `; what is indented below it is what happens then. `play` returns the script with what really
happens.
"""

import re
from typing import Any

from braidmq.errors import ServiceError
from braidmq.members import Role
from braidmq.settings import Settings
from tests.stories.stage import Broker, Node, Stage
from tests.stories.words import GROUPS

INDENT = "    "


def play(script):
    """Play a story, and return its script with what has happened."""
    stage, played = Stage(), []
    for number, line in enumerate(script.splitlines(), 1):
        if line.startswith(INDENT):
            continue
        played.append(line)
        if line.startswith("> "):
            try:
                _act(stage, line[2:].strip())
            except Exception as error:
                error.add_note(f"in line {number}: {line}")
                raise
            played += [f"{INDENT}{each}" for each in stage.take_lines()]
    return "\n".join(played) + "\n"


def _act(stage, command):
    for pattern, act in _COMMANDS:
        if match := re.fullmatch(pattern, command):
            act(stage, **match.groupdict())
            return
    raise ValueError(f"no command: {command}")


def _names(text):
    return re.findall(r"[\w.-]+", text or "")


def _seconds(text):
    number, unit = re.fullmatch(r"([\d.]+) ?(ms|s)", text).groups()
    return float(number) / (1000.0 if unit == "ms" else 1.0)


def _settings(stage, assignments):
    stage.settings = Settings.parse(assignments.split())


def _quietly(stage, command):
    _act(stage, command)
    stage.take_lines()


def _show(stage, group):
    assert group in GROUPS, f"there are {', '.join(GROUPS)}"
    stage.words.shown.add(group)


def _broker(stage, name, brokers):
    stage.start(name, Role.BROKER, lambda: Broker(stage, name, _names(brokers)))
    stage.settle()


def _node(stage, name, brokers, service=None, places=None):
    serves = [(service, int(places or 1))] if service else []
    stage.start(
        name, Role.NODE, lambda: Node(stage, name, _names(brokers), serves), calls=("*",), serves=[s for s, _ in serves]
    )
    stage.settle()


def _call(stage, name, service, payload, *, within=None, attempts=None, via=None):
    options = {"timeout_s": _seconds(within) if within else None, "attempts": int(attempts) if attempts else None}
    stage.processes[name].call(service, payload.encode(), via=via, **options)
    stage.settle()


def _answer(stage, name, number, payload):
    stage.processes[name].finish(number, payload.encode())
    stage.settle()


def _fail(stage, name, number, code):
    stage.processes[name].finish(number, ServiceError(code, "as the story wants it"))
    stage.settle()


def _kill(stage, name):
    stage.processes[name].close()
    stage.settle()


def _drain(stage, name):
    stage.processes[name].drain()
    stage.settle()


def _stop(stage, name):
    stage.processes[name].stopped = True


def _go_on(stage, name):
    stage.processes[name].stopped = False
    stage.processes[name].wake()
    stage.settle()


def _advance(stage, time):
    stage.advance(_seconds(time))


_NAME = r"(?P<name>\w+)"
_LIMITS = r"(?: within (?P<within>[\d.]+ ?m?s))?(?: in (?P<attempts>\d+) attempts?)?(?: via (?P<via>\w+))?"
_KNOWS = r"(?: knows (?P<brokers>[\w, ]+))?"

_COMMANDS: list[tuple[str, Any]] = [
    (r"settings (?P<assignments>.+)", _settings),
    (r"quietly (?P<command>.+)", _quietly),
    (r"show (?P<group>\w+)", _show),
    (rf"broker {_NAME}{_KNOWS}", _broker),
    (rf"client {_NAME}{_KNOWS}", _node),
    (rf"worker {_NAME} serves (?P<service>\w+)(?: with (?P<places>\d+) places)?{_KNOWS}", _node),
    (rf'{_NAME} calls (?P<service>\w+) "(?P<payload>[^"]*)"{_LIMITS}', _call),
    (rf'{_NAME} answers (?P<number>#\d+) "(?P<payload>[^"]*)"', _answer),
    (rf"{_NAME} fails (?P<number>#\d+) with (?P<code>\w+)", _fail),
    (rf"kill {_NAME}", _kill),
    (rf"drain {_NAME}", _drain),
    (rf"stop {_NAME}", _stop),
    (rf"continue {_NAME}", _go_on),
    (r"advance (?P<time>[\d.]+ ?m?s)", _advance),
]
"""What a story may say, and what is done then."""
