"""`version`: this program, its commit, and what it runs with."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from typing import TYPE_CHECKING

from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from tests.support.commands.in_process import Quick


def test_version_says_what_runs(mosaic: Quick) -> None:
    head = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    server = mosaic.rows.one("SHOW server_version")
    document = mosaic.ok("version", "-o", "json").document
    assert document["version"] == metadata.version("mosaic-federation")
    assert document["commit"] == commit
    assert document["python"] == platform.python_version()
    assert document["stepCa"] == "0.30.2"
    assert document["postgresql"]["server"] == server.partition(" ")[0]
    assert int(document["postgresql"]["client"].partition(".")[0]) >= 15
    table = mosaic.ok("version").out.splitlines()
    assert table[0].startswith(f"mosaic-federation {document['version']} (commit {commit[:12]}, ")
    assert table[1] == "step-ca 0.30.2"
    assert table[2].startswith(f"PostgreSQL {document['postgresql']['server']} (client ")


def test_version_is_said_wherever_the_settings_are_wrong(mosaic: Quick) -> None:
    away = {"MOSAIC_DATABASE_URL": "postgresql://mosaic:s3cret@127.0.0.1:1/mosaic"}
    for variables, reason in (
        (away, "Connection refused"),
        ({"MOSAIC_LISTEN": "x"}, "MOSAIC_LIST"),
    ):
        done = mosaic("version", "-o", "json", **variables)
        assert done.code == 0
        assert done.document["postgresql"]["server"] is None
        assert reason in done.err
        assert "s3cret" not in done.err


def test_version_needs_no_word_before_it(mosaic: Quick) -> None:
    words = [str(ROOT / ".venv/bin/mosaic"), "version", "--output", "json"]
    done = subprocess.run(words, env=mosaic.environ({}), capture_output=True, check=True)
    assert done.stdout.decode() == mosaic.ok("version", "--output", "json").out
