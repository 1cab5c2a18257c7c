import asyncio
import logging
import signal
import sys
from time import monotonic

import msgspec
import pytest

from braidmq.cli.exec_handler import (
    COMPLAINT_CHARS_MAX,
    STDERR_BYTES_MAX,
    TOLD_S,
    ExecHandler,
    _Command,
    _tell_stderr,
)
from braidmq.errors import ConfigError, ServiceError
from braidmq.host.repeats import LINES_MAX, Repeats
from braidmq.messages import Request
from tests.support.processes import Lifeline

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are found by their group only")


def request(payload=b"", *, time_s=60.0):
    return Request(payload, "c", "w", "s", b"\1" * 16, True, 2, monotonic() + time_s, {}, "b1", monotonic)


def run(command, payload=b"", *, bytes_max=1_000, time_s=60.0):
    return asyncio.run(ExecHandler(command, bytes_max).run(request(payload, time_s=time_s)))


def failure(command, **more):
    with pytest.raises(ServiceError) as caught:
        run(command, **more)
    return caught.value


@pytest.fixture
def lifeline(tmp_path):
    line = Lifeline(tmp_path)
    yield line
    line.close()


def test_the_payload_goes_in_and_stdout_comes_out():
    assert run("tr a-z A-Z", b"hello\xff\n") == b"HELLO\xff\n"


def test_what_goes_to_stderr_is_no_part_of_the_reply():
    assert run("sh -c 'echo warning >&2; echo reply'") == b"reply\n"


def test_the_command_is_split_but_not_run_by_a_shell():
    assert run("""printf '%s|' a\\ b "c 'd" '$HOME' * '>'""") == b"a b|c 'd|$HOME|*|>|"


def test_a_command_need_not_read_its_stdin():
    assert run("true", bytes(1_000_000)) == b""


def test_neither_pipe_can_be_filled_up():
    payload = bytes(range(256)) * 4_096
    assert run("cat", payload, bytes_max=len(payload)) == payload
    assert run("sh -c 'head -c 1000000 /dev/zero >&2; echo done'") == b"done\n"


def test_the_environment_tells_of_the_request(monkeypatch):
    monkeypatch.setenv("OF_THE_WORKER", "yes")
    told = dict(line.partition("=")[::2] for line in run("env", bytes_max=1_000_000).decode().splitlines())
    assert told["OF_THE_WORKER"] == "yes"
    assert 0 < float(told["BRAIDMQ_REMAINING"]) <= 60
    assert told["BRAIDMQ_SERVICE"] == "s"
    assert told["BRAIDMQ_SENDER"] == "c"
    assert told["BRAIDMQ_ID"] == "01" * 16
    assert told["BRAIDMQ_POSSIBLE_DUPLICATE"] == "1"
    assert told["BRAIDMQ_RETRY_COUNT"] == "2"


def test_an_exit_status_is_an_error_with_the_end_of_stderr():
    error = failure("sh -c 'echo reply; for n in 1 2 3 4; do echo line $n >&2; echo >&2; done; exit 3'")
    assert (error.code, error.message, error.details) == (
        "EXIT_STATUS",
        "sh ended with exit status 3: line 2; line 3; line 4",
        3,
    )


def test_an_exit_status_without_a_word_is_an_error():
    assert failure("false").message == "false ended with exit status 1"


def test_the_end_of_stderr_is_bounded_and_may_be_no_utf_8():
    message = failure('sh -c \'head -c 100000 /dev/zero | tr "\\0" "\\377" >&2; exit 1\'').message
    assert message.endswith("\ufffd")
    assert len(message) <= len("sh ended with exit status 1: ") + COMPLAINT_CHARS_MAX


def test_no_more_of_stderr_is_kept_than_is_told_of():
    async def kept():
        process = _Command(1_000, ())
        for _ in range(100):
            process.pipe_data_received(2, bytes(1_000))
        return len(process._stderr)

    assert asyncio.run(kept()) == STDERR_BYTES_MAX


def test_a_command_that_a_signal_ended_is_an_error():
    error = failure("sh -c 'kill -TERM $$'")
    assert (error.code, error.message) == ("KILLED", "sh was ended by SIGTERM")


