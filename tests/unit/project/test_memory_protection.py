"""The memory of a process that holds keys."""

from __future__ import annotations

import subprocess
import sys

from tests.support.waiting import PATIENCE_S

PROGRAM = """
import ctypes, resource, subprocess, sys
from reconciler.memory_protection import protect_memory
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
protect_memory()
limits = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
sys.stdout.flush()
subprocess.run([sys.executable, "-c", limits], check=True)
"""


def test_no_core_is_dumped_of_it_and_its_children_and_nobody_traces_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout.splitlines() == ["0 (0, 0)", "(0, 0)"]
