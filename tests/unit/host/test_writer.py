import errno
import fcntl
import os
import select
import threading

import pytest

from braidmq.host.writer import Writer
from braidmq.lab.processes.waiting import wait_until

PIPE_BYTES = 4096


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    ends = {"reader": reader, "writer": writer}
    yield ends
    for descriptor in ends.values():
        if descriptor is not None:
            os.close(descriptor)


def lost(count):
    return f"{count} lost\n".encode()


def is_full(descriptor):
    return not select.select([], [descriptor], [], 0.0)[1]


def drain(descriptor, until):
    """Read until the text ends as `until` does."""
    text = b""
    while not text.endswith(until):
        text += os.read(descriptor, 65_536)
    return text


def test_what_is_written_comes_in_order(pipe):
    writer = Writer(pipe["writer"], lost)
    for number in range(100):
        writer.write(b"%d\n" % number)
    assert writer.flush()
    assert os.read(pipe["reader"], 4096) == b"".join(b"%d\n" % number for number in range(100))


def test_a_reader_that_stands_still_holds_nobody_up_and_is_told_what_it_has_missed(pipe):
    writer = Writer(pipe["writer"], lost, bytes_max=10_000)
    line = b"x" * 99 + b"\n"
    writer.write(100 * line)
    wait_until(lambda: is_full(pipe["writer"]), "it stands still in the middle of a piece")
    for _ in range(1_000):
        writer.write(line)
    assert writer._bytes <= 10_000
    assert not writer.flush(0.01)
    text = drain(pipe["reader"], b" lost\n")  # there is room again
    writer.write(b"end\n")
    text += drain(pipe["reader"], b"end\n")
    assert text == 200 * line + lost(900) + b"end\n"
    assert writer.flush(10.0)


def test_one_that_was_stuck_is_not_waited_for_again(pipe):
    writer = Writer(pipe["writer"], lost)
    writer.write(b"x" * 10 * PIPE_BYTES)
    assert not writer.flush(0.01)
    assert not writer.flush(3600.0)
    text = os.read(pipe["reader"], PIPE_BYTES)
    while len(text) < 10 * PIPE_BYTES:
        text += os.read(pipe["reader"], PIPE_BYTES)
    writer.write(b"y")
    wait_until(lambda: writer.flush(1.0), "it is written again")


@pytest.mark.parametrize("how", ["the reader has gone", "the descriptor is closed"])
def test_where_nothing_can_be_written_any_more_nothing_is_kept(pipe, how):
    end = "reader" if how == "the reader has gone" else "writer"
    writer = Writer(pipe["writer"], lost)
    os.close(pipe[end])
    pipe[end] = None
    writer.write(b"x\n")
    assert not writer.flush(10.0)
    assert writer.error.errno == (errno.EPIPE if end == "reader" else errno.EBADF)
    writer.write(b"y\n")
    assert not writer._pieces


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_disk_that_is_full_is_tried_again_with_the_next_line():
    full = os.open("/dev/full", os.O_WRONLY)
    writer = Writer(full, lost)
    try:
        writer.write(b"x\n")
        writer.flush(10.0)
        assert writer.error is None
        reader, other = os.pipe()
        os.dup2(other, full)
        os.close(other)
        writer.write(b"y\n")
        assert writer.flush(10.0)
        assert os.read(reader, 100) == b"y\n1 lost\n"
        os.close(reader)
    finally:
        os.close(full)


def test_a_descriptor_that_does_not_block_is_waited_for(pipe):
    os.set_blocking(pipe["writer"], False)
    writer = Writer(pipe["writer"], lost)
    writer.write(b"x" * 3 * PIPE_BYTES)
    text = b""
    while len(text) < 3 * PIPE_BYTES:
        text += os.read(pipe["reader"], PIPE_BYTES)
    assert writer.flush(10.0)
    assert writer.error is None


def test_without_a_thread_it_writes_by_itself(pipe, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    writer = Writer(pipe["writer"], lost)
    writer.write(b"x\n")
    assert os.read(pipe["reader"], 100) == b"x\n"


def test_a_child_process_begins_anew(pipe):
    writer = Writer(pipe["writer"], lost)
    writer.write(b"x\n")
    assert writer.flush()
    writer.after_fork()
    writer.write(b"y\n")
    assert writer.flush()
    assert os.read(pipe["reader"], 100) == b"x\ny\n"


def test_many_threads_lose_nothing_that_is_read(pipe):
    writer = Writer(pipe["writer"], lost)
    threads = [threading.Thread(target=lambda: [writer.write(b"z\n") for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    text = b""
    while len(text) < 8 * 500 * 2:
        text += os.read(pipe["reader"], 65_536)
    for thread in threads:
        thread.join()
    assert writer.flush(10.0)
    assert text == b"z\n" * 4_000
