"""What a step has freed is there for the next one."""

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, sys, torch
from rheostat.trainer.memory import keep_freed_memory

if sys.argv[1] == "keeps":
    assert keep_freed_memory()

def step():
    # Gradients of 1 to 20 MB, all there at once, then all freed.
    return [torch.ones(size * 262_144) for size in (1, 9, 20)].clear()

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how):
    command = [sys.executable, "-c", STEPS, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_that_a_step_has_freed_costs_the_next_one_no_page_faults():
    assert page_faults("forgets") > 1000, "without it, there is something to spare"
    assert page_faults("keeps") < 100
