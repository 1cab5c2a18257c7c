"""What docs/http.md shows is what happens: its calls of curl are made, and its files are read."""

import asyncio
import re
import shlex
import tomllib
from pathlib import Path

import msgspec
import pytest

from braidmq import ServiceError, Settings
from braidmq.bridges.http import callers_file
from braidmq.bridges.http.bridge import HttpBridge, HttpOptions
from braidmq.testing import TestNet
from tests.integration.test_http import plan

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def sessions():
    """Return (command, lines that it shows) of each call, in order."""
    found = []
    for block in blocks("console"):
        for session in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = session.splitlines()
            found.append((command, [line for line in shown if line]))
    return found


def test_there_are_calls_to_make():
    assert len(sessions()) >= 6


async def test_calls_are_answered_as_shown():
    async with TestNet(1, settings=Settings.test(timeout_s=20.0)) as net:
        worker = net.node("worker")

        @worker.service("pricing")
        async def pricing(request):
            quantity = int(request.payload)
            if quantity <= 0:
                raise ServiceError("INVALID_ARGUMENT", "the quantity must be positive")
            return str(quantity * 3).encode()

        @worker.service("slow")
        async def slow(request):
            await asyncio.Event().wait()

        bridge = HttpBridge(plan(net))
        async with worker:
            await bridge.start()
            try:
                await net.served("pricing")
                _, port = bridge.addresses[0]
                for command, shown in sessions():
                    await make(command.replace("127.0.0.1:8080", f"127.0.0.1:{port}"), shown)
            finally:
                await bridge.drain()


async def make(command, shown):
    name, *arguments = shlex.split(command)
    assert name == "curl"
    curl = await asyncio.create_subprocess_exec(
        name, "--silent", "--show-error", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaints = await curl.communicate()
    assert not complaints, complaints
    said = iter(out.decode().replace("\r\n", "\n").split("\n"))
    for line in shown:
        wanted = re.compile(".*".join(map(re.escape, line.split("..."))) + r"\Z")
        assert any(wanted.match(each) for each in said), f"{command}: no line {line!r} in\n{out.decode()}"


async def test_its_files_are_read(tmp_path):
    callers, config = blocks("toml")
    path = tmp_path / "callers.toml"
    path.write_text(callers)
    path.chmod(0o600)
    shop, portal = callers_file.read(path)
    assert (shop.caller.name, shop.caller.join) == ("shop", str(tmp_path / "shop.braid"))
    assert portal.caller.via == "http:portal"
    told = msgspec.convert(tomllib.loads(config)["http"], HttpOptions)
    assert told.callers == "callers.toml"


@pytest.mark.parametrize("field", HttpOptions.__struct_fields__)
def test_every_key_is_named(field):
    assert re.search(rf"\b{field}\b", PAGE)
