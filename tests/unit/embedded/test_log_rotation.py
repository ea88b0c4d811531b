"""The log of a child: cut while it goes on writing, and what an error quotes of it."""

from __future__ import annotations

import shutil
import stat
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

from reconciler.embedded import processes
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

WRITER = """
import sys, time
from pathlib import Path
folder = Path(sys.argv[1])
for number in range(20_000):
    print(f"line {number}", flush=True)
(folder / "written").touch()
while not (folder / "go").exists():
    time.sleep(0.01)
print("last", flush=True)
"""


def test_a_log_is_cut_while_its_process_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT", 50_000)
    log, older = tmp_path / "child.log", tmp_path / "child.log.1"
    child = processes.spawn([sys.executable, "-c", WRITER, str(tmp_path)], log=log)
    rotations = 0
    while not (tmp_path / "written").exists() or log.stat().st_size > processes.LOG_LIMIT:
        rotations += processes.rotate_log(log)
        assert child.poll() is None
    (tmp_path / "go").touch()
    assert child.wait(PATIENCE_S) == 0
    assert rotations > 0
    assert log.stat().st_size <= processes.LOG_LIMIT + len("last\n")
    assert stat.S_IMODE(older.stat().st_mode) == 0o600
    assert "\0" not in log.read_text(), "the child goes on at the beginning of the file"
    assert log.read_text().endswith("last\n")


def test_a_log_below_its_limit_stays(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    assert processes.rotate_log(log) is False
    log.write_text("one line\n")
    assert processes.rotate_log(log) is False
    assert log.read_text() == "one line\n"


INITDB = """\
running bootstrap script ... FATAL:  could not extend file "base/1/2703"
HINT:  Check free disk space.
PANIC:  cannot abort transaction 1, it was already committed
Aborted
child process exited with exit code 134
initdb: removing data directory "data.new"
"""


def test_an_error_quotes_the_cause_before_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_text(f"FATAL:  of another start\n{INITDB}")
    quoted = processes.last_lines(log, log.stat().st_size - len(INITDB))
    assert quoted.split(" / ") == INITDB.splitlines()
    log.write_text("1\n2\n3\nLOG:  ready\n")
    assert processes.last_lines(log, 0) == "2 / 3 / LOG:  ready"


def test_an_error_says_that_no_space_was_left_for_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "postgres.log"
    assert processes.last_lines(log, 0) == "it wrote nothing"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert processes.last_lines(log, 0) == f"it wrote nothing, as no space is left in {tmp_path}"
