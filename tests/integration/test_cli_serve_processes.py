"""`braidmq serve --processes N` and `--reload`: real processes of one worker, with one join file."""

import os
import re
import signal
from contextlib import contextmanager

import pytest

from braidmq.host.process_tree import processes
from tests.support.namespaces import alone, as_process_1, children
from tests.support.processes import BRAIDMQ, LiveNet, wait_until

APP = """
import os, subprocess
from pathlib import Path
from braidmq import Services

services = Services()
here = Path(__file__).parent


@services.service("meet", concurrency=1)
def meet(request):
    (here / str(os.getpid())).touch()
    while sum(path.name.isdigit() for path in here.iterdir()) < 2:
        assert request.remaining > 0
    return str(os.getpid()).encode()


@services.service("wait", concurrency=1)
def wait(request):
    (here / "waits").write_text(str(os.getpid()))
    return (here / "go").read_bytes()


@services.service("leave", concurrency=1)
def leave(request):
    subprocess.run(["sh", "-c", "sleep 0.1 >/dev/null 2>&1 &"], check=True)
    return str(os.getppid()).encode()
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A net that all tests share; each ends its own workers."""
    with LiveNet(tmp_path_factory.mktemp("net") / "net") as net:
        net.add_members("b1")
        net.broker("b1")
        yield net


@pytest.fixture
def app(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    os.mkfifo(tmp_path / "go")
    return tmp_path


@contextmanager
def serving(net, app, *options, wrap=list):
    """Serve app:services; at the end the worker and all that it has started are gone."""
    command = [*BRAIDMQ, "serve", "app:services", "--join", net.join("worker"), *options]
    worker = net.launch(wrap(command), cwd=app)
    try:
        yield worker
    finally:
        worker.close()
        wait_until(lambda: net.service("b1", "wait").workers == 0, "no worker is left")


def pids(worker):
    return {
        name: int(pid) for name, pid in re.findall(r"INFO    (\S+) runs as process (\d+)$", worker.log, re.MULTILINE)
    }


def running(app):
    """Wait until a request of `wait` runs; return the number of its process."""
    path = app / "waits"
    return int(wait_until(lambda: path.exists() and path.read_text(), "it runs"))


def are_gone(numbers):
    return not {process.id for process in processes()} & set(numbers)


@pytest.mark.nightly
def test_processes_of_one_member_share_the_work_and_one_that_is_killed_comes_back(net, app):
    with serving(net, app, "--processes", "2", "--state", "w.state") as worker:
        net.wait_for_workers("meet", workers=2)
        with net.calling("meet", "--timeout", "30") as one, net.calling("meet", "--timeout", "30") as other:
            answers = {int(call.communicate(timeout=60)[0]) for call in (one, other)}
        assert answers == set(pids(worker).values()), "requests run side by side"
        assert {node.name for node in net.report("b1").nodes if node.state == "open"} == {"worker", "observer"}

        with net.calling("wait", "--timeout", "60") as call:
            busy = running(app)
            (app / "waits").unlink()
            os.kill(busy, signal.SIGKILL)
            assert running(app) != busy, "what it had runs again"
            worker.wait_for_line("was ended by SIGKILL: it is started again in 0.25 s")
            net.wait_for_workers("meet", workers=2)

            # As systemd does it; whichever comes first at a process: its own signal, or the end of its lifeline.
            for signalled in (worker.pid, *pids(worker).values()):
                os.kill(signalled, signal.SIGTERM)
            for number in (1, 2):
                worker.wait_for_line(f"app:services[{number}]: worker is draining")
            (app / "go").write_text("gone")
            assert call.communicate(timeout=60) == (b"gone", b""), "that is one signal, and it is answered"
        assert worker.wait() == 0
        for number in (1, 2):
            assert f"app:services[{number}]: worker serves" in worker.log
            assert f"app:services[{number}]: worker has ended" in worker.log
        assert worker.log.rstrip().endswith("all 2 processes have ended")
    assert sorted(path.name for path in app.glob("*.state")) == ["w-1.state", "w-2.state"]


@pytest.mark.nightly  # tests/unit/host/test_supervisor.py has a quicker one
def test_a_second_signal_ends_all_at_once(net, app):
    with serving(net, app, "--processes", "2", "--set", "drain_s=600") as worker:
        net.wait_for_workers("wait", workers=2)
        with net.calling("wait", "--timeout", "60") as call:
            running(app)
            worker.send_signal(signal.SIGTERM)
            worker.wait_for_line("worker is draining")
            assert worker.end() == -signal.SIGTERM
            wait_until(lambda: are_gone(pids(worker).values()), "no process is left")
            call.kill()


@pytest.mark.nightly  # tests/unit/host/test_lifeline.py has a quicker one
def test_a_killed_parent_leaves_no_process(net, app):
    with serving(net, app, "--processes", "2") as worker:
        net.wait_for_workers("wait", workers=2)
        os.kill(worker.pid, signal.SIGKILL)
        wait_until(lambda: are_gone(pids(worker).values()), "no process is left")
        assert worker.log.count("worker has ended") == 2


@pytest.mark.nightly  # tests/integration/test_cli_serve.py has a quicker one, with --exec
@alone
def test_as_process_1_of_a_container_it_waits_for_what_its_handlers_leave_behind(net, app):
    with serving(net, app, "--processes", "2", wrap=as_process_1) as container:
        net.wait_for_workers("leave", workers=2)
        [first] = children(container.pid)
        for _ in range(3):
            assert net.call("leave").stdout == b"1"
        wait_until(lambda: len(children(first)) == 2, "no child is left but the two, not even one that has ended")
        os.kill(first, signal.SIGTERM)
        assert container.wait() == 0


@pytest.mark.nightly
def test_newer_code_takes_over_and_broken_code_does_not(net, app):
    with serving(net, app, "--reload") as worker:
        worker.wait_for_line("connected to b1")
        (app / "app.py").write_text(APP.replace("os.getppid()", "'new'"))
        worker.wait_for_line("the new code serves, as process")
        net.wait_for_workers("leave")
        assert net.call("leave").stdout == b"new"
        (app / "app.py").write_text("import nothing_of_this_name\n")
        worker.wait_for_line("the new code was never ready (it ended with exit code 1)")
        assert "nothing_of_this_name" in worker.log
        assert net.call("leave").stdout == b"new"
        (app / "app.py").write_text(APP.replace("os.getppid()", "'mended'"))
        wait_until(lambda: worker.log.count("the new code serves, as process") == 2, "it is mended")
        assert net.call("leave").stdout == b"mended"
        assert worker.end() == 0


def test_what_is_wrong_with_all_is_said_once_and_ends_all(net, app, monkeypatch):
    monkeypatch.chdir(app)
    (app / "app.py").write_text("import nothing_of_this_name\n")
    result = net.run("serve", "app:services", "--join", net.join("worker"), "--processes", "2")
    assert result.returncode == 1
    assert result.stderr.count(b"ModuleNotFoundError") == 1
    assert b"all end, as app:services[1] was never ready: it ended with exit code 1" in result.stderr
