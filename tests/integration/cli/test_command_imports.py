"""A command imports what it runs: no web server, no HTTP client and no watch of files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import pytest

from reconciler.cli.main import federation
from reconciler.cli.main import mosaic as program
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S

UNUSED: Final = (
    *("uvicorn", "starlette", "httpx", "watchfiles", "sqlalchemy", "alembic", "prometheus_client"),
)
UNUSED_WITHOUT_CHANGES: Final = (
    *("pydantic", "ruamel.yaml", "msgspec", "wcwidth", "reconciler.core.audit.events"),
    *("reconciler.core.notices.derive", "reconciler.store.audit.log"),
)
_START: Final = """
import os, sys
from reconciler.cli.start import main
main()
os.write(2, " ".join(sys.modules).encode())
"""
_PLUGIN_SEARCH: Final = """
import atexit, importlib.metadata, os, sys
atexit.register(lambda: os.write(2, " ".join(sys.modules).encode()))
def entry_points(**_):
    sys.modules["looked"] = sys
    return ()
importlib.metadata.entry_points = entry_points
from reconciler.cli.start import main
main()
"""
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
    loaded = loaded_by(mosaic, _RUNNER, *arguments)
    assert "psycopg" in loaded or arguments == ("validate",)
    assert [name for name in UNUSED if name in loaded] == []


def test_a_plan_without_changes_loads_nothing_that_parses_or_writes(mosaic: Quick) -> None:
    home = mosaic.cwd / ".mosaic"  # for its cache
    home.mkdir(0o700)
    (home / "mosaic.toml").write_text("")
    mosaic("apply", "--yes")
    loaded = loaded_by(mosaic, _RUNNER, "plan")
    assert [name for name in UNUSED_WITHOUT_CHANGES if name in loaded] == []


def test_pydantic_searches_for_no_plugins(mosaic: Quick) -> None:
    loaded = loaded_by(mosaic, _PLUGIN_SEARCH, "federation", "validate")
    assert "looked" not in loaded
    assert "reconciler.manifest.models" in loaded


def loaded_by(mosaic: Quick, script: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=mosaic.cwd,
        env={**mosaic.environ({}), "PYDANTIC_DISABLE_PLUGINS": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1].split()


def start(
    *words: str, columns: int, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _START, *words],
        env={**os.environ, "COLUMNS": str(columns)},
        stdout=stdout,
        stderr=PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("columns", [80, 300])
@pytest.mark.parametrize("words", [(), ("federation",)])
def test_the_help_of_a_group_is_clicks_and_needs_no_click(
    words: tuple[str, ...], columns: int
) -> None:
    options: Any = {"resilient_parsing": True, "terminal_width": columns - 2}
    context = program.make_context("mosaic", [], **options)
    if words:
        context = federation.make_context("federation", [], parent=context, **options)
    done = start(*words, "--help", columns=columns)
    assert done.stdout == f"{context.get_help()}\n"
    assert "click" not in done.stderr.split()


def test_help_that_has_to_be_wrapped_or_cannot_be_written_is_left_to_click() -> None:
    narrow = start("federation", "--help", columns=60)
    assert max(map(len, narrow.stdout.splitlines())) < 60
    with Path("/dev/full").open("w") as full:
        failed = start("--help", columns=80, stdout=full.fileno())
    assert failed.returncode == 1
    assert "standard output cannot be written" in failed.stderr


def test_ctrl_c_while_modules_are_imported_is_an_interruption_and_no_traceback() -> None:
    interrupted = (
        "import sys\n"
        "def find_spec(name, *_):\n"
        "    if name == 'click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, type('Finder', (), {'find_spec': staticmethod(find_spec)}))\n"
        f"{_START}"
    )
    done = subprocess.run(
        [sys.executable, "-c", interrupted, "federation", "plan"],
        stderr=PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "\nerror: interrupted\n")
