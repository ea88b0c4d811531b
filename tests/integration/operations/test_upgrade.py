"""Two versions of the program on one database, while peers enroll."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND, write
from tests.support.gateways.enrollee import Enrollee, grant_manifest, peer_manifest
from tests.support.gateways.gateway import Up
from tests.support.ports import free_port
from tests.support.project.checkout import ROOT
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gateways.step_ca import Authority

MIGRATION: Final = """
from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE federation_grants ADD COLUMN note text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE federation_certificates ADD COLUMN note text NOT NULL DEFAULT ''")
    op.execute("CREATE TABLE federation_later (id int)")
    op.execute("GRANT SELECT ON federation_later TO PUBLIC")  # the roles are made anew
"""


def later_version(folder: Path, head: str) -> str:
    """Write a copy of this program that has one migration more; return its PYTHONPATH."""
    for name in ("reconciler", "migrations", "schemas", "step-ca"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (folder / "migrations/versions/9999_later.py").write_text(MIGRATION.format(head=head))
    schema = folder / "reconciler/store/schema.py"
    known = "HEAD: Final = MIGRATIONS[-1]"
    assert known in schema.read_text()
    text = schema.read_text().replace(known, f'MIGRATIONS = (*MIGRATIONS, "9999")\n{known}')
    schema.write_text(text)
    return str(folder)


class Load:
    """Peers that enroll one after another, and a load balancer that asks whether it is ready."""

    def __init__(self, gateway: Quick, mosaic: Quick, grant: str) -> None:
        self._rows, self._grant = mosaic.rows, grant
        self._port = gateway.variables["MOSAIC_LISTEN"].rpartition(":")[2]
        self.wrong: list[str] = []
        self.enrolled = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def more(self) -> None:
        """Wait for an enrollment that begins from now on."""
        wanted = self.enrolled + 2
        wait_until(lambda: self.enrolled >= wanted or bool(self.wrong), "an enrollment")
        assert self.wrong == []

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set() and not self.wrong:
            url = f"https://127.0.0.1:{self._port}"
            with httpx.Client(
                base_url=url, verify=False, trust_env=False, timeout=PATIENCE_S
            ) as client:
                ready = client.get("/readyz")
                answer = Enrollee().enroll(client, self._rows.invite(self._grant))
            if (ready.status_code, answer.status_code) != (200, 201):
                self.wrong.append(f"{ready.text} {answer.text}")
            self.enrolled += 1


@contextmanager
def serving(gateway: Quick) -> Iterator[Up]:
    started = Up.begin([*COMMAND, "serve"], gateway.cwd, gateway.environ())
    try:
        started.wait_for("ready: ")
        yield started
    finally:
        assert started.stop() == 0, started.output


@pytest.mark.usefixtures("own_logins")
def test_a_replica_of_the_version_before_stays_ready_and_right_through_an_upgrade(
    tmp_path: Path, database_url: str, shared_authority: Authority
) -> None:
    mosaic = shell(tmp_path, database_url)
    grants = {name: grant_manifest(name) for name in ("one", "two")}
    write(tmp_path / "manifests", beta=peer_manifest(), **grants)
    mosaic.ok("apply", "--yes")
    mosaic.ok("db", "roles", "--login", "logins/mosaic_gateway")
    common = {
        **mosaic.variables,
        "MOSAIC_DATABASE_URL": (tmp_path / "logins/mosaic_gateway/database-url").read_text(),
        "MOSAIC_PUBLIC_URL": "https://127.0.0.1",
        "MOSAIC_CA_URL": shared_authority.url,
        "MOSAIC_CA_ROOT": str(shared_authority.folder / "root_ca.crt"),
        "MOSAIC_CA_PROVISIONERS": str(shared_authority.folder),
        "MOSAIC_RATE_LIMIT": "0",
    }
    current = mosaic.document("db", "current")["current"]
    later = {"PYTHONPATH": later_version(tmp_path / "later", current)}
    old, new = (
        Quick(tmp_path, {**common, **extra, "MOSAIC_LISTEN": f"127.0.0.1:{free_port()}"})
        for extra in ({}, later)
    )
    with serving(old):
        load = Load(old, mosaic, "one")
        with load.running():
            load.more()
            done = mosaic.process.ok("db", "upgrade", **later)
            assert done.out == "the database is at migration 9999\n"
            load.more()
            with serving(new):
                beside = Load(new, mosaic, "two")
                with beside.running():
                    beside.more()
                load.more()
            load.more()
    assert (load.wrong, beside.wrong) == ([], [])

    mosaic.ok("db", "upgrade")
    mosaic.ok("apply", "--yes")
    assert "in force" in mosaic.ok("db", "check").out, "the way back is a restart"
    mosaic.ok("audit", "verify")
