"""Replies of workers that tokens have made, to callers that want proofs."""

import asyncio
from dataclasses import replace

from nacl.public import PrivateKey

from braidmq import Node
from braidmq.enrolment import await_certificate, use_token
from braidmq.members import Role
from braidmq.testing import TestNet
from braidmq.trust import joinfile
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.pending import Pending
from braidmq.zmtp.handshake import KeyPair
from tests.support.async_tests import until
from tests.support.proofs import CAREFUL, knows, names_at, unproven

WAIT_S = 20.0
"""How long a member may take to be one on a busy machine."""


def certificate_of(netcode, key, timeout_s=WAIT_S):
    pair = KeyPair(bytes(key.public_key), bytes(key))
    return await_certificate(netcode, pair, timeout_s, lambda _why: None)


def joined(token):
    """Return the join file of a new member, which a token makes; its key is made here."""
    key = PrivateKey.generate()
    name = token.name_for(bytes(key.public_key))
    use_token(token, bytes(key.public_key), name, WAIT_S)
    admission = certificate_of(token.netcode, key)
    waiting = Pending(secret_key=bytes(key), name=name, netcode=token.netcode)
    return joinfile.admitted(waiting, admission.certificate, roster=admission.roster)


def worker_of(join):
    """Return a node that serves "a", and says by which name it is known."""
    node = Node(join, settings=CAREFUL)

    @node.service("a")
    async def name_of_receiver(request):
        return request.receiver.encode()

    return node


async def prepare(net, **terms):
    """Let all brokers know of a caller and of a token; return the caller and the token."""
    join = joinfile.load(net.authority.add_node("caller", calls=["a"]))
    token, _ = net.authority.invite(serves=["a"], **terms)
    await reread(net)
    return Node(join, settings=CAREFUL), token


async def reread(net):
    for done in [broker.reread_registry() for broker in net.brokers.values()]:
        await asyncio.wrap_future(done)


async def senders_of(caller, calls=10):
    return {(await caller.request("a", wait=True, timeout=WAIT_S)).sender for _ in range(calls)}


async def test_they_are_proved_by_the_enrolment_and_its_invitation():
    async with TestNet(brokers=2) as net:
        caller, token = await prepare(net, prefix="replica-", uses=2)
        joins = [await asyncio.to_thread(joined, token) for _ in range(2)]
        async with worker_of(joins[0]), worker_of(joins[1]), caller:
            await net.served("a", workers=2)
            calls = await asyncio.gather(*(caller.request("a") for _ in range(50)))
            assert {reply.sender for reply in calls} <= {join.name for join in joins}
            assert unproven(caller) == 0


async def test_a_revoked_one_is_followed_by_another_of_the_same_name():
    async with TestNet() as net:
        caller, token = await prepare(net, name="machine", uses=2)
        first = await asyncio.to_thread(joined, token)
        async with caller:
            async with worker_of(first):
                await net.served("a")
                assert await senders_of(caller) == {"machine"}
                assert isinstance(first.certificate, Enrolment)
                net.authority.revoke([], [first.certificate])
                await reread(net)
                await until(lambda: all(not broker.workers("a") for broker in net.brokers.values()))
            second = await asyncio.to_thread(joined, token)
            assert second.public_key != first.public_key
            async with worker_of(second):
                assert await senders_of(caller) == {"machine"}
            assert unproven(caller) == 0


async def test_one_that_is_registered_later_goes_by_its_certificate_its_new_name_and_its_new_key():
    async with TestNet() as net:
        authority = net.authority
        caller, token = await prepare(net, name="machine")
        join = await asyncio.to_thread(joined, token)
        async with worker_of(join) as worker, caller:
            await net.served("a")
            assert await senders_of(caller) == {"machine"}
            version = authority.admit("machine", Role.NODE, join.public_key, serves=["a"]).after.version
            await until(lambda: knows(worker, version))
            assert await senders_of(caller) == {"machine"}
            version = authority.rename("machine", "miller").after.version
            await until(lambda: knows(worker, version))
            await until(lambda: all("miller" in names_at(broker) for broker in net.brokers.values()))
            assert await senders_of(caller) == {"miller"}
            key = PrivateKey.generate()
            rotated = authority.rotate("miller", bytes(key.public_key)).after
            certificate = next(each for each in rotated.certificates if each.name == "miller")
            newer: JoinFile = replace(
                join, secret_key=bytes(key), old_secret_key=join.secret_key, certificate=certificate
            )
            worker._loop.change_identity(newer)
            await until(lambda: not worker._loop.core.selection._former)
            assert await senders_of(caller) == {"miller"}
            assert unproven(caller) == 0
