"""A worker that writes down what it runs: `braidmq serve faults.worker:node`, with `environment` in its environment.

SIGUSR1 blocks its event loop for a time, as a handler that computes would.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import msgspec

from braidmq import Node, Request
from braidmq.lab.simulation.payload import answer_to, key_of
from braidmq.lab.simulation.record import Execution
from faults.journal import Journal

SERVICE: Final = "s"

_VARIABLE: Final = "FAULTS_WORKER"


class Plan(msgspec.Struct):
    """How a worker works.

    Attributes:
        journal: the directory of its journal.
        work_s: how long each request takes.
        concurrency: how many it runs at once.
        block_s: how long SIGUSR1 blocks it.
        life: counts the processes of this worker.
    """

    journal: str
    work_s: float = 0.02
    concurrency: int = 32
    block_s: float = 10.0
    life: int = 0


def environment(plan: Plan) -> dict[str, str]:
    """Return what a worker must find in its environment."""
    return {_VARIABLE: msgspec.json.encode(plan).decode()}


def handler(plan: Plan, name: str) -> Callable[[Request], Awaitable[bytes]]:
    """Return a handler that works and writes down what it runs."""
    journal = Journal(plan.journal, Execution, name, plan.life)

    async def run(request: Request) -> bytes:
        key, now = key_of(request.payload), monotonic()
        journal.add(
            Execution(key, name, request.id, now, request.possible_duplicate, request.retry_count, life=plan.life)
        )
        journal.flush()
        await asyncio.sleep(plan.work_s)
        return answer_to(request.payload)

    return run


def new_node(join: Path | str, plan: Plan) -> Node:
    """Return a node that serves."""
    node = Node(join)
    node.service(SERVICE, concurrency=plan.concurrency)(handler(plan, node.name))
    return node


if _VARIABLE in os.environ:
    _plan = msgspec.json.decode(os.environ[_VARIABLE], type=Plan)
    node = new_node(os.environ["BRAIDMQ_JOIN"], _plan)
    signal.signal(signal.SIGUSR1, lambda _number, _frame: sleep(_plan.block_s))
