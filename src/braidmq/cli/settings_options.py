"""The options with which a command takes settings."""

from typing import Any

import click


def settings_options(command: Any) -> Any:
    """Decorate a command with --preset and --set; it gets `preset` and `assignments`, for `Settings.parse`."""
    preset = click.option(
        "--preset",
        type=click.Choice(["lan", "wan", "test"]),
        default="lan",
        show_default=True,
        help="Timers for one data centre, for brokers far apart, or for tests on one machine.",
    )
    assignments = click.option(
        "--set",
        "assignments",
        metavar="NAME=VALUE",
        multiple=True,
        help="A setting, as in payload_bytes_max=4194304; docs/reference/settings.md lists them. May be repeated.",
    )
    return preset(assignments(command))
