"""`braidmq doctor` against what can be wrong, made for real: each reason has its sentence and its exit code."""

import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from braidmq.carrier import broker_loop
from braidmq.carrier.broker_loop import BrokerLoop
from braidmq.trust.authority import Authority
from braidmq.wire.envelope import VERSION_AT
from tests.support.nights import cases
from tests.support.processes import WAIT_S_MAX, LiveNet, wait_until


class Newer(BrokerLoop):
    """A broker that says everything in the next major version."""

    def _heard_by(self, listener):
        class Speaker:
            def __getattr__(self, name):
                return getattr(listener, name)

            def send(self, sends):
                for route, messages in sends.items():
                    sends[route] = [each[:VERSION_AT] + b"\x20" + each[VERSION_AT + 1 :] for each in messages]
                return listener.send(sends)

        return Speaker()


@contextmanager
def running(kind, live):
    """Let the broker b1 run in a thread of this process."""
    loop = kind(live.join("b1"))
    loop.open()
    thread = Thread(target=loop.run)
    thread.start()
    try:
        yield
    finally:
        loop.stop()
        thread.join(WAIT_S_MAX)


@pytest.fixture
def one(live):
    """A net of one broker that does not run yet, with a client and a worker of `echo`."""
    live.add_broker("b1")
    live.add_node("client", calls=["echo"])
    return live


def examined(live, *options, name="client", code):
    """Return what the doctor says, which must end with an exit code, without a word on stderr."""
    result = live.run("doctor", "--join", live.join(name), *options)
    assert (result.returncode, result.stderr) == (code, b""), result
    return result.stdout.decode()


def stops(text, step):
    """Return the line at which a way stops, and the one that says what to do."""
    lines = text.splitlines()
    (at,) = (at for at, line in enumerate(lines) if line.startswith("  STOP"))
    assert lines[at].split()[1] == step, text
    assert lines[at + 1].strip().startswith("-> ")
    return lines[at], lines[at + 1]


def test_a_way_that_is_whole(live):
    live.add_members("b1", "b2")
    live.broker("b1")
    live.broker("b2")
    live.serve("--service", "echo", "--exec", "cat")
    live.wait_for_workers("echo")
    text = examined(live, "--service", "echo", code=0)
    for step in ("name", "tcp", "zmtp", "curve", "key", "session", "clock", "rights", "echo", "workers"):
        assert sum(line.startswith(f"  ok    {step} ") for line in text.splitlines()) >= 2, (step, text)
    assert text.count("there and back in ") == 2
    assert "all that tell have registry " in text
    assert text.endswith("\nall is well\n")


def test_json_has_every_step(one):
    one.broker("b1")
    result = one.run("doctor", "--join", one.join("client"), "--json")
    assert result.returncode == 0
    assert result.stdout.startswith(b'{"well":true,"exit_code":0,"steps":[{"broker":null,"step":"file","state":"ok"')
    assert result.stdout.count(b"\n") == 1


def test_reason_1_the_file_of_another_net(one, tmp_path):
    with LiveNet(tmp_path / "others") as others:
        others.add_broker("b1", port=int(one.endpoints["b1"].rpartition(":")[2]))
        others.broker("b1")
        line, mend = stops(examined(one, code=5), "curve")
    assert "it is a broker of another net" in line
    assert "move it away" not in mend
    assert "away and join it: braidmq join NETCODE client" in mend


def test_reason_2_an_unknown_via(one):
    one.broker("b1")
    text = examined(one, "--via", "b9", code=5)
    assert "b9 is no broker of this net: its brokers are b1" in text


def test_reason_3_nothing_answers_there(one):
    line, mend = stops(examined(one, code=5), "tcp")
    assert f"{one.endpoints['b1']}: nothing answers there" in line
    assert "braidmq broker --join b1.braid" in mend


def test_reason_4_packets_are_dropped_there(live):
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):  # the system drops what comes to a full backlog
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        live.add_broker("b1", port=server.getsockname()[1])
        live.add_node("client")
        line, _ = stops(examined(live, "--timeout", "1", code=5), "tcp")
    assert "packets are dropped on the way" in line


