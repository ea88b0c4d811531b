"""A database that was replaced behind a gateway: noticed, and refused until it is adopted."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.authority import Authority
from reconciler.config import Settings
from reconciler.errors import Retry
from reconciler.operations.backup import remembered_head
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.backup.database_identity import require_same_database
from reconciler.store.connection import probe
from tests.support.commands.in_process import Quick
from tests.support.commands.process import COMMAND
from tests.support.gateways.gateway import Up
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from reconciler.embedded.postgres.server import Cluster
    from reconciler.store.backup.database_identity import SeenHead


async def ready(url: str) -> None:
    async with Authority(url) as authority:
        await authority.require_ready()


def test_rows_on_another_server_are_refused_until_they_are_adopted(mosaic: Quick) -> None:
    token = mosaic.rows.invite("one")
    mosaic.rows.run("UPDATE federation_control SET system_identifier = '7'")
    verbs = (("grant", "list"), ("apply", "--yes"), ("audit", "list"), ("backup", "a.backup"))
    for verb in verbs:
        done = mosaic(*verb)
        assert (done.code, "mosaic federation restore --adopt" in done.err) == (78, True)
    with pytest.raises(Retry, match="another database server"):
        asyncio.run(ready(mosaic.rows.url))

    mosaic.ok("restore", "--adopt", "--yes")
    assert mosaic.token_status(token) == "void"
    assert mosaic("restore", "--confirm", "--yes").code == 1
    mosaic.ok("apply", "--yes")
    mosaic.ok("restore", "--confirm", "--yes")
    kinds = [each["kind"] for each in mosaic.document("audit", "list")]
    assert kinds[-2:] == ["gateway.adopted", "gateway.confirmed"]
    assert mosaic.document("drift") == []


@pytest.mark.parametrize("verb", ["--adopt", "--confirm"])
def test_no_transaction_is_open_while_a_person_thinks(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """It would be ended after a minute, and the command with it."""
    mosaic.rows.run("UPDATE federation_control SET system_identifier = '7'")
    if verb == "--confirm":
        mosaic.ok("restore", "--adopt", "--yes")
        mosaic.ok("apply", "--yes")
    idle: list[int] = []

    def ask(_question: str, *, yes: bool) -> None:
        idle.append(
            mosaic.rows.one(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle in transaction'"
            )
        )

    monkeypatch.setattr("reconciler.cli.backup.restore.confirm", ask)
    mosaic.ok("restore", verb)
    assert idle == [0]


def test_an_older_database_is_refused_by_what_a_file_remembers(
    mosaic: Quick, server: Cluster, database_url: str
) -> None:
    state = mosaic.cwd / "state"
    state.mkdir()
    mosaic.variables["MOSAIC_STATE_DIR"] = str(state)
    mosaic.ok("status")
    name = database_url.partition("@/")[2].partition("?")[0]
    probe.ensure_database(server.url("postgres"), f"older_{name}", name)
    mosaic.ok("grant", "revoke", "one", "--yes")
    mosaic.variables["MOSAIC_DATABASE_URL"] = server.url(f"older_{name}")

    for verb in (("grant", "list"), ("apply", "--yes")):
        done = mosaic(*verb)
        assert (done.code, "which this gateway has seen" in done.err) == (78, True)
    adopted = mosaic.ok("restore", "--adopt", "--yes")
    assert "repeat the holds and revocations that came after it" in adopted.out
    assert mosaic("restore", "--adopt", "--yes").code == 1, "once is enough"
    mosaic.ok("apply", "--yes")
    mosaic.ok("restore", "--confirm", "--yes")
    mosaic.ok("grant", "list")


@pytest.mark.parametrize("which", ["another server", "an older state"])
def test_a_loop_that_runs_ends_with_78_once_its_database_is_replaced(
    mosaic: Quick, which: str
) -> None:
    """And a record that others append meanwhile is remembered, as by an endpoint."""
    remembered = mosaic.cwd / "state" / "audit-head"
    remembered.parent.mkdir()
    mosaic.variables["MOSAIC_STATE_DIR"] = str(remembered.parent)
    loop = Up.begin([*COMMAND, "run"], mosaic.cwd, mosaic.environ())
    try:
        loop.wait_for("watched by")
        suspended = Quick(mosaic.cwd, mosaic.variables | {"MOSAIC_STATE_DIR": ""})
        suspended.ok("grant", "suspend", "one")
        head = mosaic.rows.one("SELECT seq FROM federation_audit_head")
        wait_until(lambda: json.loads(remembered.read_text())["seq"] == head, "it is remembered")
        if which == "another server":
            mosaic.rows.run("UPDATE federation_control SET system_identifier = '7'")
        else:
            later = json.loads(remembered.read_text()) | {"seq": head + 1}
            remembered.write_text(json.dumps(later))
        assert loop.process.wait(PATIENCE_S) == 78, loop.output
    finally:
        loop.stop()
    assert "mosaic federation restore --adopt" in loop.output


def test_a_gateway_that_cannot_remember_warns_once_and_remembers_as_soon_as_it_can(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = mosaic.cwd / "state"
    monkeypatch.setattr(remembered_head, "EVERY", timedelta(milliseconds=20))

    async def watch() -> None:
        database, stop = AsyncDatabase(mosaic.rows.url, "tests", pool_size=1), asyncio.Event()
        head = remembered_head.RememberedHead(Settings(state_dir=state))

        async def look(seen: SeenHead | None) -> SeenHead | None:
            return await database.run(require_same_database, seen)

        watching = asyncio.create_task(head.watch(stop, look))
        await asyncio.to_thread(wait_until, lambda: caplog.messages, "it warns")
        state.mkdir()
        await asyncio.to_thread(wait_until, (state / "audit-head").exists, "it remembers")
        stop.set()
        await watching
        await database.close()

    asyncio.run(watch())
    (warning,) = caplog.messages
    assert "audit-head cannot be written: No such file or directory" in warning
