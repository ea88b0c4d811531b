"""A gateway whose clock is 30 s off the clocks of its CA and its database."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from tests.support.gateways.gateway import TestGateway

LIBRARIES: Final = (
    *("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1"),
    *("/usr/lib64/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1"),
)


# libfaketime 0.9.10 answers clock_nanosleep(2) with EINVAL where only the wall clock is off
SLEEP: Final = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


def off(seconds: int, folder: Path) -> dict[str, str]:
    """Return the variables that put a process's wall clock off; `up` hands none to its children."""
    items = [path for each in LIBRARIES for path in Path("/").glob(each.lstrip("/"))]
    assert items, "there is no libfaketime: sh tools/faketime.sh"
    (folder / "sitecustomize.py").write_text(SLEEP)
    return {
        "PYTHONPATH": str(folder),
        "LD_PRELOAD": str(items[0]),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }


@pytest.fixture
def granting(gateway: TestGateway) -> TestGateway:
    write(gateway.manifests, beta=peer_manifest(), one=grant_manifest("one", lifetime="1h"))
    gateway.ok("apply", "--yes")
    return gateway


@pytest.mark.parametrize("seconds", [30, -30])
def test_a_clock_that_is_30_s_off_the_cas_stops_no_enrollment(
    granting: TestGateway, tmp_path: Path, seconds: int
) -> None:
    variables = off(seconds, tmp_path)
    completed = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert abs(float(completed.stdout) - datetime.now(UTC).timestamp() - seconds) < 5
    before = datetime.now(UTC)

    with granting.up(**variables) as running:
        serial = granting.enroll("one")
        (certificate,) = granting.grant("one")["certificates"]
        for child in ("postgres", "step-ca"):
            inherited = Path(f"/proc/{granting.child(child)}/environ").read_bytes()
            assert b"FAKETIME" not in inherited
        assert "Traceback" not in running.output

    assert certificate["serial"] == serial
    lived = datetime.fromisoformat(certificate["notAfter"]) - before
    assert timedelta(minutes=59) < lived < timedelta(minutes=61), "the database's clock counts"
