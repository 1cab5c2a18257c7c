"""Calls through the HTTP gateway beside a bare echo of Starlette on uvicorn: `python -m bench.gateway`.

wrk posts 512 bytes over 32 connections to both in turns. Broker, worker, gateway and Starlette are processes of their
own. The processor time of each for a call says what it costs on a machine that does something else as well.
"""

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

from bench.bridges import processor_s
from braidmq.lab.processes.child import BRAIDMQ, Child
from braidmq.lab.processes.ports import free_ports
from braidmq.lab.processes.waiting import wait_until
from faults.live_net import LiveNet

CONNECTIONS: Final = 32

POST: Final = 'wrk.method = "POST"\nwrk.body = string.rep("x", 512)\n'

PROGRAMS: Final = """
from braidmq import Services
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

services = Services()


@services.service("echo", concurrency=256)
async def echo(request):
    return request.payload


async def answer(request):
    return Response(await request.body(), media_type="application/octet-stream")


app = Starlette(routes=[Route("/", answer, methods=["POST"])])
"""


def load(url: str, script: Path, seconds: int) -> int:
    """Post for some seconds; return how many answers came."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    answered = re.search(r"(\d+) requests in", told)
    assert answered is not None, told
    assert "Non-2xx" not in told, told
    return int(answered[1])


def listens(port: int) -> bool:
    """Whether somebody listens at a port."""
    with suppress(ConnectionRefusedError), closing(socket.create_connection(("127.0.0.1", port))):
        return True
    return False


def measure(rounds: int, seconds: int) -> None:
    """Print a row of JSON for each round and each way."""
    with tempfile.TemporaryDirectory() as folder, LiveNet(Path(folder) / "net") as net:
        script, here = Path(folder) / "post.lua", Path(folder)
        script.write_text(POST)
        (here / "bench_programs.py").write_text(PROGRAMS)
        net.add_members("b1")
        broker = net.broker("b1", local=True)
        worker = net.serve("bench_programs:services", cwd=here)
        net.wait_for_workers("echo")
        ports = free_ports(2)
        gateway = net.launch(
            [*BRAIDMQ, "bridge", "http", "--join", net.join("client"), "--bind", f"127.0.0.1:{ports[0]}"]
        )
        uvicorn = [sys.executable, "-m", "uvicorn", "bench_programs:app", "--port", ports[1], "--no-access-log"]
        starlette = net.launch(uvicorn, cwd=here)
        for port in ports:
            wait_until(partial(listens, port), f"somebody listens at {port}")
        ways: dict[str, tuple[str, list[Child]]] = {
            "gateway": (f"http://127.0.0.1:{ports[0]}/services/echo", [gateway, broker, worker]),
            "starlette": (f"http://127.0.0.1:{ports[1]}/", [starlette]),
        }
        for _ in range(rounds):
            for way, (url, processes) in ways.items():
                before = [processor_s(each.pid) for each in processes]
                count = load(url, script, seconds)
                used = [processor_s(each.pid) - was for each, was in zip(processes, before, strict=True)]
                cpu_us = [round(each / count * 1e6) for each in used]
                print(json.dumps({"way": way, "calls_per_s": round(count / seconds), "cpu_us": cpu_us}), flush=True)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not there: apt install wrk")
    measure(asked.rounds, asked.seconds)


if __name__ == "__main__":
    main()
