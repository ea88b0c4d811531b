"""What begins and is over is told once each, whoever notices it, and after any restart."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.model.commits import Commit
from reconciler.core.plan.guard import GuardOptions
from reconciler.core.setting_values import SourceSetting
from reconciler.loops.conditions import Conditions
from reconciler.loops.run import Loop
from reconciler.loops.triggers import Triggers
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.db import Database
from reconciler.store.loop_status import Pass, begin_commit, pause, record_pass, resume
from reconciler.store.notices import targets
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.repositories.repository import Checkout

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.store.db import Tx
    from tests.support.gateways.grantor import Alpha
    from tests.support.gateways.joiner import Beta

ALL = (
    *("applied", "refused", "failing", "ending", "drift", "pause", "commit", "revoked"),
    *("enrolled", "theft", "withdrawn"),
)


@pytest.fixture
def rows(database_url: str) -> Rows:
    """A database in which a target is known, so that things are told."""
    known = Rows(database_url)
    with known.database.transaction() as tx:
        targets.register(tx, "hook", "json", ALL)
    return known


def documents(rows: Rows) -> list[Any]:
    """What each notice says."""
    stored = rows.rows("SELECT document FROM federation_notices ORDER BY seq")
    return [json.loads(each["document"])["data"] for each in stored]


def notices(rows: Rows) -> list[tuple[str, str, str]]:
    """The event, the state and the first object of each notice."""
    return [(d["event"], d["state"], d["items"][0]["subject"]) for d in documents(rows)]


def states(rows: Rows, first: int = 0) -> list[tuple[str, str]]:
    """The event and the state of each notice, from a place on."""
    return [(event, state) for event, state, _ in notices(rows)[first:]]


def last(rows: Rows) -> Any:
    return documents(rows)[-1]


def look(rows: Rows, *watches: Conditions) -> None:
    """Let each of the watches look once at everything, or a new one, as after a restart."""

    async def run() -> None:
        database = AsyncDatabase(rows.url, "test watch", pool_size=2)
        for watch in watches or (Conditions(database, "worker:tests"),):
            watch.database = database
            await watch.watch_clock()
            await watch.watch_drift()
        await database.close()

    asyncio.run(run())


def in_days(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def test_an_end_is_told_at_30_7_and_1_days_and_when_it_is_moved(rows: Rows) -> None:
    def declare(days: float) -> None:
        rows.apply(peer_manifest(), grant_manifest("one", expires=in_days(days)))
        look(rows)
        look(rows)

    declare(40)
    assert notices(rows)[1:] == []
    for days, within in ((29, "30 days"), (6.5, "7 days"), (0.9, "1 day")):
        declare(days)
        data = last(rows)
        assert (data["event"], data["state"]) == ("ending", "begun")
        assert data["title"] == "grant/one expires soon"
        assert f"expires within {within}, at " in data["items"][0]["text"]
    declare(3)
    declare(300)
    endings = [each for each in notices(rows) if each[0] == "ending"]
    begun, over = (("ending", state, "grant/one") for state in ("begun", "over"))
    assert endings == [*[begun] * 3, *[over] * 2]
    assert "expires at" in last(rows)["items"][0]["text"]


def test_several_ends_are_one_notice(rows: Rows) -> None:
    ends = (grant_manifest(name, expires=in_days(5)) for name in ("one", "two"))
    rows.apply(peer_manifest(), *ends)
    look(rows)
    assert last(rows)["title"] == "2 objects expire soon"


def test_a_grant_that_has_expired_is_told_once(rows: Rows) -> None:
    rows.apply(peer_manifest(), grant_manifest("one", expires=in_days(0.5)))
    look(rows)
    rows.tamper("UPDATE federation_grants SET expires_at = now() - interval '1 second'")
    rows.apply(peer_manifest())
    look(rows)
    endings = [each for each in notices(rows) if each[0] == "ending"]
    assert endings == [("ending", "begun", "grant/one"), ("ending", "over", "grant/one")]
    assert rows.one("SELECT count(*) FROM federation_conditions WHERE condition = 'ending'") == 0


def test_drift_is_told_once_by_several_watches_and_so_is_its_repair(rows: Rows) -> None:
    rows.apply(peer_manifest(), grant_manifest("one"), grant_manifest("two"))
    database = AsyncDatabase(rows.url, "unused", pool_size=1)
    watches = (Conditions(database, "worker:a"), Conditions(database, "worker:b"))
    look(rows, *watches)
    rows.run("UPDATE federation_grants SET scope = jsonb_set(scope, '{maxRowsPerQuery}', '9')")
    look(rows, *watches)
    look(rows, *watches)
    look(rows)
    assert states(rows, 1) == [("drift", "begun")]
    assert last(rows)["title"] == "Drift: 2 objects were changed by hand"
    assert last(rows)["count"] == 2
    assert last(rows)["items"][0]["effect"] == "narrows"
    assert "scope.maxRowsPerQuery 500 -> 9 NARROWS" in last(rows)["items"][0]["text"]
    rows.run("UPDATE federation_grants SET scope = jsonb_set(scope, '{maxRowsPerQuery}', '500')")
    look(rows, *watches)
    look(rows)
    assert states(rows, 2) == [("drift", "over")]


def test_a_pause_is_told_after_a_day_and_its_end_if_it_was_told(rows: Rows) -> None:
    with rows.database.transaction() as tx:
        pause(tx, "user:ada", "a migration")
        resume(tx, "user:ada")
        pause(tx, "user:ada", "a migration")
    look(rows)
    assert notices(rows) == []
    moved = "jsonb_set(paused, '{at}', to_jsonb(CAST(:at AS text)))"
    rows.run(f"UPDATE federation_applied SET paused = {moved}", at=in_days(-25 / 24))
    look(rows)
    look(rows)
    assert notices(rows) == [("pause", "begun", "reconciler")]
    assert "paused by user:ada" in last(rows)["items"][0]["text"]
    with rows.database.transaction() as tx:
        resume(tx, "user:ada")
    assert notices(rows)[1:] == [("pause", "over", "reconciler")]


def loop_over(rows: Rows, folder: Path, **manifests: str) -> tuple[Checkout, Loop]:
    """Return a new repository, and a loop over its branch `main`."""
    checkout = Checkout.make(folder / "repository", **manifests)
    source = SourceSetting(checkout.url, "main", "manifests", cache=str(folder / "cache"))
    return checkout, loop_of(rows, source)


def loop_of(rows: Rows, source: SourceSetting, actor: str = "loop:a") -> Loop:
    limits = GuardOptions(allow_empty=True)
    return Loop(Database(rows.url, "tests"), Triggers(source), actor, limits=limits)


def test_failing_is_told_once_by_two_replicas_and_recovered_once_neither_fails(
    rows: Rows, tmp_path: Path
) -> None:
    file = tmp_path / "all.yaml"
    one, two = (loop_of(rows, SourceSetting(str(tmp_path)), f"loop:{name}") for name in "ab")
    file.write_text(peer_manifest())
    one.one_pass()
    file.write_text(peer_manifest().replace("inbound", "inbond"))
    for loop in (one, two, one):
        loop.one_pass()
    assert notices(rows)[1:] == [("failing", "begun", "reconciler")]
    assert "all.yaml:5" in last(rows)["items"][0]["text"]
    file.write_text(peer_manifest())
    one.one_pass()
    assert notices(rows)[2:] == []  # the other still fails
    two.one_pass()
    loop_of(rows, SourceSetting(str(tmp_path)), "loop:c").one_pass()
    assert notices(rows)[2:] == [("failing", "over", "reconciler")]
    assert last(rows)["title"] == "Recovered: the source is applied again"


def test_what_may_pass_by_itself_is_told_after_a_minute(rows: Rows, tmp_path: Path) -> None:
    source = SourceSetting(f"file://{tmp_path}/none", "main")
    loop = loop_of(rows, source)
    loop.one_pass()
    assert rows.one("SELECT code FROM federation_reconcilers") == "source_unavailable"
    assert notices(rows) == []
    rows.run("UPDATE federation_reconcilers SET failing_since = now() - interval '2 minutes'")
    loop.one_pass()
    assert notices(rows) == [("failing", "begun", "reconciler")]


def test_a_forge_is_told_of_each_commit_from_its_reading_on(rows: Rows, tmp_path: Path) -> None:
    checkout, loop = loop_over(rows, tmp_path, beta=peer_manifest(), one=grant_manifest("a"))
    loop.one_pass()
    assert states(rows) == [("commit", "begun"), ("applied", "once")]
    assert last(rows)["commit"]["id"] == checkout.head
    checkout.write(one=grant_manifest("a") + "\n# a comment\n")
    checkout.commit("a comment")
    loop.one_pass()
    loop.one_pass()
    assert states(rows, 2) == [("commit", "begun"), ("commit", "over")]
    checkout.write(one=grant_manifest("a").replace("tasks", "taks"))
    checkout.commit("a slip")
    loop.one_pass()
    loop.one_pass()
    assert states(rows, 4) == [("commit", "begun"), ("failing", "begun")]
    assert last(rows)["commit"]["subject"] == "a slip"
    checkout.write(one=grant_manifest("a"))
    checkout.commit("mended")
    loop.one_pass()
    assert states(rows, 6) == [("commit", "begun"), ("commit", "over"), ("failing", "over")]


def test_a_commit_that_was_overtaken_is_superseded_and_one_that_failed_stays_so(
    rows: Rows, tmp_path: Path
) -> None:
    checkout, loop = loop_over(rows, tmp_path, beta=peer_manifest(), one=grant_manifest("a"))
    with rows.database.transaction() as tx:
        pause(tx, "user:ada", "a freeze")
    overtaken = [checkout.head]
    loop.one_pass()
    checkout.write(one=grant_manifest("a", rows=7))
    overtaken.append(checkout.commit("overtaken too"))
    loop.one_pass()
    checkout.write(one="kind: [")
    failed = checkout.commit("a slip")
    loop.one_pass()
    assert states(rows) == [*(("commit", "begun"),) * 3, ("failing", "begun")]
    with rows.database.transaction() as tx:
        resume(tx, "user:ada")
    checkout.write(one=grant_manifest("a", rows=9))
    applied = checkout.commit("mended")
    before = len(notices(rows))
    loop.one_pass()
    superseded = [each for each in documents(rows)[before:] if each["event"] == "superseded"]
    assert sorted(each["commit"]["id"] for each in superseded) == sorted(overtaken)
    assert superseded[0]["items"][0]["text"] == f"the newer commit {applied[:12]} is applied"
    assert failed not in {each["commit"]["id"] for each in superseded}
    assert rows.one("SELECT count(*) FROM federation_conditions WHERE condition = 'commit'") == 0


def test_a_commit_that_was_read_meanwhile_by_another_replica_stays_pending(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, loop = loop_over(rows, tmp_path, beta=peer_manifest())
    loop.one_pass()
    checkout.write(one=grant_manifest("a"))
    older = checkout.commit("older")
    newer = Commit("f" * 40, "Ada <ada@alpha.example>", "newer", datetime.now(UTC))

    def record_late(tx: Tx, ended: Pass) -> None:
        begin_commit(tx, "loop:b", loop.triggers.source.shown, newer)
        record_pass(tx, ended)

    monkeypatch.setattr("reconciler.loops.run.record_pass", record_late)
    loop.one_pass()
    assert rows.one("SELECT source_revision FROM federation_applied") == older
    assert rows.one("SELECT key FROM federation_conditions WHERE condition = 'commit'") == newer.id


def test_a_refusal_of_a_commit_is_told_for_that_commit(rows: Rows, tmp_path: Path) -> None:
    many = {f"g{number}": grant_manifest(f"g{number}") for number in range(8)}
    checkout, loop = loop_over(rows, tmp_path, beta=peer_manifest(), **many)
    loop.one_pass()
    for name in many:
        (checkout.path / "manifests" / f"{name}.yaml").unlink()
    checkout.commit("gone")
    loop.one_pass()
    loop.one_pass()
    assert states(rows, 2) == [("commit", "begun"), ("refused", "begun")]
    assert last(rows)["commit"]["id"] == checkout.head
    assert "(guard_removals)" in last(rows)["items"][0]["text"]


def test_nothing_is_recorded_while_there_is_no_target(database_url: str, tmp_path: Path) -> None:
    rows = Rows(database_url)
    loop = loop_of(rows, SourceSetting(str(tmp_path)))
    (tmp_path / "all.yaml").write_text("kind: [")
    loop.one_pass()
    look(rows)
    assert rows.one("SELECT count(*) FROM federation_audit_log") == 0
    with rows.database.transaction() as tx:
        targets.register(tx, "hook", "json", ALL)
    loop.one_pass()
    assert notices(rows) == [("failing", "begun", "reconciler")]


def test_an_enrollment_is_told_on_both_sides_once(alpha: Alpha, beta: Beta) -> None:
    beta.join(alpha.invitation())
    assert notices(alpha.rows)[1:] == [("enrolled", "once", "grant/beta-tasks")]
    assert notices(beta.rows)[-1][:2] == ("enrolled", "once")
    assert alpha.rows.one("SELECT count(*) FROM federation_notices WHERE event = 'enrolled'") == 1