def test_reason_5_an_http_server_answers_there(live):
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server, ThreadPoolExecutor() as pool:
        live.add_broker("b1", port=server.server_port)
        live.add_node("client")
        served = pool.submit(server.serve_forever)
        line, mend = stops(examined(live, code=5), "zmtp")
        server.shutdown()
        served.result()
    assert "it is an HTTP server" in line
    assert "ss -ltnp" in mend


def test_reason_6_a_wrong_key(live, tmp_path):
    shutil.copytree(live.directory, tmp_path / "copy")
    endpoint = live.add_broker("b1")
    live.add_node("client")
    impostor = Authority.open(tmp_path / "copy").add_broker("b1", [endpoint])
    live.start("broker", "--join", impostor).wait_for_line("listens at")
    line, mend = stops(examined(live, code=5), "curve")
    assert "it is another broker, or newer than this join file" in line
    assert "up to date: braidmq join NETCODE client --file " in mend


def test_reason_7_a_key_that_is_not_registered(one, tmp_path):
    shutil.copytree(one.directory, tmp_path / "copy")
    stranger = Authority.open(tmp_path / "copy").add_node("stranger")
    shutil.copy(stranger, one.join("stranger"))
    one.broker("b1")
    line, mend = stops(examined(one, name="stranger", code=6), "key")
    assert "the broker refuses this key: it is not registered" in line
    assert "braidmq publish" in mend


def copied(live, name="client"):
    """Return a copy of a join file that nobody brings up to date, as on another machine."""
    return shutil.copy(live.join(name), live.directory.parent / f"{name}-elsewhere.braid")


def examined_file(live, path, code):
    result = live.run("doctor", "--join", path)
    assert (result.returncode, result.stderr) == (code, b""), result
    return result.stdout.decode()


def test_reason_8_a_revoked_key(one):
    leaked = copied(one)
    one.authority.revoke(["client"])
    one.broker("b1")
    line, mend = stops(examined_file(one, leaked, 6), "key")
    assert "the broker refuses this key: it was revoked" in line
    assert "braidmq add node client" in mend
    called = one.run("call", "echo", "--join", leaked, "--timeout", "3600")
    assert called.returncode == 6
    assert "it was revoked" in called.stderr.decode()


def test_reason_9_an_expired_certificate(one):
    not_after = int(time.time()) + 2
    one.authority.add_node("brief", not_after=not_after)
    one.broker("b1")
    wait_until(lambda: time.time() > not_after + 1, "it has ended")
    text = examined(one, name="brief", code=6)
    line, mend = stops(text, "key")
    assert "its certificate has expired" in line
    assert "braidmq renew brief" in mend
    assert "  WRONG dates        its certificate ended at " in text


def test_a_member_that_was_removed(one):
    broker = one.broker("b1")
    old = copied(one)
    one.authority.remove(["client"])
    broker.wait_for_line("is in force")
    line, mend = stops(examined_file(one, old, 6), "key")
    assert "its member was removed from the net" in line
    assert "braidmq add node client" in mend


def test_reason_10_rights_that_the_certificate_lacks(one):
    one.broker("b1")
    text = examined(one, "--service", "stock", code=6)
    assert "its certificate lets it neither call nor serve stock" in text
    assert "-> braidmq set client --net DIR --call 'echo' --call 'stock' (or --serve)" in text
    assert "there and back in " in text


@pytest.mark.nightly
def test_rights_that_are_newer_than_the_join_file_are_no_fault(one):
    old = copied(one)
    one.authority.change("client", calls=["echo", "stock"])
    one.broker("b1")
    one.authority.add_node("stock", serves=["stock"])
    result = one.run("doctor", "--join", old, "--service", "stock")
    text = result.stdout.decode()
    assert "  note  rights       its certificate lets it neither call nor serve stock, but brokers have a newer" in text
    assert "`braidmq join NETCODE client` brings this file up to date" in text
    assert "  ok    rights       client may call stock there" in text
    assert "stock has no worker there" in text
    assert result.returncode == 5


@pytest.mark.nightly
def test_a_broker_whose_key_is_newer_than_the_join_file_is_met_as_others_tell(live):
    live.add_members("b1", "b2")
    old = copied(live)
    live.authority.revoke(["b2"])
    live.authority.add_broker("b2", [live.endpoints["b2"]])
    live.add_broker("b3")
    for name in ("b1", "b2", "b3"):
        live.broker(name)
    welcomes = b"welcomes client"
    wait_until(lambda: live.run("doctor", "--join", old).stdout.count(welcomes) == 3, "b2 and b3 are listed and met")
    text = examined_file(live, old, 0)
    assert "  note  listed       " in text


