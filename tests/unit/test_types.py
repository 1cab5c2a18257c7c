"""Types as users see them: as generous as the runtime, and no more."""

import subprocess
import sys

import pytest

SAMPLE = """
import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from braidmq import BrokerInfo, Node, Reply, Request, Services, Settings
from braidmq.blocking import Node as BlockingNode
from braidmq.testing import TestNet

services = Services()


@services.service("pricing", concurrency=8)
async def pricing(request: Request) -> bytes:
    return request.payload


@services.service("stock")
def stock(request: Request) -> bytearray:
    return bytearray(request.payload)


async def main(join: Path | str, headers: Mapping[str, str]) -> None:
    node = Node(join, settings=Settings(wait_for_worker="always"), services=services, state=Path("s"))

    @node.service("own")
    def own(request: Request) -> memoryview:
        return memoryview(request.payload)

    async with node:
        for payload in (b"", bytearray(), memoryview(b"")):
            reply: Reply = await node.request("pricing", payload, timeout=5, attempts=3, headers=headers, wait=True)
            print(reply.payload.decode(), reply.broker)
        brokers: list[BrokerInfo] = node.brokers
        print(brokers, node.services, (await pricing(Request)).hex())  # E


with TestNet(brokers=2, settings=Settings.test()) as net, net.blocking_node("w", services=services) as worker:
    worker.request("pricing", memoryview(b"1"), headers=MappingProxyType({"a": "b"}), wait=False)
    asyncio.run(main(net.join("w"), {}))
    net.node("x", services=services)

BlockingNode("file", services=services).request("pricing", "text")  # E
Node("file", services=[services])  # E
Node(None)  # E
services.service("echo", concurrency="4")  # E
services.service(pricing)  # E
"""


@pytest.mark.nightly
def test_a_program_is_checked_strictly(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(SAMPLE)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file",
            "",
            "--cache-dir",
            str(tmp_path / "cache"),
            program,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    wrong = {int(line.split(":")[1]) for line in result.stdout.splitlines() if ": error:" in line}
    expected = {number for number, line in enumerate(SAMPLE.splitlines(), 1) if line.endswith("# E")}
    assert wrong == expected, result.stdout
