"""A process whose wall clock jumps waits as long as any other by the monotonic one."""

import os
import subprocess
import sys

import pytest

from faults.scenarios.jump_clock import JUMP_S, clock_is_off_by, environment, missing, offset_file

WAIT_S = 0.2

WAIT = f"""
import ctypes, time
libc = ctypes.CDLL(None)
attributes, condition, mutex = (ctypes.create_string_buffer(128) for _ in range(3))
libc.pthread_condattr_init(attributes)
libc.pthread_condattr_setclock(attributes, time.CLOCK_MONOTONIC)
libc.pthread_cond_init(condition, attributes)
libc.pthread_mutex_init(mutex, None)
libc.pthread_mutex_lock(mutex)
began_ns = time.monotonic_ns()
until = divmod(began_ns + {WAIT_S} * 10**9, 10**9)
libc.pthread_cond_timedwait(condition, mutex, (ctypes.c_long * 2)(*map(int, until)))
print((time.monotonic_ns() - began_ns) / 10**9)
"""


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("offset_s", [0, JUMP_S, -JUMP_S])
def test_only_the_wall_clock_is_off(tmp_path, offset_s):
    wrong = os.environ | environment(tmp_path)
    offset_file(tmp_path).write_text(f"{offset_s:+d}\n")
    assert clock_is_off_by(wrong) == pytest.approx(offset_s, abs=60)
    waited = subprocess.run([sys.executable, "-c", WAIT], env=wrong, capture_output=True, check=True, text=True)
    assert WAIT_S <= float(waited.stdout) < WAIT_S + 30
