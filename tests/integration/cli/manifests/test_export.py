"""`export` writes what the rows are: a plan from it has nothing to do, whatever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings

from reconciler.core.plan.guard import GuardOptions
from reconciler.core.source import Source, SourceFile
from reconciler.manifest.load import load
from reconciler.reconcile import ApplyOptions, apply, plan
from reconciler.store.apply.provenance import Provenance
from reconciler.store.db import Database
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.database.cluster import new_database
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.manifests.strategies import desired

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.model.spec import Desired
    from reconciler.embedded.postgres.server import Cluster


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(desired())
def test_a_plan_of_what_was_exported_is_empty(
    server: Cluster, template: str, tmp_path: Path, source: Desired
) -> None:
    with new_database(server, template) as url:
        database = Database(url, "tests")
        apply(
            database,
            source,
            Provenance("user:tests", "tests"),
            ApplyOptions(GuardOptions(allow_empty=True)),
        )

        exported = Quick(tmp_path, {"MOSAIC_DATABASE_URL": url}).ok("export").out
        files = (SourceFile("all.yaml", exported.encode()),) if exported else ()
        again = load(Source("exported", files))
        with database.transaction() as tx:
            judged = plan(tx, again, GuardOptions(allow_empty=True))
    assert judged.plan.changes == ()
    assert {each.name for each in again.peers} == {each.name for each in source.peers}


def test_a_folder_is_exported_that_plans_to_nothing_beside_ended_and_held_rows(
    tmp_path: Path, database_url: str
) -> None:
    mosaic = shell(tmp_path, database_url)
    write(
        tmp_path / "manifests",
        beta=peer_manifest().replace("name: beta", "name: beta, labels: {tier: 'true'}"),
        a=grant_manifest("a", suspended="true", lifetime="90m"),
        b=grant_manifest("b"),
        c=grant_manifest("c"),
    )
    mosaic.ok("apply", "--yes")
    mosaic.ok("grant", "suspend", "a", "--reason", "for now")
    mosaic.ok("grant", "revoke", "b", "--yes")
    (tmp_path / "manifests/c.yaml").unlink()
    mosaic.ok("apply", "--yes")

    mosaic.ok("export", "out")
    exported = sorted(path.name for path in (tmp_path / "out").rglob("*.yaml"))
    assert exported == ["a.yaml", "beta.yaml"]
    plan = mosaic.document("plan", "out")
    assert plan["changes"] == []
    assert mosaic("export", "out").code == 1, "a folder that is there is not written into"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, database_url: str) -> None:
    mosaic = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest())
    mosaic.ok("apply", "--yes")
    (tmp_path / "file").write_text("in the way")
    failed = mosaic("export", "file/below")
    assert failed.code == 1
    assert "cannot be written: Not a directory" in failed.err
    assert "internal error" not in failed.err
