"""The one lock: who has it, how long it is waited for, and that nobody keeps it by dying."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
import sqlalchemy as sa

from reconciler.errors import Retry
from reconciler.store import locks
from reconciler.store.db import Database
from reconciler.store.locks import MAX_NAME, application_name, locked
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND, write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND: Final = timedelta(seconds=1)
WAITS_IN_THE_TRANSACTION: Final = (
    "SELECT w.pid FROM pg_stat_activity AS w JOIN pg_locks AS l ON l.pid = w.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND w.wait_event_type = 'Lock'"
    " AND w.datname = current_database()"
)


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside an applied source of one peer and one grant."""
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), a=grant_manifest("a"))
    made.ok("apply", "--yes")
    return made


@contextmanager
def stuck_apply(mosaic: Quick) -> Iterator[subprocess.Popen[bytes]]:
    """Start an apply that has the lock and waits, in its transaction, for a row that we hold."""
    write(mosaic.cwd / "manifests", a=grant_manifest("a", rows=7))
    ours = sa.create_engine(mosaic.variables["MOSAIC_DATABASE_URL"].replace("://", "+psycopg://"))
    with ours.begin() as held:
        held.execute(sa.text("SELECT id FROM federation_grants FOR UPDATE"))
        process = subprocess.Popen(
            [*COMMAND, "apply", "--yes"],
            cwd=mosaic.cwd,
            env=mosaic.environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: mosaic.rows.rows(WAITS_IN_THE_TRANSACTION), "it is stuck")
            yield process
        finally:
            process.kill()
            process.wait(PATIENCE_S)
    ours.dispose()


def test_who_waits_in_vain_is_told_which_process_holds_the_lock_and_since_when(
    mosaic: Quick,
) -> None:
    with stuck_apply(mosaic) as holder:
        done = mosaic("apply", "--yes", "--wait-lock", "1s", "--output", "json")
    assert (done.code, done.error["code"]) == (4, "lock_held")
    assert re.fullmatch(
        rf"another process holds the lock: mosaic apply pid {holder.pid} \S+@\S+"
        r" \(as \w+, backend [0-9]+\), since 20\S+Z",
        done.error["message"],
    )
    assert "--wait-lock" in done.error["hint"]


def test_an_apply_that_is_killed_in_its_transaction_may_be_run_again_at_once(
    mosaic: Quick,
) -> None:
    with stuck_apply(mosaic) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait(PATIENCE_S)
        # the row is still taken, so the dead one's session would go on waiting, with the lock
        with locked(mosaic.rows.database, 60 * SECOND):
            assert mosaic.grant("a")["scope"]["maxRowsPerQuery"] == 500
    assert "Applied: 0 added, 1 changed" in mosaic.ok("apply", "--yes").out
    assert mosaic.grant("a")["scope"]["maxRowsPerQuery"] == 7
    mosaic.ok("audit", "verify")


def test_another_database_of_the_server_has_a_lock_of_its_own(
    mosaic: Quick, empty_database_url: str
) -> None:
    elsewhere = Database(empty_database_url, "mosaic apply pid 1 eve@elsewhere")
    here = Database(mosaic.variables["MOSAIC_DATABASE_URL"], "mosaic run pid 2 ada@here")
    with locked(elsewhere, SECOND), locked(here, SECOND):
        done = mosaic("apply", "--yes", "--wait-lock", "0s")
    assert done.code == 4
    assert "mosaic run pid 2 ada@here" in done.err


def test_a_role_that_may_not_see_since_when_is_told_the_rest(mosaic: Quick) -> None:
    url = mosaic.variables["MOSAIC_DATABASE_URL"]
    mosaic.rows.run(
        "DO $$ BEGIN CREATE ROLE guest LOGIN PASSWORD 'guest';"
        " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    guest = Database(re.sub(r"//[^@/]*@", "//guest:guest@", url), "mosaic apply pid 3 guest@here")
    with (
        locked(Database(url, "mosaic run pid 2 ada@here"), SECOND),
        pytest.raises(Retry, match=r"mosaic run pid 2 ada@here \(as \w+, backend \d+\)$"),
        locked(guest, SECOND / 10),
    ):
        pass


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        ("ada@alpha", "ada@alpha"),
        ("a-rather-long-user-name@gateway-7d9f8b6c5-abcde", "@gateway-7d9f8b6c5-abcde"),
        (f"somebody@{'x' * 60}-abcde", "xxx-abcde"),
        ("zoë@alpha", "zo?@alpha"),
        (f"{'ü' * 40}@alpha", "?@alpha"),
    ],
)
def test_a_connection_names_its_process_and_its_host_however_long_names_are(
    monkeypatch: pytest.MonkeyPatch, actor: str, expected: str
) -> None:
    monkeypatch.setattr(locks, "actor_name", lambda: actor)
    name = application_name("grant suspend")
    assert len(name.encode()) <= MAX_NAME
    assert name.startswith(f"mosaic grant suspend pid {os.getpid()} ")
    assert name.endswith(expected)
