"""``call``: one request, its payload from the command line, a file or stdin, its reply to stdout."""

import asyncio
import base64
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import click
import msgspec

from braidmq.cli import complain, join_option, state_option
from braidmq.cli.logs import log_nothing
from braidmq.cli.settings_options import settings_options
from braidmq.errors import ConfigError, NoBroker, PayloadTooLarge, RequestError, ServiceError
from braidmq.host.clock import monotonic
from braidmq.messages import Reply
from braidmq.node import Node
from braidmq.printable import printable_json
from braidmq.settings import Settings
from braidmq.trust.joinfile import STDIN, JoinFile, shown

_NUMBER: Final = re.compile(r"-\.?[0-9]")

_LAYOUT: Final = re.compile(r"\r?\n|\t")


class _Call(click.Command):
    """Takes a payload like -5 for what it is: no option begins with a digit."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click.Command.parse_args."""
        takers = {
            name
            for option in self.params
            if isinstance(option, click.Option) and not option.is_flag
            for name in option.opts
        }
        own = args.index("--") if "--" in args else len(args)
        options: list[str] = []
        numbers: list[str] = []
        for before, arg in zip(["", *args], args[:own], strict=False):
            (numbers if _NUMBER.match(arg) and before not in takers else options).append(arg)
        if numbers:
            args = [*options, "--", *numbers, *args[own + 1 :]]
        return super().parse_args(ctx, args)


@click.command("call", cls=_Call)
@click.argument("service")
@click.argument("payload", metavar="[PAYLOAD | @FILE | -]", default="")
@join_option()
@click.option("--timeout", metavar="S", type=float, help="Seconds until the call gives up, over all attempts.")
@click.option("--attempts", metavar="N", type=int, help="How often the request may be sent.")
@click.option("--via", metavar="BROKER", help="The name of the only broker to use.")
@click.option(
    "--wait/--no-wait",
    default=None,
    help="Whether to wait, within the timeout, where there is no worker.  [default: as wait_for_worker says]",
)
@click.option("--header", "headers", metavar="K=V", multiple=True, help="A header for the handler. May be repeated.")
@settings_options
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: the reply and what is known of it.")
def call(
    service: str,
    payload: str,
    join: JoinFile | Path,
    *,
    timeout: float | None,
    attempts: int | None,
    via: str | None,
    wait: bool | None,
    headers: Sequence[str],
    preset: Literal["lan", "wan", "test"],
    assignments: Sequence[str],
    state: Path | None,
    as_json: bool,
) -> None:
    """Call SERVICE and write the reply's bytes to stdout as they are.

    The payload is the argument's text, the content of FILE, or (with -) what stdin holds; it is empty if none is
    named. A reply that is no text is not written to a terminal: redirect it, or use --json.
    """
    log_nothing()
    if payload == "-" and str(join) == STDIN:
        raise click.UsageError("stdin cannot be the join file and the payload", click.get_current_context())
    settings = Settings.parse(assignments, preset)
    node = Node(join, settings=settings, state=state)
    sent = read_payload(payload, settings.payload_bytes_max)
    named = parse_headers(headers)

    async def request() -> Reply:
        async with node:
            if not node.brokers:
                raise NoBroker(
                    f"{shown(join)} names no broker: add one with `braidmq add broker`, and copy the file again"
                )
            return await node.request(
                service, sent, timeout=timeout, attempts=attempts, via=via, headers=named, wait=wait
            )

    began = monotonic()
    try:
        reply = asyncio.run(request())
    except RequestError as error:
        if as_json:
            click.echo(printable_json(encode_error(error)))
        raise
    if as_json:
        click.echo(printable_json(encode_reply(reply, monotonic() - began)))
    elif sys.stdout.isatty() and not is_text(reply.payload):
        complain(
            f"the reply is {len(reply.payload):,} bytes that are no text, and stdout is a terminal: "
            "write them to a file (> FILE), or see them with --json"
        )
    else:
        sys.stdout.buffer.write(reply.payload)


def is_text(payload: bytes) -> bool:
    """Whether a terminal can show it: UTF-8 without control characters but the ends of lines and tabs."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return False
    return _LAYOUT.sub("", text).isprintable()


def read_payload(argument: str, bytes_max: int) -> bytes:
    """Return the payload that an argument names.

    Raises:
        ConfigError: the file cannot be read.
        PayloadTooLarge: it is longer than `bytes_max`; no more than that is read.
    """
    if argument == "-":
        if sys.stdin is None:
            raise ConfigError("stdin is closed: name a payload, or a file as @FILE")
        payload = sys.stdin.buffer.read(bytes_max + 1)
    elif argument.startswith("@"):
        try:
            with Path(argument[1:]).open("rb") as file:
                payload = file.read(bytes_max + 1)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"{argument[1:]} cannot be read: {why}") from None
    else:
        payload = os.fsencode(argument)
    if len(payload) > bytes_max:
        raise PayloadTooLarge(
            f"the payload exceeds the limit of {bytes_max} bytes: split it, or raise payload_bytes_max here (--set), "
            "at the brokers and at the workers"
        )
    return payload


def parse_headers(headers: Sequence[str]) -> dict[str, str]:
    """Return the headers that the arguments name; raise ConfigError if one is not K=V."""
    pairs = [header.partition("=") for header in headers]
    for header, (key, equals, _value) in zip(headers, pairs, strict=True):
        if not key or not equals:
            raise ConfigError(f"{header!r} is not a header: write KEY=VALUE")
    return {key: value for key, _equals, value in pairs}


def encode_reply(reply: Reply, elapsed_s: float) -> bytes:
    """Return the reply as a JSON object."""
    try:
        payload, encoding = reply.payload.decode(), "utf-8"
    except UnicodeDecodeError:
        payload, encoding = base64.b64encode(reply.payload).decode(), "base64"
    return msgspec.json.encode(
        {
            "payload": payload,
            "encoding": encoding,
            "service": reply.service,
            "sender": reply.sender,
            "broker": reply.broker,
            "id": reply.id.hex(),
            "original_id": reply.original_id.hex(),
            "retry_count": reply.retry_count,
            "possible_duplicate": reply.possible_duplicate,
            "elapsed_ms": round(elapsed_s * 1000, 3),
        }
    )


def encode_error(error: RequestError) -> bytes:
    """Return why there is no reply as a JSON object."""
    shown: dict[str, Any] = {
        "error": type(error).__name__,
        "message": str(error),
        "original_id": error.request_id.hex(),
        "attempts": error.attempts,
        "maybe_executed": error.maybe_executed,
    }
    if not isinstance(error, ServiceError):
        return msgspec.json.encode(shown)
    shown |= {"code": error.code, "message": error.message}
    try:
        return msgspec.json.encode({**shown, "details": error.details})
    except (TypeError, ValueError):  # MessagePack can say what JSON cannot
        return msgspec.json.encode({**shown, "details": repr(error.details)})
