"""What a step has freed is there for the next one."""

import ctypes
import json
import platform
import subprocess
import sys

import pytest

BYTES = 16 * 2**20
STEP = f"""
import ctypes, json, sys
from rheostat.trainer.memory import keep_freed_memory

FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "keeps":
    assert keep_freed_memory()
before = libc.mallinfo2()
gradient = libc.malloc({BYTES})
meanwhile = libc.mallinfo2()
libc.free(gradient)
after = libc.mallinfo2()
print(json.dumps({{
    "mapped": meanwhile.hblkhd - before.hblkhd,
    "kept": after.arena + after.hblkhd - before.arena - before.hblkhd,
}}))
"""


def step(how):
    """Return the bytes that one large allocation maps by itself, and those that are left of it."""
    command = [sys.executable, "-c", STEP, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="mallopt and mallinfo2 are those of glibc, since 2.33",
)
def test_memory_that_a_step_has_freed_stays_in_the_process():
    forgotten, kept = step("forgets"), step("keeps")

    assert forgotten["mapped"] >= BYTES
    assert forgotten["kept"] == 0
    assert kept["mapped"] == 0
    assert kept["kept"] >= 0.9 * BYTES
