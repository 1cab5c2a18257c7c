"""Where a node may be used."""

import asyncio
import threading

import pytest

from braidmq.errors import WrongLoop
from braidmq.host.home import Home, check_main_thread


async def home():
    return Home("orders")


def in_thread(function):
    errors = []

    def run():
        try:
            function()
        except WrongLoop as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors


def test_without_an_event_loop_there_is_no_home():
    with pytest.raises(WrongLoop, match=r"orders needs a running event loop.*braidmq\.blocking\.Node"):
        Home("orders")


def test_only_its_own_loop_is_home():
    async def main():
        own = Home("orders")
        own.check("orders")
        assert (own.ended, own.busy) == (False, True)
        errors = in_thread(lambda: own.check("orders")) + in_thread(lambda: asyncio.run(check(own)))
        assert len(errors) == 2
        for error in errors:
            assert "orders was started in another event loop, in thread 'MainThread'" in error
            assert "braidmq.blocking.Node" in error

    async def check(own):
        own.check("orders")

    asyncio.run(main())


def test_a_loop_that_has_ended_is_told_as_such():
    async def check():
        own.check("orders")

    own = asyncio.run(home())
    assert (own.ended, own.busy) == (True, False)
    with pytest.raises(WrongLoop, match="has ended"):
        asyncio.run(check())


def test_the_home_does_not_keep_its_loop():
    own = asyncio.run(home())
    assert own._loop() is None


def test_signals_come_to_the_main_thread_only():
    check_main_thread("do that")
    assert "do that" in in_thread(lambda: check_main_thread("do that"))[0]

    async def main():
        check_main_thread("do that")

    with pytest.raises(WrongLoop, match="do that"):
        asyncio.run(main())
