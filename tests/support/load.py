"""Calls in great number, each written down from its beginning to its end."""

import asyncio
import itertools
from contextlib import asynccontextmanager
from time import monotonic

from braidmq import RequestError
from braidmq.lab.simulation.payload import key_of_answer, payload_of
from braidmq.lab.simulation.record import Call, Error, Record, Reply
from tests.support.async_tests import until


class Load:
    """Calls the service s as `client`, and keeps the record of it."""

    def __init__(self, client, record=None):
        self.client = client
        self.record = record or Record()
        self._numbers = itertools.count()

    async def call(self, *, timeout=None, attempts=None, **options):
        """Make a call and record it; return its outcome."""
        settings, now, key = self.client.settings, monotonic(), str(next(self._numbers))
        call = Call(key, self.client.name, now, now + (timeout or settings.timeout_s), attempts or settings.attempts)
        self.record.calls.append(call)
        payload = payload_of(key)
        try:
            reply = await self.client.request("s", payload, timeout=timeout, attempts=attempts, **options)
        except RequestError as error:
            call.id = error.request_id
            outcome: Reply | Error = Error(type(error).__name__, error.attempts, error.maybe_executed)
        else:
            call.id, answered = reply.original_id, key_of_answer(reply.payload)
            outcome = Reply(
                answered, reply.sender, reply.original_id, reply.possible_duplicate, reply.retry_count, reply.broker
            )
        call.ends.append((monotonic(), outcome))
        return outcome

    @asynccontextmanager
    async def running(self, callers=20, **options):
        """Call all the time; yields the list of outcomes."""
        outcomes, stop = [], asyncio.Event()

        async def caller():
            while not stop.is_set():
                outcomes.append(await self.call(**options))

        tasks = [asyncio.ensure_future(caller()) for _ in range(callers)]
        try:
            yield outcomes
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    @staticmethod
    async def answered(outcomes, more=200):
        """Wait until more calls have ended."""
        seen = len(outcomes)
        await until(lambda: len(outcomes) > seen + more)


def errors(outcomes):
    """Return the outcomes that are no replies."""
    return [outcome for outcome in outcomes if not isinstance(outcome, Reply)]


def flagged(outcomes):
    """Return the replies that may stand for more than one execution."""
    return [outcome for outcome in outcomes if isinstance(outcome, Reply) and outcome.possible_duplicate]