def test_stdout_may_be_as_long_as_the_limit_and_no_longer():
    assert run("head -c 1000 /dev/zero") == bytes(1_000)
    assert failure("head -c 1001 /dev/zero").code == "RESULT_TOO_LARGE"


def test_a_command_that_writes_too_much_is_killed(lifeline):
    assert failure(f"sh -c '{lifeline.command}; yes'").code == "RESULT_TOO_LARGE"
    lifeline.wait_for_start()
    lifeline.wait_for_end()


def test_a_command_is_killed_with_all_that_it_started_at_the_deadline(lifeline, monkeypatch):
    monkeypatch.setattr("braidmq.cli.exec_handler.CANCEL_S_MAX", 0.0)
    assert failure(f"sh -c '{lifeline.command}; sleep 100; true'", time_s=0.5).code == "DEADLINE_EXCEEDED"
    lifeline.wait_for_start()
    lifeline.wait_for_end()


def test_a_command_that_ignores_signals_is_killed_when_it_is_cancelled(lifeline):
    async def cancel():
        handler = ExecHandler(f"sh -c 'trap \"\" TERM INT HUP; {lifeline.command}; sleep 100; true'", 1_000)
        running = asyncio.create_task(handler.run(request()))
        await asyncio.to_thread(lifeline.wait_for_start)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.to_thread(lifeline.wait_for_end)

    asyncio.run(cancel())


def test_what_a_command_leaves_behind_with_its_stdout_is_killed_at_the_deadline(lifeline, monkeypatch):
    monkeypatch.setattr("braidmq.cli.exec_handler.CANCEL_S_MAX", 0.0)
    assert failure(f"sh -c '{lifeline.command}; sleep 100 & echo reply'", time_s=0.5).code == "DEADLINE_EXCEEDED"
    lifeline.wait_for_start()
    lifeline.wait_for_end()


def test_all_commands_can_be_killed_at_once(lifeline):
    async def kill():
        handler = ExecHandler(f"sh -c '{lifeline.command}; sleep 100; true'", 1_000)
        running = asyncio.create_task(handler.run(request()))
        await asyncio.to_thread(lifeline.wait_for_start)
        await handler.kill_all()
        with pytest.raises(ServiceError, match=r"KILLED: sh was ended by SIGKILL"):
            await running

    asyncio.run(kill())
    lifeline.wait_for_end()