@pytest.mark.nightly
def test_a_misspelt_endpoint_is_told_at_the_broker_itself(live):
    live.add_members("b1")
    live.add_broker("b2", host="no-such-host.invalid")
    live.broker("b1")
    text = examined(live, name="b2", code=5)
    assert "  WRONG endpoints    no-such-host.invalid has no address" in text
    assert "-> braidmq set b2 --net DIR --endpoint tcp://HOST:PORT" in text


@pytest.mark.nightly
def test_a_member_of_a_token_that_is_none_any_more_is_told_to_use_one_again(one, tmp_path):
    broker = one.broker("b1")
    token, _ = one.authority.invite(prefix="replica-", calls=["echo"])
    broker.wait_for_line("is in force")
    file = tmp_path / "r.braid"
    assert one.run("join", "-", "--file", file, stdin=token.encode().encode()).returncode == 0
    one.authority.withdraw(token.serial)
    wait_until(lambda: one.run("doctor", "--join", file).returncode, "it is out")
    line, mend = stops(examined_file(one, file, 6), "key")
    assert "it is not registered" in line
    assert (
        "make another one by braidmq invite --call 'stock'"
        in one.run("doctor", "--join", file, "--service", "stock").stdout.decode()
    )
    assert f"braidmq join - --file {file}, with a token" in mend


def test_reason_10_rights_that_were_taken_away(one):
    old = copied(one)
    one.authority.change("client", calls=["other"])
    one.broker("b1")
    result = one.run("doctor", "--join", old, "--service", "echo")
    assert result.returncode == 6
    assert "the broker does not let client call echo, though its certificate says so" in result.stdout.decode()
    assert "-> braidmq set client --net DIR --call 'echo'; or braidmq publish" in result.stdout.decode()


def test_reason_11_another_version(one):
    with running(Newer, one):
        line, mend = stops(examined(one, code=1), "session")
        assert "another version of BRAID" in line
        assert "BRAID/2 there, BRAID/1 here" in line
        assert "pip install" in mend
        called = one.call("echo", "--timeout", "3600")
        assert called.returncode == 5
        assert "another version of BRAID" in called.stderr.decode()


def test_a_clock_that_is_off(one, monkeypatch):
    monkeypatch.setattr(broker_loop, "unix_time", lambda: time.time() + 7_200)
    with running(BrokerLoop, one):
        text = examined(one, code=1)
    assert "the broker's clock is 7,200 s ahead of this machine's" in text
    assert "timedatectl" in text


@pytest.mark.nightly
def test_a_service_without_workers(one):
    one.broker("b1")
    text = examined(one, "--service", "echo", code=5)
    assert "echo has no worker there" in text
    assert "-> start one: braidmq serve" in text


def test_a_member_that_works_though_a_broker_is_down(live):
    live.add_members("b1", "b2")
    live.broker("b1")
    line, _ = stops(examined(live, code=1), "tcp")
    assert live.endpoints["b2"] in line


def test_a_name_that_nobody_knows(live):
    live.add_broker("b1", host="no-such-host.invalid")
    live.add_node("client")
    line, _ = stops(examined(live, code=5), "name")
    assert "no-such-host.invalid" in line


def test_a_brokers_own_file_is_walked_up_to_its_key(live):
    live.add_members("b1", "b2")
    live.broker("b1")
    text = examined(live, name="b2", code=0)
    assert "  ok    key          b2 is registered there" in text
    assert "session" not in text


@cases(
    ("harm", "step", "said"),
    [
        (lambda path: path.unlink(), "file", "does not exist"),
        (lambda path: path.chmod(0o644), "permissions", "others may read or change"),
        (lambda path: path.write_text("{}"), "content", "is not a join file"),
    ],
    ids=["missing", "open to all", "damaged"],
    one_in=2,
)
def test_a_join_file_that_is_of_no_use(one, harm, step, said):
    harm(one.join("client"))
    line, _ = stops(examined(one, code=2), step)
    assert said in line
