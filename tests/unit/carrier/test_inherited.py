"""Descriptors that a forked child closes, and those that it must not."""

import os
import socket
from contextlib import contextmanager

import pytest
from braidmq.carrier.inherited import close_copy


@contextmanager
def connection(family, host):
    with socket.socket(family) as listener, socket.socket(family) as client:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        listener.listen()
        port = listener.getsockname()[1]
        client.connect((host, port))
        copy = os.dup(client.fileno())
        try:
            yield copy, port
        finally:
            if is_open(copy):
                os.close(copy)


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("family", "host", "written"), [
    (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    (socket.AF_INET6, "::1", "[::1]"),
    (socket.AF_INET6, "::1", "[0:0:0:0:0:0:0:1]"),
])  # fmt: skip
def test_the_connection_to_that_broker_is_closed(family, host, written):
    with connection(family, host) as (copy, port):
        close_copy(copy, f"tcp://{written}:{port}")
        assert not is_open(copy)


def test_what_else_the_number_stands_for_is_left_alone():
    with connection(socket.AF_INET, "127.0.0.1") as (copy, port):
        for endpoint in (f"tcp://127.0.0.2:{port}", f"tcp://127.0.0.1:{port % 65_535 + 1}", f"tcp://[::1]:{port}"):
            close_copy(copy, endpoint)
            assert is_open(copy)
    one, other = socket.socketpair()
    with one, other:
        close_copy(one.fileno(), "tcp://127.0.0.1:5551")
        assert is_open(one.fileno())
    reading, writing = os.pipe()
    close_copy(reading, "tcp://127.0.0.1:5551")
    assert is_open(reading)
    os.close(reading), os.close(writing)
    close_copy(reading, "tcp://127.0.0.1:5551")
