"""An apply that another command overtakes after the source was read: it undoes nothing of that."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.cli.shared.context import open_database
from reconciler.core.setting_values import SourceSetting
from reconciler.errors import Refused
from reconciler.reconcile import ApplyOptions, apply, read
from reconciler.store.apply.provenance import last_applied
from reconciler.store.db import Database
from tests.support.commands.in_process import Quick, shell_with_a_grant
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    return shell_with_a_grant(tmp_path, database_url)


def overtake(mosaic: Quick, monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """Apply the source, and let something else happen between reading it and the database."""

    @contextmanager
    def opened(*arguments: Any, **options: Any) -> Iterator[Database]:
        monkeypatch.undo()
        other()
        with open_database(*arguments, **options) as database:
            yield database

    monkeypatch.setattr("reconciler.cli.plan.display.open_database", opened)
    mosaic.ok("apply", "--yes")


def test_what_another_apply_has_added_meanwhile_is_not_revoked(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other() -> None:
        write(mosaic.cwd / "manifests", y=grant_manifest("y"))
        mosaic.process.ok("apply", "--yes")

    overtake(mosaic, monkeypatch, other)
    assert mosaic.statuses() == {"x": "pending", "y": "pending"}


def test_what_was_renamed_meanwhile_is_not_revoked(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtake(mosaic, monkeypatch, lambda: mosaic.process.ok("rename", "grant/x", "z"))
    assert mosaic.statuses() == {"z": "pending"}


def test_a_loop_that_has_read_the_old_name_reads_again(mosaic: Quick, database_url: str) -> None:
    database = Database(database_url, "tests")
    with database.transaction() as tx:
        older = read(SourceSetting(str(mosaic.cwd / "manifests")), "loop:slow", last_applied(tx))
    mosaic.ok("rename", "grant/x", "z")
    with pytest.raises(Refused, match="another apply came after the source was read"):
        apply(database, older.desired, older.by, ApplyOptions(generation=older.generation))
    assert mosaic.statuses() == {"z": "pending"}
