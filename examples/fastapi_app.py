"""An HTTP application that calls a service: one node for as long as it runs, and errors as status codes.

Needs:    pip install fastapi uvicorn
Run it:   braidmq serve pricing:services --join net/orders.braid
          BRAIDMQ_JOIN=net/shop.braid uvicorn fastapi_app:app
Call it:  curl http://127.0.0.1:8000/prices/14

With several workers of uvicorn, each has a node of its own, of the same member.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from braidmq import DeadlineExceeded, NoBroker, Node, NoWorker, Overloaded, RequestError, ServiceError


class State(TypedDict):
    """What requests find in `request.state`."""

    node: Node


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
    async with Node(os.environ["BRAIDMQ_JOIN"]) as node:  # leaving it lets what is under way end
        yield {"node": node}


def node_of(request: Request) -> Node:
    node = request.state.node
    assert isinstance(node, Node)
    return node


app = FastAPI(lifespan=lifespan)


@app.get("/prices/{quantity}")
async def price(quantity: int, node: Annotated[Node, Depends(node_of)]) -> dict[str, int]:
    reply = await node.request("pricing", str(quantity).encode(), timeout=2.0)  # less than whoever waits for us
    return {"quantity": quantity, "price": int(reply.payload)}


@app.exception_handler(RequestError)
async def on_request_error(_request: Request, error: Exception) -> JSONResponse:
    """Say what went wrong, and whether it may have been done all the same."""
    assert isinstance(error, RequestError)
    if isinstance(error, ServiceError):
        status = 422 if error.code == "INVALID_ARGUMENT" else 502
    elif isinstance(error, DeadlineExceeded):
        status = 504
    else:
        status = 503 if isinstance(error, NoBroker | NoWorker | Overloaded) else 500
    headers = {"Retry-After": "1"} if status == 503 and not error.maybe_executed else None
    return JSONResponse({"detail": str(error), "maybe_executed": error.maybe_executed}, status, headers)
