"""`braidmq serve`: a Node object or a command as a service, in real processes."""

import os
import signal
import sys
from contextlib import ExitStack

import pytest

from braidmq.host.process_tree import processes
from braidmq.trust.joinfile import load
from tests.support.namespaces import alone, as_process_1, children
from tests.support.nights import cases
from tests.support.processes import BRAIDMQ, complaint, loaded, wait_until

APP = """
import os
from braidmq import Node
from braidmq.blocking import Node as BlockingNode

node = Node(os.environ["BRAIDMQ_JOIN"])
text = "no node"
empty = Node(os.environ["BRAIDMQ_JOIN"])
blocking = BlockingNode(os.environ["BRAIDMQ_JOIN"])


@node.service("echo")
async def echo(request):
    return request.payload
"""


ONE_NODE = """
import os
from braidmq import Node

node = Node(os.environ["BRAIDMQ_JOIN"])
node.service("echo")(lambda request: request.payload)
"""


SERVICES = """
from braidmq import Services

services = Services()


@services.service("echo")
async def echo(request):
    return request.payload
"""


@pytest.fixture
def net(live):
    live.add_members("b1")
    live.broker("b1")
    return live


@pytest.fixture
def app(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are found by their group only")


def serve_command(net, command, *options, **more):
    worker = net.serve("--service", "run", "--exec", command, *options, **more)
    net.wait_for_workers("run")
    return worker


# -- a Node object


def test_a_node_of_a_module_in_the_current_directory_is_served(net, app):
    worker = net.serve("app:node", cwd=app)
    worker.wait_for_line("worker serves echo")
    net.wait_for_workers("echo")
    assert net.call("echo", "hello").stdout == b"hello"


def test_a_node_that_knows_its_join_file_needs_no_option(net, app):
    (app / "app.py").write_text(APP.replace('os.environ["BRAIDMQ_JOIN"]', repr(str(net.join("worker")))))
    net.start("serve", "app:node", cwd=app)
    net.wait_for_workers("echo")
    assert net.call("echo", "hello").stdout == b"hello"


@pytest.mark.nightly
def test_a_node_that_knows_its_join_file_refuses_that_of_another_member(net, app, monkeypatch):
    monkeypatch.chdir(app)
    (app / "app.py").write_text(APP.replace('os.environ["BRAIDMQ_JOIN"]', repr(str(net.join("worker")))))
    said = complaint(net.run("serve", "app:node", "--join", net.join("client")), 2)
    assert "app:node is the node worker, and --join names the join file of client" in said
    assert "does not exist" in complaint(net.run("serve", "app:node", "--join", app / "nothing"), 2)
    worker = net.launch(["env", f"BRAIDMQ_JOIN={net.join('client')}", *BRAIDMQ, "serve", "app:node"], cwd=app)
    worker.wait_for_line("worker serves echo")


def test_a_node_may_have_read_its_join_file_from_a_pipe(net, app):
    (app / "app.py").write_text(ONE_NODE)
    os.mkfifo(app / "pipe", 0o600)
    worker = net.start("serve", "app:node", "--join", app / "pipe", cwd=app)
    (app / "pipe").write_bytes(net.join("worker").read_bytes())
    worker.wait_for_line("worker serves echo")


@pytest.mark.nightly
def test_a_node_of_a_package_is_served(net, app):
    (app / "package").mkdir()
    (app / "app.py").rename(app / "package" / "app.py")
    net.serve("package.app:node", cwd=app)
    net.wait_for_workers("echo")


def test_services_of_a_module_are_served_by_the_node_of_the_join_file(net, app):
    (app / "app.py").write_text(SERVICES)
    worker = net.serve("app:services", cwd=app)
    worker.wait_for_line("worker serves echo")
    net.wait_for_workers("echo")
    assert net.call("echo", "hello").stdout == b"hello"


@pytest.mark.nightly
def test_settings_may_be_given_for_services_and_for_a_command(live, app, tmp_path):
    """One byte more than the usual limit of 1 MiB comes back, where brokers and callers allow it, too."""
    (app / "app.py").write_text(SERVICES)
    large = ("--set", "payload_bytes_max=1048577")
    live.add_members("b1")
    live.broker("b1", *large)
    live.serve("app:services", *large, cwd=app)
    live.serve("--service", "cat", "--exec", "cat", *large)
    (tmp_path / "payload").write_bytes(bytes(1_048_577))
    for service in ("echo", "cat"):
        live.wait_for_workers(service)
        result = live.call(service, f"@{tmp_path / 'payload'}", *large)
        assert (result.returncode, len(result.stdout)) == (0, 1_048_577)


def test_a_setting_that_is_none_is_exit_code_2(net, app):
    assert "sets nothing" in complaint(net.run("serve", "app:services", "--set", "x=1"), 2)


def test_services_need_a_join_file_that_allows_them(net, app, monkeypatch):
    monkeypatch.chdir(app)
    (app / "app.py").write_text(SERVICES)
    assert "Missing option '--join'" in complaint(net.run("serve", "app:services"), 2)
    said = complaint(net.run("serve", "app:services", "--join", net.join("client")), 2)
    assert "client may not serve echo: make a join file with --serve echo" in said


@pytest.mark.nightly
def test_services_remember_brokers_and_a_node_has_a_state_file_of_its_own(net, app, monkeypatch):
    monkeypatch.chdir(app)
    said = complaint(net.run("serve", "app:node", "--join", net.join("worker"), "--state", app / "state"), 2)
    assert "write Node(..., state=FILE) there" in said
    said = complaint(net.run("serve", "app:node", "--join", net.join("worker"), "--set", "dedup_s=1"), 2)
    assert "which knows its settings" in said
    (app / "app.py").write_text(SERVICES)
    net.serve("app:services", "--state", app / "state", cwd=app)
    wait_until((app / "state").exists, "a state file")


@cases("number", [signal.SIGTERM, signal.SIGINT], one_in=2)
def test_a_signal_ends_it_with_exit_code_0(net, app, number):
    worker = net.serve("app:node", cwd=app)
    net.wait_for_workers("echo")
    assert worker.end(number) == 0
    assert "worker is draining" in worker.log
    assert worker.log.endswith("worker has ended\n")
    assert "Traceback" not in worker.log


@cases(
    ("target", "said"),
    [
        ("app", "write MODULE:NAME"),
        ("app.py:node", "write the module without .py, as in app:node"),
        ("nothing:node", "there is no module 'nothing'"),
        ("app:nothing", "'nothing' in app does not exist: app has node, empty"),
        ("app:blocking", "app:blocking is a braidmq.blocking.Node: make it a braidmq.Services or a braidmq.Node"),
        ("app:empty", "provides no service"),
        ("app:", "write MODULE:NAME"),
        (":node", "write MODULE:NAME"),
        ("a-b:node", "write MODULE:NAME"),
        ("nothing.py:node", "write the module without .py, as in nothing:node"),
        ("nothing.below:node", "there is no module 'nothing'"),
        (
            "app:text",
            "'text' in app is a builtins.str, no braidmq.Services and no braidmq.Node: app has node, empty",
        ),
        ("os:nothing", "'nothing' in os does not exist\n"),
    ],
    one_in=5,
)
def test_what_does_not_name_a_node_is_exit_code_2(net, app, monkeypatch, target, said):
    monkeypatch.chdir(app)
    assert said in complaint(net.run("serve", target, "--join", net.join("worker")), 2)


def test_a_module_that_fails_shows_where(net, app, monkeypatch):
    monkeypatch.chdir(app)
    (app / "app.py").write_text("import nothing_of_this_name\n")
    result = net.run("serve", "app:node", "--join", net.join("worker"))
    assert result.returncode == 1
    assert b'app.py", line 1' in result.stderr
    assert b"nothing_of_this_name" in result.stderr


@pytest.mark.nightly
def test_a_module_whose_node_has_a_wrong_join_file_is_exit_code_2(net, app, monkeypatch):
    monkeypatch.chdir(app)
    assert "does not exist" in complaint(net.run("serve", "app:node", "--join", app / "nothing"), 2)
    assert "a node needs one made by" in complaint(net.run("serve", "app:node", "--join", net.join("b1")), 2)
    assert "may not serve echo" in complaint(net.run("serve", "app:node", "--join", net.join("client")), 2)


# -- a command


def test_the_payload_is_stdin_and_stdout_is_the_reply(net):
    serve_command(net, "tr a-z A-Z")
    result = net.call("run", "-", stdin=b"hello\n\xff")
    assert (result.returncode, result.stdout) == (0, b"HELLO\n\xff")


@pytest.mark.nightly
def test_no_shell_runs_the_command(net):
    serve_command(net, """printf '%s|' "$HOME" 'a b' '*' ';'""")
    assert net.call("run").stdout == b"$HOME|a b|*|;|"


@pytest.mark.nightly
def test_a_command_need_not_read_its_stdin(net):
    serve_command(net, "echo hello")
    assert net.call("run", "-", stdin=bytes(1024 * 1024)).stdout == b"hello\n"


@pytest.mark.nightly
def test_a_large_payload_passes_a_command_that_writes_while_it_reads(net):
    serve_command(net, "cat")
    payload = os.urandom(1024 * 1024)
    assert net.call("run", "-", stdin=payload).stdout == payload


@pytest.mark.nightly
def test_the_environment_tells_of_the_request(net):
    serve_command(net, "env")
    reply = loaded(net.call("run", "--json", "--timeout", "20"))
    told = dict(line.partition("=")[::2] for line in reply["payload"].splitlines())
    assert 0 < float(told.pop("BRAIDMQ_REMAINING")) <= 20
    assert len(told.pop("BRAIDMQ_TREE")) == 32, "by which what the command starts is found"
    assert {name: value for name, value in told.items() if name.startswith("BRAIDMQ_")} == {
        "BRAIDMQ_SERVICE": "run",
        "BRAIDMQ_SENDER": "client",
        "BRAIDMQ_ID": reply["original_id"],
        "BRAIDMQ_POSSIBLE_DUPLICATE": "0",
        "BRAIDMQ_RETRY_COUNT": "0",
    }


def test_an_exit_status_is_an_error_with_the_last_lines_of_stderr(net):
    serve_command(net, """sh -c 'echo output; for n in 1 2 3 4; do echo line $n >&2; done; exit 7'""")
    line = complaint(net.call("run"), 3)
    assert line == "braidmq: EXIT_STATUS: sh ended with exit status 7: line 2; line 3; line 4\n"


def test_a_command_is_killed_with_all_that_it_started_at_the_deadline(net, lifeline):
    serve_command(net, f"sh -c '{lifeline.command}; sleep 100; true'")
    result = net.call("run", "--timeout", "1")
    assert result.returncode == 4
    lifeline.wait_for_start()
    lifeline.wait_for_end()
    wait_until(lambda: net.service("b1", "run").outstanding == 0, "its place is free again")


@pytest.mark.nightly
def test_a_command_is_killed_when_its_caller_gives_up(net, lifeline):
    serve_command(net, f"sh -c '{lifeline.command}; sleep 100; true'")
    with net.calling("run", "--timeout", "3600") as call:
        lifeline.wait_for_start()
        call.send_signal(signal.SIGINT)
        lifeline.wait_for_end()
        assert call.wait(60) == 130


def test_a_command_that_writes_too_much_is_killed(net):
    serve_command(net, "yes")
    line = complaint(net.call("run", "--timeout", "60"), 3)
    assert line == "braidmq: RESULT_TOO_LARGE: yes wrote more than 1048576 bytes\n"


@pytest.mark.nightly
def test_so_many_commands_run_at_once_as_it_is_told(net, tmp_path):
    serve_command(net, f"sh -c 'until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo gone'", "--concurrency", "2")
    with net.calling("run") as first, net.calling("run") as second, net.calling("run") as third:
        wait_until(lambda: net.service("b1", "run").queued == 1, "one waits")
        assert net.service("b1", "run").outstanding == 2
        (tmp_path / "go").touch()
        assert [call.communicate(timeout=60)[0] for call in (first, second, third)] == [b"gone\n"] * 3


@pytest.mark.nightly
def test_a_signal_lets_a_command_end_and_its_reply_leave(net, lifeline, tmp_path):
    os.mkfifo(tmp_path / "go")
    worker = serve_command(net, f"sh -c '{lifeline.command}; read line < {tmp_path}/go; echo $line'")
    with net.calling("run") as call:
        lifeline.wait_for_start()
        worker.send_signal(signal.SIGTERM)
        worker.wait_for_line("worker is draining")
        (tmp_path / "go").write_text("gone\n")
        assert call.communicate(timeout=60) == (b"gone\n", b"")
    assert worker.wait() == 0


@cases("number", [signal.SIGTERM, signal.SIGINT], one_in=2)
def test_a_second_signal_ends_it_at_once_with_its_commands(net, lifeline, number):
    worker = serve_command(net, f"sh -c '{lifeline.command}; sleep 100; true'")
    with net.calling("run", "--timeout", "60") as call:
        lifeline.wait_for_start()
        worker.send_signal(signal.SIGTERM)
        worker.wait_for_line("worker is draining")
        assert worker.end(number) == -number
        lifeline.wait_for_end()
        call.kill()


@linux
@cases("ended_by", [signal.SIGTERM, signal.SIGKILL], one_in=2)
def test_what_a_command_has_left_behind_in_another_session_ends_with_the_worker(net, lifeline, ended_by):
    worker = serve_command(net, f"sh -c '{lifeline.command}; setsid sleep 100 >/dev/null 2>&1 & echo done'")
    assert net.call("run").stdout == b"done\n"
    lifeline.wait_for_start()
    worker.end(ended_by)
    lifeline.wait_for_end()


@pytest.mark.nightly
@linux
def test_what_has_dropped_its_environment_ends_with_the_worker_too(net, lifeline):
    left = "(env -i setsid sleep 100 >/dev/null 2>&1 &)"
    worker = serve_command(net, f"sh -c '{lifeline.command}; {left}; echo done'")
    assert net.call("run").stdout == b"done\n"
    lifeline.wait_for_start()
    assert worker.end(signal.SIGTERM) == 0
    lifeline.wait_for_end()


@pytest.mark.nightly
@linux
def test_a_process_that_the_worker_found_as_its_child_is_spared(net, lifeline):
    serve = [*BRAIDMQ, "serve", "--service", "run", "--exec", "cat", "--join", str(net.join("worker"))]
    script = f'setsid sh -c "{lifeline.command}; exec sleep 100" >/dev/null 2>&1 & echo $! >&2; exec "$@"'
    worker = net.launch(["sh", "-c", script, "sh", *serve])
    lifeline.wait_for_start()
    net.wait_for_workers("run")
    assert net.call("run", "x").stdout == b"x"
    assert worker.end(signal.SIGTERM) == 0
    beside = int(worker.log.split()[0])
    assert beside in {each.id for each in processes()}
    os.kill(beside, signal.SIGKILL)
    lifeline.wait_for_end()


@linux
@pytest.mark.nightly
def test_orphans_of_commands_are_waited_for(net):
    worker = serve_command(net, "sh -c '(sh -c \"exec >/dev/null 2>&1; sleep 0.1\" &); echo done'")
    for _ in range(5):
        assert net.call("run").stdout == b"done\n"

    def only_the_warden():
        return len(children(worker.pid)) <= 1

    wait_until(only_the_warden, "no zombies are left")


@pytest.mark.nightly
@alone
def test_as_process_1_of_a_container_it_waits_for_what_its_commands_leave_behind(net):
    command = "sh -c 'sleep 0.1 >/dev/null 2>&1 & read status; echo $status; exit $status'"
    serve = ["serve", "--join", net.join("worker"), "--service", "run", "--exec", command, "--concurrency", "4"]
    container = net.launch(as_process_1([*BRAIDMQ, *serve]))
    net.wait_for_workers("run")
    worker = children(container.pid)[0]
    for _ in range(3):
        with ExitStack() as stack:
            calls = [(status, stack.enter_context(net.calling("run", status))) for status in ("0", "3", "0", "7")]
            for status, call in calls:
                output, complaints = call.communicate(timeout=60)
                if status == "0":
                    assert (call.returncode, output, complaints) == (0, b"0\n", b"")
                else:
                    assert (call.returncode, output) == (3, b"")
                    assert f"sh ended with exit status {status}" in complaints.decode()
    wait_until(lambda: not children(worker), "no child is left, not even one that has ended")
    os.kill(worker, signal.SIGTERM)
    assert container.wait() == 0


@cases(
    ("options", "said"),
    [
        (["--service", "run", "--exec", "no-such-command --now"], "there is no command 'no-such-command'"),
        (["--service", "run", "--exec", "/etc/passwd"], "there is no command '/etc/passwd'"),
        (["--service", "run", "--exec", "echo 'a"], "No closing quotation"),
        (["--service", "run", "--exec", " "], "the command is empty"),
        (["--service", "a b", "--exec", "cat"], "cannot name a service"),
        (["--service", "run", "--exec", "cat", "--concurrency", "0"], "concurrency must be between 1 and 10000"),
        (["--service", "run", "--exec", "cat", "--concurrency", "many"], "--help"),
        (["--service", "run"], "Name MODULE:NAME, or --service and --exec"),
        (["--exec", "cat"], "Name MODULE:NAME, or --service and --exec"),
        ([], "Name MODULE:NAME, or --service and --exec"),
        (["app:node", "--exec", "cat"], "goes without --service, --exec, --concurrency and --time-limit"),
        (["app:node", "other:node"], "--help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    one_in=4,
)
def test_wrong_options_are_exit_code_2(live, options, said):
    live.add_node("worker", serves=["*"])
    assert said in complaint(live.run("serve", "--join", live.join("worker"), *options), 2)


@pytest.mark.nightly
def test_a_wrong_join_file_is_exit_code_2(live, tmp_path):
    live.add_members("b1")
    live.add_node("other", serves=["other"])
    command = ("serve", "--service", "run", "--exec", "cat")
    assert "a node needs one made by" in complaint(live.run(*command, "--join", live.join("b1")), 2)
    assert "does not exist" in complaint(live.run(*command, "--join", tmp_path / "nothing"), 2)
    assert "other may not serve run" in complaint(live.run(*command, "--join", live.join("other")), 2)
    assert "BRAIDMQ_JOIN" in complaint(live.run(*command), 2)
    live.join("worker").chmod(0o640)
    assert "chmod 600" in complaint(live.run(*command, BRAIDMQ_JOIN=str(live.join("worker"))), 2)


def test_it_waits_for_a_broker_that_is_not_there_yet(live):
    live.add_members("b1")
    worker = live.serve("--service", "run", "--exec", "cat")
    line = worker.wait_for_line("no connection to b1")
    assert " WARNING " in line
    live.broker("b1")
    live.wait_for_workers("run")


def test_a_net_without_brokers_is_a_warning(live):
    worker_file = live.add_node("worker", serves=["*"])
    assert load(worker_file).brokers == ()
    worker = live.serve("--service", "run", "--exec", "cat")
    assert " WARNING " in worker.wait_for_line("names no broker")
    assert worker.end() == 0
