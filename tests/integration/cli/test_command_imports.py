"""A command imports what it runs: no web server, no HTTP client and no watch of files."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

UNUSED: Final = (
    *("uvicorn", "starlette", "httpx", "watchfiles", "sqlalchemy", "alembic", "prometheus_client"),
)
_RUNNER: Final = """
import sys
from reconciler.cli.main import run
code = run(["federation", *sys.argv[1:]])
print("loaded:", *sys.modules, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), tasks=grant_manifest("tasks"))
    return made


@pytest.mark.parametrize(
    "arguments",
    [
        ("apply", "--yes"),
        ("apply", "--yes", "--invite-dir", "handed"),
        ("plan",),
        ("grant", "list"),
        ("validate",),
    ],
)
def test_a_command_loads_no_web_server_no_http_client_and_no_watch(
    mosaic: Quick, arguments: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUNNER, *arguments],
        cwd=mosaic.cwd,
        env=mosaic.environ({}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stderr.splitlines()[-1].split()
    assert "psycopg" in loaded or arguments == ("validate",)
    assert [name for name in UNUSED if name in loaded] == []
