"""What lies in a source under the name of a journal, and is none: it is in nobody's way."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.store.rollback_journal import PREFIX
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADS: Final = {
    "before": {"seq": 0, "hash": "00" * 32},
    "after": {"seq": 9, "hash": "00" * 32},
}


def _journal(**other: object) -> str:
    return json.dumps({"version": 1, "operation": "x", **HEADS, "files": [], **other})


def digest_of_x() -> str:
    return f"sha256:{sha256(grant_manifest('x').encode()).hexdigest()}"


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), x=grant_manifest("x"))
    return made


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5_000,
        _journal(files=[{"path": 5, "before": 1, "after": 2}]),
        _journal(files=[{"path": "a\0b", "before": None, "after": "x"}]),
        _journal(before={"seq": 1e999, "hash": ""}),
        _journal(before={"seq": 10**400, "hash": "00"}),
        _journal(files=[{"path": "circle/a", "before": None, "after": "x"}]),
        _journal(files=[{"path": "x.yaml/a", "before": None, "after": "x"}]),
        _journal(files=[{"path": f"{'a' * 256}/a", "before": None, "after": "x"}]),
        _journal(files=[{"path": "a" * 256, "before": None, "after": "x"}]),
        _journal(files=[{"path": "\ud800/a", "before": None, "after": "x"}]),
        _journal(files=[{"path": "x.yaml", "before": "\ud800", "after": digest_of_x()}]),
    ],
    ids=[
        *("deep", "other types", "a NUL", "infinite", "huge", "a circle of links", "below a file"),
        *("a long folder", "a long name", "a surrogate", "a surrogate as content"),
    ],
)
def test_a_file_that_no_command_wrote_stops_no_apply(mosaic: Quick, text: str) -> None:
    (mosaic.cwd / "manifests" / "circle").symlink_to("circle")
    (mosaic.cwd / "manifests" / f"{PREFIX}1").write_text(text)
    first = mosaic("apply", "--yes")
    assert (first.code, "internal" in first.err) in ((0, False), (5, False)), first.err
    mosaic.ok("apply", "--yes")
    assert mosaic.statuses() == {"x": "pending"}


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        os.mkdir,
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(path.name),
        lambda path: path.symlink_to("/dev/zero"),
    ],
    ids=["pipe", "folder", "link to nothing", "link in a circle", "link to a device"],
)
def test_what_is_no_file_is_no_journal(mosaic: Quick, make: Callable[[Path], None]) -> None:
    make(mosaic.cwd / "manifests" / f"{PREFIX}1")
    mosaic.ok("apply", "--yes")
    assert mosaic.statuses() == {"x": "pending"}


def test_a_journal_speaks_of_its_own_folder_alone(mosaic: Quick) -> None:
    other = mosaic.cwd / ".mosaic-1"
    other.write_text("somebody else's")
    files = [{"path": "../a.yaml", "before": None, "after": "x"}]
    (mosaic.cwd / "manifests" / f"{PREFIX}1").write_text(_journal(files=files))
    mosaic("apply", "--yes")
    assert other.read_text() == "somebody else's"
