"""Replies that their workers prove, over a real net in which a broker lies."""

import asyncio

import pytest

from braidmq import AttemptsExhausted, Node, ServiceError, Settings
from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.proofs import Prover
from braidmq.testing import TestNet
from braidmq.trust import joinfile
from braidmq.wire.envelope import REPLY, REQUEST, decode, encode
from braidmq.wire.extension import Field, field_of, pack_field
from tests.support.async_tests import until
from tests.support.nights import cases
from tests.support.proofs import CAREFUL, knows, names_at, unproven


async def shout(request):
    if request.payload == b"fail":
        raise ServiceError("LOUD", "too loud", {"of": request.headers.get("of", "")})
    return request.payload.upper()


def proof_in(envelope):
    return field_of(envelope.extension, Field.PROOF) or b""


@pytest.fixture
def lie(patch_cores):
    """Let one broker change the messages of a command with a function, in this process."""

    def begin(broker, command, change):
        on, at = ("on_answer", 2) if command == REPLY else ("on_request", 1)
        honest = getattr(Dispatcher, on)

        def lying(self, *arguments):
            if self._outgoing.name == broker.encode() and arguments[at][5] == command:
                envelope = decode(arguments[at])
                change(envelope)
                arguments = (*arguments[:at], encode(envelope), *arguments[at + 1 :])
            honest(self, *arguments)

        patch_cores.setattr(Dispatcher, on, lying)

    return begin


async def net_of(net, *, worker="worker", caller=CAREFUL):
    """Start a worker and a caller on a net; return the caller."""
    serving = net.node(worker, serve=["s"])
    serving.service("s")(shout)
    await serving.start()
    client = net.node("client", call=["s"], settings=caller)
    await client.start()
    links = client._loop.core.links.links
    await until(lambda: len(links) == len(net.brokers) and all(b"s" in link.services for link in links.values()))
    return client


async def test_proved_replies_and_errors_reach_the_caller():
    async with TestNet() as net:
        client = await net_of(net)
        assert (await client.request("s", b"hello", headers={"of": "a"})).payload == b"HELLO"
        with pytest.raises(ServiceError) as caught:
            await client.request("s", b"fail", headers={"of": "dogs"})
        assert caught.value.details == {"of": "dogs"}
        many = await asyncio.gather(*(client.request("s", f"p{n}".encode()) for n in range(100)))
        assert [reply.payload for reply in many] == [f"P{n}".encode() for n in range(100)]
        assert unproven(client) == 0


ABOUT_REPLIES = {
    "another reply": lambda reply: setattr(reply, "payload", b"FORGED"),
    "an error instead": lambda reply: (setattr(reply, "code", 1), setattr(reply, "payload", b"\x81")),
    "no proof": lambda reply: setattr(reply, "extension", b""),
    "a torn proof": lambda reply: setattr(reply, "extension", reply.extension[:-1]),
}
ABOUT_REQUESTS = {
    "another request": lambda request: setattr(request, "payload", b"forged"),
    "no headers": lambda request: setattr(request, "extension", pack_field(Field.PROOF, proof_in(request))),
    "no wish for a proof": lambda request: setattr(request, "extension", b""),
    "another key": lambda request: setattr(request, "extension", pack_field(Field.PROOF, bytes(31) + b"\x09")),
}


@cases("what", ABOUT_REPLIES, one_in=2)
async def test_a_broker_that_lies_about_replies_only_sends_calls_to_another_one(what, lie, caplog):
    async with TestNet(brokers=2) as net:
        client = await net_of(net)
        lie("b1", REPLY, ABOUT_REPLIES[what])
        many = await asyncio.gather(*(client.request("s", f"p{n}".encode()) for n in range(20)))
        assert [(reply.payload, reply.broker) for reply in many] == [(f"P{n}".encode(), "b2") for n in range(20)]
        assert unproven(client) > 0
    accusing = [record.getMessage() for record in caplog.records if "is refused" in record.getMessage()]
    assert len(accusing) == 1
    assert "b1 brings a reply of 'worker' to s that is refused" in accusing[0]


@cases("what", ABOUT_REQUESTS, one_in=2)
async def test_a_broker_that_changes_requests_only_sends_calls_to_another_one(what, lie):
    """The worker runs what has been changed, too, but never takes its reply for that to the true request."""
    async with TestNet(brokers=2) as net:
        client = await net_of(net)
        lie("b1", REQUEST, ABOUT_REQUESTS[what])
        many = await asyncio.gather(*(client.request("s", f"p{n}".encode(), headers={"a": "b"}) for n in range(20)))
        assert [(reply.payload, reply.broker) for reply in many] == [(f"P{n}".encode(), "b2") for n in range(20)]
        assert unproven(client) > 0


