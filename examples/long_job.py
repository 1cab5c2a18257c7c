"""A job that takes minutes or hours: it tells the log how far it is, and stops when its caller gives up.

Run it:   braidmq serve long_job:services --join net/orders.braid
Call it:  braidmq call reindex 100 --timeout 3600 --join net/shop.braid

A long job needs a long `timeout` and nothing else: its worker tells the caller that it is at it, and a worker or
broker that dies is noticed within seconds. Then it begins again at another worker, with `possible_duplicate`: so each
step must be one that may be done twice. When `serve` is told to end, a job has `drain_s` to finish: 5 s, if
`--set drain_s=600` does not say more.
"""

import asyncio
import logging
import time

from braidmq import Request, ServiceError, Services

services = Services()

TOLD_EACH_S = 5.0

log = logging.getLogger(__name__)


@services.service("reindex", concurrency=2)
async def reindex(request: Request) -> bytes:
    if not request.payload.isdigit():
        raise ServiceError("INVALID_ARGUMENT", "send how many parts there are")
    parts, job, told_at = int(request.payload), request.id.hex()[:8], time.monotonic()
    log.info("job %s of %s: %d parts, %.0f s left", job, request.sender, parts, request.remaining)
    done = 0
    try:
        for done in range(1, parts + 1):
            await asyncio.to_thread(reindex_part, done)  # what blocks belongs in a thread
            if time.monotonic() - told_at >= TOLD_EACH_S:
                told_at = time.monotonic()
                log.info("job %s: %d of %d parts, %.0f s left", job, done, parts, request.remaining)
    except asyncio.CancelledError:  # the caller has given up, or its deadline has come; between two parts
        log.warning("job %s: stopped after %d of %d parts", job, done, parts)
        raise
    log.info("job %s: done", job)
    return f"{parts} parts".encode()


def reindex_part(_number: int) -> None:
    """Do one part of the work; a fraction of a second, or a stop takes as long."""
    time.sleep(0.05)
