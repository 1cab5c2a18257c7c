"""A worker that writes down what it runs: `braidmq serve fault_worker:node`, with tests/ as its directory."""

import asyncio
import json
import os
from time import monotonic

from braidmq import Node
from invariants import answer_to

WORK_S = 0.02

node = Node(os.environ["BRAIDMQ_JOIN"])
record = os.open(os.environ["FAULT_RECORD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


@node.service("s", concurrency=32)
async def run(request):
    execution = {
        "worker": node.name,
        "payload": request.payload.decode(),
        "id": request.id.hex(),
        "started": monotonic(),
        "possible_duplicate": request.possible_duplicate,
        "retry_count": request.retry_count,
    }
    os.write(record, json.dumps(execution).encode() + b"\n")
    await asyncio.sleep(WORK_S)
    return answer_to(request.payload)