def test_a_command_that_has_gone_since_the_start_is_an_error(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    handler = ExecHandler(str(program), 1_000)
    program.unlink()
    with pytest.raises(ServiceError, match=r"CANNOT_START: .*: No such file or directory"):
        asyncio.run(handler.run(request()))


def test_commands_run_side_by_side(tmp_path):
    async def both():
        meet = ExecHandler(
            f"sh -c 'mkdir {tmp_path}/$(cat) && until [ -e {tmp_path}/a -a -e {tmp_path}/b ]; do :; done'", 0
        )
        await asyncio.gather(meet.run(request(b"a")), meet.run(request(b"b")))

    asyncio.run(both())


@pytest.mark.parametrize("command", ["", "  ", "'", "no-such-command", "/etc/passwd", "/"])
def test_what_is_no_command_is_refused_at_once(command):
    with pytest.raises(ConfigError, match="command"):
        ExecHandler(command, 1_000)


def test_a_signal_without_a_name_is_told_by_its_number():
    error = failure(f"sh -c 'kill -{signal.SIGRTMIN + 1} $$'")
    assert error.message == f"sh was ended by signal {signal.SIGRTMIN + 1}"


@linux
@pytest.mark.parametrize(
    "command",
    ["setsid sleep 100 & wait", 'setsid sh -c "setsid sleep 100 & sleep 100" & wait', "env -i setsid sleep 100 & wait"],
    ids=["another session", "two sessions", "without the environment"],
)
def test_a_session_of_its_own_does_not_save_a_process_from_the_deadline(lifeline, monkeypatch, command):
    monkeypatch.setattr("braidmq.cli.exec_handler.CANCEL_S_MAX", 0.0)
    assert failure(f"sh -c '{lifeline.command}; {command}'", time_s=0.5).code == "DEADLINE_EXCEEDED"
    lifeline.wait_for_start()
    lifeline.wait_for_end()


@linux
def test_a_process_whose_parents_have_ended_is_killed_when_the_call_is_cancelled(lifeline):
    async def cancelled():
        left = "(setsid sleep 100 &) ; exit 0"  # it holds the pipe of stdout, so there is no answer yet
        handler = ExecHandler(f"sh -c '{lifeline.command}; {left}'", 1_000)
        call = asyncio.create_task(handler.run(request()))
        await asyncio.to_thread(lifeline.wait_for_start)
        call.cancel()
        await asyncio.to_thread(lifeline.wait_for_end)
        await asyncio.gather(call, return_exceptions=True)

    asyncio.run(cancelled())


@linux
def test_the_processes_of_another_request_are_left_alone(lifeline, tmp_path, monkeypatch):
    monkeypatch.setattr("braidmq.cli.exec_handler.CANCEL_S_MAX", 0.0)
    (tmp_path / "b").mkdir()
    other_line = Lifeline(tmp_path / "b")

    async def both():
        handler = ExecHandler("sh -c 'read line; eval \"$line\"'", 1_000)
        slow = f"{lifeline.command}; setsid sleep 100 & wait\n".encode()
        other = f"{other_line.command}; sleep 1; echo done\n".encode()
        again = msgspec.structs.replace(request(other), id=b"\2" * 16)
        results = await asyncio.gather(
            handler.run(request(slow, time_s=0.3)), handler.run(again), return_exceptions=True
        )
        assert isinstance(results[0], ServiceError)
        assert results[1] == b"done\n"

    asyncio.run(both())
    other_line.close()


def test_a_command_is_killed_with_all_that_it_started_at_its_own_time_limit(lifeline):
    handler = ExecHandler(f"sh -c '{lifeline.command}; sleep 100; true'", 1_000, 0.5)
    with pytest.raises(ServiceError, match=r"TIME_LIMIT: sh was killed: it may take 0\.5 s here"):
        asyncio.run(handler.run(request()))
    lifeline.wait_for_start()
    lifeline.wait_for_end()


def test_the_deadline_counts_where_it_is_nearer_than_the_time_limit(monkeypatch):
    monkeypatch.setattr("braidmq.cli.exec_handler.CANCEL_S_MAX", 0.0)
    with pytest.raises(ServiceError, match="DEADLINE_EXCEEDED"):
        asyncio.run(ExecHandler("sleep 100", 1_000, 90.0).run(request(time_s=0.2)))


@pytest.mark.parametrize(("status", "level"), [(0, "INFO"), (1, "WARNING")])
def test_the_end_of_stderr_goes_to_the_log(caplog, status, level):
    caplog.set_level(logging.INFO)
    handler = ExecHandler(f"sh -c 'echo one >&2; echo; echo two >&2; exit {status}'", 1_000)
    asyncio.run(_settled(handler.run(request())))
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == (
        level,
        f"s, request {'01' * 16} of c: sh wrote to stderr: one; two",
    )


def test_a_command_that_is_killed_has_its_stderr_in_the_log(caplog):
    asyncio.run(_settled(ExecHandler("sh -c 'echo why >&2; sleep 100; true'", 1_000, 0.5).run(request())))
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["why"]


async def _settled(work):
    await asyncio.gather(work, return_exceptions=True)


def test_nobody_fills_the_log_by_calls(caplog):
    caplog.set_level(logging.INFO)

    async def tell():
        process, repeats = _Command(1_000, ()), Repeats(TOLD_S)
        process.connection_made(_Ended())
        for _ in range(LINES_MAX + 5):
            _tell_stderr("sh", process, request(), repeats, 0.0)  # it has written nothing
        process.pipe_data_received(2, b"why\n")
        for now in [1.0] * (LINES_MAX + 5) + [1.0 + TOLD_S]:
            _tell_stderr("sh", process, request(), repeats, now)

    asyncio.run(tell())
    assert len(caplog.records) == LINES_MAX + 1
    assert "(and 5 more commands since this was told last): why" in caplog.messages[-1]


class _Ended(asyncio.SubprocessTransport):
    def get_returncode(self):
        return 0
