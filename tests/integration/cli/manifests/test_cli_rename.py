"""Another name for what lives: no certificate ends, and git and rows agree right after."""

from __future__ import annotations

import subprocess
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.store.locks import locked
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND, write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

HOLDS = "SELECT serial, grant_id::text, peer_name, grant_name, holds FROM federation_authority"


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(
        tmp_path / "manifests",
        beta=f"# the other side\n{peer_manifest().lstrip()}",
        a=grant_manifest("a"),
        b=grant_manifest("b"),
    )
    made.ok("apply", "--yes")
    made.enroll("a")
    return made


def test_a_renamed_grant_keeps_its_certificate(mosaic: Quick) -> None:
    (before,) = mosaic.rows.rows(HOLDS)
    mosaic.ok("rename", "grant/a", "orders")

    (after,) = mosaic.rows.rows(HOLDS)
    assert after == before | {"grant_name": "orders"}
    assert mosaic.statuses() == {"b": "pending", "orders": "active"}
    plan = mosaic.document("plan")
    assert plan["changes"] == []
    assert mosaic.ok("apply", "--yes").out.splitlines()[-1] == "Nothing to do."
    entry = mosaic.document("audit", "list")[-1]
    assert (entry["kind"], entry["subject"]) == ("grant.renamed", "grant/orders")


def test_a_renamed_peer_is_followed_by_its_grants_in_every_file(mosaic: Quick) -> None:
    (before,) = mosaic.rows.rows(HOLDS)
    drifted = mosaic.document("drift")
    output = mosaic.ok("rename", "peer/beta", "gamma").out
    assert output.count("wrote ") == 3
    (after,) = mosaic.rows.rows(HOLDS)
    assert after == before | {"peer_name": "gamma"}
    assert mosaic.document("plan")["changes"] == []
    assert mosaic.document("drift") == drifted, "a rename is no change by hand"
    text = (mosaic.cwd / "manifests/beta.yaml").read_text()
    assert text.startswith("# the other side\n")


def test_a_manifest_that_is_a_link_stays_one_and_what_it_leads_to_is_rewritten(
    mosaic: Quick, tmp_path: Path
) -> None:
    folder = tmp_path / "manifests"
    (folder / "a.yaml").rename(folder / "a.txt")
    (folder / "a.yaml").symlink_to("a.txt")
    mosaic.ok("rename", "grant/a", "orders")
    mosaic.ok("fmt")
    assert (folder / "a.yaml").is_symlink()
    assert "name: orders" in (folder / "a.txt").read_text()
    assert mosaic.document("plan")["changes"] == []


def test_a_name_that_is_taken_held_or_not_there_changes_nothing(mosaic: Quick) -> None:
    mosaic.ok("grant", "revoke", "b", "--yes")
    files = {path: path.read_bytes() for path in (mosaic.cwd / "manifests").iterdir()}
    for old, new, says in (
        ("grant/a", "b", "exists already"),
        ("grant/b", "c", "no live grant/b"),
        ("grant/nobody", "c", "no live grant/nobody"),
        ("grant/a", "Not-A-Label", "expected a name"),
    ):
        failed = mosaic("rename", old, new)
        assert failed.code == 1
        assert says in failed.err
    assert {path: path.read_bytes() for path in (mosaic.cwd / "manifests").iterdir()} == files
    assert mosaic.grant("a")["status"] == "active"


def test_a_manifest_that_changes_while_the_lock_is_waited_for_is_not_overwritten(
    mosaic: Quick,
) -> None:
    path = mosaic.cwd / "manifests/a.yaml"
    edited = path.read_text().replace("maxRowsPerQuery: 500", "maxRowsPerQuery: 5")
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(mosaic.rows.database, timedelta(seconds=5)):
            held.set()
            free.wait(PATIENCE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(PATIENCE_S)
    renaming = subprocess.Popen(
        [*COMMAND, "rename", "grant/a", "orders"],
        cwd=mosaic.cwd,
        env=mosaic.environ({}),
        stderr=subprocess.PIPE,
        text=True,
    )
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
    wait_until(lambda: mosaic.rows.one(waiting), "it waits for the lock")
    path.write_text(edited)
    free.set()
    holder.join()
    _, result = renaming.communicate(timeout=PATIENCE_S)
    assert renaming.returncode == 5
    assert "a.yaml has changed since it was read" in result
    assert path.read_text() == edited
    assert "orders" not in mosaic.statuses()


def test_a_comment_after_a_mapping_in_braces_stays(mosaic: Quick) -> None:
    path = mosaic.cwd / "manifests/gamma.yaml"
    text = (
        "{apiVersion: federation.mosaicstack.dev/v1, kind: Peer, metadata: {name: gamma},"
        " spec: {direction: inbound, displayName: g}}\n  # about gamma\n"
    )
    path.write_text(text)
    mosaic.ok("apply", "--yes")
    mosaic.ok("rename", "peer/gamma", "delta")
    assert path.read_text() == text.replace("name: gamma", "name: delta")
    assert mosaic("plan", "--detailed-exitcode").code == 0


def test_a_peer_that_is_known_by_its_name_alone_is_renamed_and_nothing_is_pending(
    mosaic: Quick,
) -> None:
    path = mosaic.cwd / "manifests/gamma.yaml"
    text = (
        "%YAML 1.2\n---\napiVersion: federation.mosaicstack.dev/v1\nkind: Peer\n"
        "metadata: {name: gamma} # theirs\nspec:\n  direction: inbound # they call us\n"
    )
    path.write_text(text)
    mosaic.ok("apply", "--yes")
    mosaic.ok("rename", "peer/gamma", "delta")
    renamed = text.replace("name: gamma", "name: delta")
    assert path.read_text() == f"{renamed}  displayName: gamma\n"
    assert mosaic("plan", "--detailed-exitcode").code == 0