async def test_without_it_a_lying_broker_is_believed(lie):
    """The rig lies indeed."""
    async with TestNet(brokers=1) as net:
        client = await net_of(net, caller=Settings.test())
        lie("b1", REPLY, ABOUT_REPLIES["another reply"])
        assert (await client.request("s", b"a")).payload == b"FORGED"


async def test_worker_that_proves_nothing_is_not_believed(patch_cores):
    patch_cores.setattr(Prover, "prove", lambda self, request, code, payload: b"")
    async with TestNet(brokers=1) as net:
        client = await net_of(net)
        with pytest.raises(AttemptsExhausted) as caught:
            await client.request("s", b"a")
        assert caught.value.maybe_executed


async def test_nobody_pays_on_the_wire_who_does_not_ask(lie):
    seen = []
    async with TestNet(brokers=1) as net:
        client = await net_of(net, caller=Settings.test())
        lie("b1", REPLY, lambda reply: seen.append(reply.extension))
        lie("b1", REQUEST, lambda request: seen.append(request.extension))
        await client.request("s", b"a")
        await until(lambda: len(seen) == 2)
    assert seen == [b"", b""]


async def test_who_asks_gets_a_tag_and_a_certificate(lie):
    seen = {}
    async with TestNet(brokers=1) as net:
        client = await net_of(net)
        lie("b1", REPLY, lambda reply: seen.update(reply=reply.extension))
        lie("b1", REQUEST, lambda request: seen.update(request=request.extension))
        await client.request("s", b"a")
    assert len(field_of(seen["request"], Field.PROOF) or b"") == 32
    assert 16 + 64 < len(field_of(seen["reply"], Field.PROOF) or b"") < 500


def process_of(join, *services, settings=CAREFUL):
    """Return a node that never reads its join file again, with services that say who has run them."""
    node = Node(joinfile.load(join), settings=settings)

    async def name_of_receiver(request):
        return request.receiver.encode()

    for service in services:
        node.service(service)(name_of_receiver)
    return node


async def test_a_worker_whose_rights_are_back_proves_replies_by_them():
    """Its caller has seen meanwhile, from another process of it, that it might not serve."""
    async with TestNet() as net:
        authority = net.authority
        worker = process_of(authority.add_node("worker", serves=["a", "b"]), "a", "b")
        caller = process_of(authority.add_node("caller", calls=["*"]))
        async with worker, caller:
            await net.served("b")
            narrowed = authority.change("worker", serves=["a"]).after.version
            await until(lambda: knows(worker, narrowed))
            async with process_of(authority.directory / "worker.braid", "a"):
                await net.served("a", workers=2)
                await asyncio.gather(*(caller.request("a") for _ in range(20)))
            widened = authority.change("worker", serves=["a", "b", "c"]).after.version
            await until(lambda: knows(worker, widened))
            await net.served("b")
            assert (await caller.request("b")).payload == b"worker"
            async with process_of(authority.directory / "worker.braid", "c"):
                await net.served("c")
                assert (await caller.request("c")).payload == b"worker"
            await asyncio.gather(*(caller.request("a") for _ in range(20)))
            assert unproven(caller) == 0


async def test_replies_are_proved_to_and_by_members_that_are_renamed():
    async with TestNet() as net:
        authority = net.authority
        worker = process_of(authority.add_node("worker", serves=["a"]), "a")
        caller = process_of(authority.add_node("caller", calls=["a"]))
        async with worker, caller:
            await net.served("a")
            for node, old, new in ((worker, "worker", "miller"), (caller, "caller", "baker")):
                version = authority.rename(old, new).after.version
                assert node.name == old
                await until(lambda node=node, version=version: knows(node, version))
                assert node.name == new
                await until(lambda new=new: all(names_at(broker) >= {new} for broker in net.brokers.values()))
                replies = [await caller.request("a") for _ in range(10)]
                assert {(reply.sender, reply.payload) for reply in replies} == {("miller", b"miller")}
            assert {reply.receiver for reply in replies} == {"baker"}
            assert unproven(caller) == 0


async def test_what_a_node_may_call_is_judged_by_its_newest_certificate():
    async with TestNet() as net:
        authority = net.authority
        caller = process_of(authority.add_node("caller"))
        worker = process_of(authority.add_node("worker", serves=["a"]), "a")
        async with caller:
            version = authority.change("caller", calls=["a"]).after.version
            await until(lambda: knows(caller, version))
            call = asyncio.create_task(caller.request("a", wait=True))
            await until(lambda: caller._loop.core.client._awaiting)
            async with worker:
                assert (await call).payload == b"worker"


async def test_a_join_file_that_is_read_again_is_what_replies_are_proved_with():
    async with TestNet(brokers=1) as net:
        join = net.authority.add_node("worker", serves=["a"])
        async with process_of(join, "a") as worker:
            net.authority.change("worker", serves=["a", "b"])
            newer = joinfile.load(join)
            worker._loop.change_identity(newer)
            assert worker._loop.core.worker._answers.prover._keyring.certificate == newer.certificate.blob
