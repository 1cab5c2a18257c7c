"""`braidmq call` against real brokers and a real worker: every exit code, and every byte."""

import base64
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from braidmq.blocking import Node
from braidmq.members import Role
from braidmq.trust import certificate
from braidmq.trust.authority import Authority
from braidmq.trust.certificate import Claims
from braidmq.trust.joinfile import JoinFile, load
from tests.support.nights import cases, nightly_but
from tests.support.processes import BRAIDMQ, LiveNet, complaint, environment, loaded, wait_until

BINARY = bytes(range(256)) * 16

APP = """
import asyncio
import json
import os

from braidmq import Node, ServiceError

node = Node(os.environ["BRAIDMQ_JOIN"])


@node.service("echo")
async def echo(request):
    return request.payload


@node.service("about")
def about(request):
    return json.dumps({"sender": request.sender, "headers": dict(request.headers), "broker": request.broker}).encode()


@node.service("refuse")
async def refuse(request):
    raise ServiceError("INVALID_ARGUMENT", "qty must be positive\\x1b[31m", {"qty": -1})


@node.service("odd")
async def odd(request):
    raise ServiceError("ODD", "", {b"bytes": 1.5, (1,): 2} if request.payload else float("nan"))


@node.service("never")
async def never(request):
    await asyncio.Event().wait()
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    directory = tmp_path_factory.mktemp("call")
    (directory / "app.py").write_text(APP)
    with LiveNet(directory / "net") as net:
        net.add_members("b1", "b2")
        net.add_node("guest", calls=["about"])
        net.broker("b1")
        net.broker("b2")
        net.serve("app:node", cwd=directory)
        for service in ("echo", "about", "refuse", "odd", "never"):
            net.wait_for_workers(service)
        yield net


@pytest.fixture
def down(live):
    """A net whose brokers do not run."""
    live.add_members("b1", "b2")
    return live


def test_the_reply_is_written_as_it_is(net):
    result = net.call("echo", "hello")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"hello", b"")


def test_the_join_file_may_be_named_by_the_environment(net):
    result = net.run("call", "echo", "hello", BRAIDMQ_JOIN=str(net.join("client")))
    assert (result.returncode, result.stdout) == (0, b"hello")


def test_a_binary_payload_from_stdin_comes_back_as_it_is(net):
    result = net.call("echo", "-", stdin=BINARY)
    assert (result.returncode, result.stdout) == (0, BINARY)


def test_a_binary_payload_from_a_file_comes_back_as_it_is(net, tmp_path):
    (tmp_path / "payload").write_bytes(BINARY)
    result = net.call("echo", f"@{tmp_path / 'payload'}")
    assert (result.returncode, result.stdout) == (0, BINARY)


def test_an_argument_that_is_no_utf_8_comes_back_as_it_is(net):
    result = net.call("echo", os.fsdecode(b"a\xff\n"))
    assert (result.returncode, result.stdout) == (0, b"a\xff\n")


def test_the_largest_payload_comes_back_whole(net):
    payload = os.urandom(1024 * 1024)
    result = net.call("echo", "-", stdin=payload)
    assert (result.returncode, result.stdout) == (0, payload)


@pytest.mark.nightly
@pytest.mark.parametrize("payload", nightly_but({"-.5"}, ("-5", "-5.25", "-.5", "-1e9", "-5 and more", "-0")))
def test_a_payload_like_a_negative_number_is_no_option(net, payload):
    assert net.call("echo", payload).stdout == payload.encode()
    assert net.call("echo", "--", payload).stdout == payload.encode()
    assert net.call("--timeout", "5", "echo", payload, "--attempts", "2").stdout == payload.encode()


@cases("option", ["--timeout", "--attempts"], one_in=2)
def test_a_negative_number_behind_an_option_is_its_value(net, option):
    assert "-5" in complaint(net.call("echo", "x", option, "-5"), 2)


def test_without_a_payload_it_is_empty(net):
    result = net.call("echo")
    assert (result.returncode, result.stdout) == (0, b"")


def test_json_tells_of_the_reply(net):
    reply = loaded(net.call("echo", "gr\u00fc\u00df", "--json", "--via", "b2"))
    elapsed_ms, id_, original_id = reply.pop("elapsed_ms"), reply.pop("id"), reply.pop("original_id")
    assert reply == {
        "payload": "gr\u00fc\u00df",
        "encoding": "utf-8",
        "service": "echo",
        "sender": "worker",
        "broker": "b2",
        "retry_count": 0,
        "possible_duplicate": False,
    }
    assert elapsed_ms > 0
    assert len(bytes.fromhex(id_)) == len(bytes.fromhex(original_id)) == 16
    assert id_ != original_id


def test_json_holds_a_binary_payload_in_base64(net):
    reply = loaded(net.call("echo", "-", "--json", stdin=BINARY))
    assert reply["encoding"] == "base64"
    assert base64.b64decode(reply["payload"]) == BINARY


def test_headers_and_the_sender_reach_the_handler(net):
    result = net.call("about", "--header", "traceparent=00-1", "--header", "a=b=c", "--header", "empty=", "--via", "b1")
    assert json.loads(result.stdout) == {
        "sender": "client",
        "headers": {"traceparent": "00-1", "a": "b=c", "empty": ""},
        "broker": "b1",
    }


def test_an_error_of_the_service_is_exit_code_3_and_does_not_reach_the_terminal_raw(net):
    assert complaint(net.call("refuse"), 3) == "braidmq: INVALID_ARGUMENT: qty must be positive\\x1b[31m\n"


def test_json_tells_of_an_error_of_the_service(net):
    result = net.call("refuse", "--json")
    assert result.returncode == 3
    error = json.loads(result.stdout)
    assert len(bytes.fromhex(error.pop("original_id"))) == 16
    assert error == {
        "error": "ServiceError",
        "code": "INVALID_ARGUMENT",
        "message": "qty must be positive\x1b[31m",
        "details": {"qty": -1},
        "attempts": 1,
        "maybe_executed": True,
    }
    assert result.stderr.count(b"\n") == 1


@cases("payload", ["", "x"], one_in=2)
def test_json_can_tell_of_details_that_json_cannot_hold(net, payload):
    result = net.call("odd", payload, "--json")
    assert result.returncode == 3
    assert json.loads(result.stdout)["code"] == "ODD"


def test_a_deadline_that_passes_is_exit_code_4(net):
    assert "never gave no answer in time" in complaint(net.call("never", "--timeout", "0.4"), 4)


def test_json_says_that_a_late_request_may_have_been_run(net):
    result = net.call("never", "--timeout", "0.4", "--json")
    assert result.returncode == 4
    error = json.loads(result.stdout)
    assert (error["error"], error["maybe_executed"]) == ("DeadlineExceeded", True)


def test_a_service_without_a_worker_is_exit_code_5(net):
    assert "no worker provides unknown" in complaint(net.call("unknown"), 5)


def test_brokers_that_are_not_there_are_named_with_address_and_reason(down):
    line = complaint(down.call("echo", "--timeout", "0.5"), 5)
    for name in ("b1", "b2"):
        assert f"{name} at {down.endpoints[name]}: nothing answers there" in line


@pytest.mark.nightly
def test_a_broker_to_go_by_that_is_not_there_is_named(down):
    down.broker("b1")
    line = complaint(down.call("echo", "--timeout", "0.5", "--via", "b2"), 5)
    assert f"b2 at {down.endpoints['b2']}: nothing answers there" in line


def test_a_broker_to_go_by_that_nobody_knows_is_named(net):
    assert "b9" in complaint(net.call("echo", "--timeout", "0.3", "--via", "b9"), 5)


@pytest.mark.nightly
def test_something_that_is_no_broker_is_not_said_to_be_down(live):
    endpoint = live.add_broker("b1")
    live.add_node("client", calls=["*"])
    with socket.create_server(("127.0.0.1", int(endpoint.rpartition(":")[2]))) as other:
        other.settimeout(30)
        with live.calling("echo", "--timeout", "1") as child:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 8)
                _, line = child.communicate(timeout=60)
    assert child.returncode == 5
    assert f"b1 at {endpoint}: ".encode() in line
    assert b"nothing answers there" not in line


def test_something_that_never_says_a_word_is_named(live):
    endpoint = live.add_broker("b1")
    live.add_node("client", calls=["*"])
    with socket.create_server(("127.0.0.1", int(endpoint.rpartition(":")[2]))):
        line = complaint(live.call("echo", "--timeout", "0.5"), 5)
    assert f"b1 at {endpoint}: no connection yet" in line


@pytest.mark.nightly
def test_something_that_never_says_a_word_is_told_within_the_usual_time(live):
    """As an HTTP server, which waits for the rest of a request."""
    endpoint = live.add_broker("b1")
    live.add_node("client", calls=["*"])
    with socket.create_server(("127.0.0.1", int(endpoint.rpartition(":")[2]))):
        line = complaint(live.call("echo", "--timeout", "2"), 5)
    assert f"b1 at {endpoint}: no connection yet: it takes connections, but has not said anything" in line


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog is answered")
def test_packets_that_are_dropped_are_told_within_the_usual_time(live):
    """A listener whose backlog is full drops what comes, as a firewall does."""
    endpoint = live.add_broker("b1")
    live.add_node("client", calls=["*"])
    address = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(address)
        line = complaint(live.call("echo", "--timeout", "2"), 5)
    assert f"b1 at {endpoint}: no connection yet: no answer of any kind so far" in line
    assert "firewall" in line


def test_a_broker_whose_key_is_not_the_one_in_the_certificate_is_said_to_be_so(live, tmp_path):
    endpoint = live.add_broker("b1")
    live.add_node("client", calls=["*"])
    with LiveNet(tmp_path / "impostors") as impostors:
        impostors.add_broker("b1", port=int(endpoint.rpartition(":")[2]))
        impostors.broker("b1")
        line = complaint(live.call("echo", "--timeout", "3600"), 5)
    assert (
        f"b1 at {endpoint}: what answers there does not hold this broker's key: it is a broker of another net" in line
    )


@pytest.mark.nightly
def test_a_web_server_in_the_place_of_the_broker_is_said_to_be_one(live):
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server, ThreadPoolExecutor() as pool:
        endpoint = live.add_broker("b1", port=server.server_port)
        live.add_node("client", calls=["*"])
        served = pool.submit(server.serve_forever)
        line = complaint(live.call("echo", "--timeout", "2"), 5)
        server.shutdown()
        served.result()
    assert f"b1 at {endpoint}: what answers there is no broker, it is an HTTP server" in line


def test_a_service_that_the_node_may_not_call_is_exit_code_6(net):
    assert "may not call echo: the net's operator lets it by `braidmq set" in complaint(
        net.call("echo", name="guest"), 6
    )


def test_a_member_that_the_brokers_do_not_know_yet_is_exit_code_6_and_does_not_wait(net, tmp_path):
    shutil.copytree(net.directory, tmp_path / "copy")
    stranger = Authority.open(tmp_path / "copy").add_node("stranger", calls=["*"])
    line = complaint(net.run("call", "echo", "--join", stranger, "--timeout", "3600"), 6)
    for name in ("b1", "b2"):
        assert f"{name} at {net.endpoints[name]}: the broker refuses this key: it is not registered" in line


def test_a_member_of_another_net_that_has_the_brokers_key_and_address_is_exit_code_6(net, tmp_path):
    others = Authority.create(tmp_path / "others")
    intruder = load(others.add_node("client", calls=["*"]))
    known = load(net.join("b1")).certificate
    claims = Claims(
        net=others.net,
        serial=1,
        name="b1",
        role=Role.BROKER,
        keys=known.keys,
        calls=(),
        serves=(),
        observe=False,
        endpoints=known.endpoints,
    )
    forged = certificate.issue(claims, others._seed)
    JoinFile(
        secret_key=intruder.secret_key,
        certificate=intruder.certificate,
        authority_key=others.public_key,
        brokers=(forged,),
    ).write(tmp_path / "intruder.braid")
    line = complaint(net.run("call", "echo", "--join", tmp_path / "intruder.braid"), 6)
    assert f"b1 at {net.endpoints['b1']}: the broker refuses this key" in line


def test_a_payload_above_the_limit_is_exit_code_1(net, tmp_path):
    payload = bytes(1024 * 1024 + 1)
    (tmp_path / "payload").write_bytes(payload)
    assert "exceeds the limit of 1048576 bytes" in complaint(net.call("echo", "-", stdin=payload), 1)
    assert "exceeds the limit of 1048576 bytes" in complaint(net.call("echo", f"@{tmp_path / 'payload'}"), 1)


@pytest.mark.nightly
def test_a_payload_above_the_usual_limit_can_be_sent_where_all_allow_it(live, tmp_path):
    live.add_members("b1")
    more = ["--set", "payload_bytes_max=3000000"]
    live.broker("b1", *more)
    (tmp_path / "app.py").write_text(
        "import os\nfrom braidmq import Node, Settings\n"
        "node = Node(os.environ['BRAIDMQ_JOIN'], settings=Settings(payload_bytes_max=3_000_000))\n"
        "@node.service('size')\nasync def size(request):\n    return str(len(request.payload)).encode()\n"
    )
    live.serve("app:node", cwd=tmp_path)
    live.wait_for_workers("size")
    payload = bytes(2_000_000)
    assert "raise payload_bytes_max here (--set)" in complaint(live.call("size", "-", stdin=payload), 1)
    assert live.call("size", "-", *more, stdin=payload).stdout == b"2000000"


@pytest.mark.nightly
def test_a_preset_and_settings_are_checked(net):
    assert net.call("echo", "x", "--preset", "wan", "--set", "attempts=5").stdout == b"x"
    assert "attempts" in complaint(net.call("echo", "x", "--set", "attempts=99"), 2)
    assert "--help" in complaint(net.call("echo", "x", "--preset", "moon"), 2)


@pytest.mark.nightly
def test_one_process_too_many_for_a_join_file_is_told_so(live):
    live.add_members("b1")
    live.broker("b1", "--set", "connections_per_key_max=2")
    nodes = [Node(live.join("client")) for _ in range(2)]
    try:
        for node in nodes:
            node.start()
            node.connected()
        line = complaint(live.call("echo", "x", "--timeout", "0.5"), 5)
        assert "connections_per_key_max=2 is reached: give each process a join file of its own" in line
    finally:
        for node in nodes:
            node.close()


def on_terminal(net, *arguments):
    """Run `braidmq call` on a terminal; return its exit code, and what it wrote there and to stderr."""
    ours, theirs = pty.openpty()
    command = [*BRAIDMQ, "call", "--join", str(net.join("client")), *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment()) as child:
        os.close(theirs)
        _, complaint = child.communicate(timeout=60)
        try:
            shown = os.read(ours, 100_000)
        except OSError:  # nothing was written, and nobody holds the other end
            shown = b""
        os.close(ours)
        return child.returncode, shown, complaint.decode()


@cases("text", ["gr\u00fc\u00df", "two\nlines\twith tabs\n", ""], one_in=3)
def test_a_reply_that_is_text_is_shown_on_a_terminal(net, text):
    assert on_terminal(net, "echo", text) == (0, text.replace("\n", "\r\n").encode(), "")


@cases("payload", [b"\xff\xfe", b"a\x1b[31mb", b"x\x07", b"over\rwritten"], one_in=2)
def test_a_reply_that_is_no_text_is_kept_from_a_terminal(net, tmp_path, payload):
    (tmp_path / "payload").write_bytes(payload)
    code, shown, said = on_terminal(net, "echo", f"@{tmp_path / 'payload'}")
    assert (code, shown) == (0, b"")
    assert f"the reply is {len(payload)} bytes that are no text" in said
    assert "--json" in said


@cases(
    ("arguments", "said"),
    [
        (["--timeout", "soon"], "--help"),
        (["--timeout", "0"], "timeout must be above 0"),
        (["--timeout", "nan"], "timeout must be above 0"),
        (["--timeout", "inf"], "at most 86400"),
        (["--attempts", "0"], "attempts must be between 1 and 20"),
        (["--attempts", "1.5"], "--help"),
        (["--header", "no-equals-sign"], "'no-equals-sign' is not a header"),
        (["--header", "=value"], "'=value' is not a header"),
        (["--header", "big=" + "x" * 17_000], "exceed 16384"),
        (["payload", "and another"], "--help"),
        (["payload", "-5"], "(-5)"),
        (["--timeout"], "requires an argument"),
        (["@/does/not/exist"], "/does/not/exist cannot be read: No such file or directory"),
        (["@/"], "/ cannot be read: Is a directory"),
        (["@"], "cannot be read"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
    one_in=4,
)
def test_a_wrong_argument_is_exit_code_2(net, arguments, said):
    assert said in complaint(net.call("echo", *arguments), 2)


@cases("service", ["", "a b", "x" * 128, "caf\u00e9"], one_in=4)
def test_what_cannot_name_a_service_is_exit_code_2(net, service):
    assert "cannot name a service" in complaint(net.call(service), 2)


def test_a_wrong_join_file_is_exit_code_2(live, tmp_path):
    live.add_members("b1")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "text").chmod(0o600)
    assert "is not a join file" in complaint(live.run("call", "s", "--join", tmp_path / "text"), 2)
    assert "does not exist" in complaint(live.run("call", "s", "--join", tmp_path / "nothing"), 2)
    assert "is a directory" in complaint(live.run("call", "s", "--join", tmp_path), 2)
    assert "the join file of b1 is a broker's" in complaint(live.call("s", name="b1"), 2)
    live.join("client").chmod(0o644)
    assert "chmod 600" in complaint(live.call("s"), 2)
    assert "BRAIDMQ_JOIN" in complaint(live.run("call", "s"), 2)


def test_a_net_without_brokers_is_exit_code_5_and_does_not_wait(live):
    live.add_node("client", calls=["*"])
    line = complaint(live.call("echo", "--timeout", "3600"), 5)
    assert "names no broker" in line


def test_an_interrupted_call_is_cancelled_at_the_worker(net):
    with net.calling("never", "--timeout", "3600", "--via", "b1") as child:
        wait_until(lambda: net.service("b1", "never").outstanding == 1, "the request is at the worker")
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=60) == (b"", b"\n")
    assert child.returncode == 130
    wait_until(lambda: net.service("b1", "never").outstanding == 0, "the handler was cancelled")


@pytest.mark.parametrize("how", [["echo", "hello"], ["echo", "hello", "--json"]], ids=["raw", "json"])
def test_a_reader_that_has_gone_is_no_complaint(net, how):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [*BRAIDMQ, "call", *how, "--join", str(net.join("client"))]
        result = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, env=environment(), timeout=60, check=False
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (1, b"")


def test_a_call_survives_that_one_broker_is_not_there(down):
    down.broker("b2")
    down.serve("--service", "echo", "--exec", "cat")
    down.wait_for_workers("echo", "b2")
    result = down.call("echo", "hello")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"hello", b"")


@pytest.mark.nightly
@pytest.mark.parametrize(
    "command",
    [("call", "echo"), pytest.param(("serve", "--service", "echo", "--exec", "cat"), marks=pytest.mark.nightly)],
)
def test_a_state_file_never_takes_the_place_of_another_file(net, tmp_path, command):
    join = net.join("worker")
    secret = join.read_bytes()
    (tmp_path / "link").symlink_to(join)
    for path in (join, tmp_path / "link"):
        said = complaint(net.run(*command, "--join", join, "--state", path), 2)
        assert "is no state file, and would be overwritten" in said
    assert join.read_bytes() == secret
    assert "is a directory" in complaint(net.run(*command, "--join", join, "--state", tmp_path), 2)
    said = complaint(net.run(*command, "--join", join, "--state", tmp_path / "missing" / "state"), 2)
    assert "there is no directory" in said
