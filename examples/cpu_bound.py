"""A service that computes, in a pool of processes: Python's lock lets one thread compute at a time.

Run it:   braidmq serve cpu_bound:services --join net/orders.braid
Call it:  braidmq call primes 1000000 --timeout 60 --join net/shop.braid

The node's event loop only hands out the work, and stays free. If handlers may take a whole process each, a plain `def`
and `braidmq serve MODULE:NAME --processes 4` do the same with less code.
"""

import asyncio
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from braidmq import OutcomeUnknown, Request, ServiceError, Services

services = Services()

PROCESSES = os.cpu_count() or 1
LOOK_EACH = 10_000


def ignore_interrupts() -> None:
    """Ctrl-C reaches all processes of a terminal; the node drains, and needs the pool for that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def new_pool() -> ProcessPoolExecutor:
    # Not "fork": it would copy the node's threads and connections. Processes start with the first request.
    return ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn"), initializer=ignore_interrupts)


pools = [new_pool()]


def count_primes(request: Request) -> int:
    """Runs in the pool. Nothing can stop it there: so it looks at the clock, which goes on in other processes."""
    below = int(request.payload)
    sieve = bytearray([1]) * max(below, 2)
    sieve[:2] = bytes(2)
    for number in range(2, below):
        if number % LOOK_EACH == 0 and request.remaining <= 0:
            raise TimeoutError
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, len(sieve), number)))
    return sum(sieve)


@services.service("primes", concurrency=PROCESSES)
async def primes(request: Request) -> bytes:
    if not request.payload.isdigit() or int(request.payload) > 100_000_000:
        raise ServiceError("INVALID_ARGUMENT", "send a number up to 100,000,000")
    pool = pools[0]
    try:
        count = await asyncio.get_running_loop().run_in_executor(pool, count_primes, request)
    except BrokenProcessPool:  # one of its processes was killed, and it takes no more work
        if pools[0] is pool:
            pools[0] = new_pool()
        raise OutcomeUnknown("a process of the pool has died") from None  # its caller tries again, a few times
    except TimeoutError:
        raise ServiceError("DEADLINE_EXCEEDED", "there was not enough time") from None
    return str(count).encode()
