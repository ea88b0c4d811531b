"""Tests for files: whole or not at all, and never over what somebody else wrote."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from reconciler.files import content_of, replace_file, write_new

if TYPE_CHECKING:
    from pathlib import Path

_WRITER = """
import sys
from pathlib import Path
from reconciler.files import replace_file
path = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for byte in (b"a", b"b"):
        replace_file(path, byte * 200_000)
"""


def test_a_new_file_has_its_content_and_mode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    assert write_new(tmp_path / "key", b"secret", 0o400) is True
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o400
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"first")
    assert write_new(tmp_path / "key", b"second") is False
    assert (tmp_path / "key").read_bytes() == b"first"


def test_replacing_keeps_the_mode_unless_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "beta.yaml"
    path.write_bytes(b"old")
    path.chmod(0o640)
    replace_file(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o640)
    replace_file(path, b"newer", 0o600)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"newer", 0o600)


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    assert write_new(path, b"1") is True
    replace_file(path, b"2")
    assert path.read_bytes() == b"2"


def test_what_cannot_be_renamed_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        replace_file(tmp_path / "folder", b"x", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_a_reader_never_sees_half_a_file_though_the_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "beta.yaml"
    path.write_bytes(b"a" * 200_000)
    command = [sys.executable, "-c", _WRITER, os.fspath(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        seen = [path.read_bytes() for _ in range(200)]
        writer.kill()
    seen.append(path.read_bytes())
    assert {bytes(set(each)) for each in seen} <= {b"a", b"b"}
    assert {len(each) for each in seen} == {200_000}


@pytest.mark.parametrize("held", [0, 1, 4096, 4097, 9999, 10_000, 10_001, 50_000])
@pytest.mark.parametrize("size", [0, 4096, 10_000, 50_000])
def test_what_a_file_holds_is_read_whatever_size_it_had(
    tmp_path: Path, held: int, size: int
) -> None:
    """A file may grow or shrink after its size was asked for; one that is too large says so."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(held))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = content_of(descriptor, size, 10_000)
    finally:
        os.close(descriptor)
    assert path.read_bytes().startswith(content)
    assert len(content) == held if held <= 10_000 else 10_000 < len(content) <= 20_001
