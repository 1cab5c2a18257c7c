"""The node of a worker: ``braidmq serve braidmq.lab.demo.worker:node --join FILE``."""

import asyncio
import os
import random

from braidmq.lab.demo.plan import WORK_S
from braidmq.lab.demo.service import SERVICE, SETTINGS, stamped
from braidmq.messages import Request
from braidmq.node import Node

node = Node(os.environ["BRAIDMQ_JOIN"], settings=SETTINGS)


@node.service(SERVICE)
async def stamp(request: Request) -> bytes:
    """Work for a while, then return the payload with its digest."""
    await asyncio.sleep(random.uniform(*WORK_S))  # noqa: S311 - the length of simulated work
    return stamped(request.payload)
