"""A forked command ends as a new process does: what it writes, reads, makes, and its exit code."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.fork_server import LARGEST_INPUT, fork_server
from tests.support.commands.process import COMMAND, Command
from tests.support.gateways.enrollee import peer_manifest
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


def started(shell: Command, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Run a command in a new interpreter."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=shell.cwd,
        env=shell.environ(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (("version",), ""),
        (("--help",), ""),
        (("no-such-verb",), ""),
        (("grant", "list"), ""),
        (("validate", "manifests", "--output", "json"), ""),
        (("fmt", "-"), peer_manifest()),
        (("validate", "-"), "größer: ["),
        (("validate", "\udcff"), ""),
    ],
)
def test_a_forked_command_ends_as_a_new_process_does(
    tmp_path: Path, arguments: tuple[str, ...], stdin: str
) -> None:
    shell = Command(tmp_path, {"MOSAIC_LOG_LEVEL": "debug"})
    assert fork_server.accepts(arguments, shell.environ(), stdin.encode())
    done = shell(*arguments, stdin=stdin)
    assert (done.code, done.out, done.err) == started(shell, *arguments, stdin=stdin)


def test_it_has_the_folder_and_the_variables_of_the_test(tmp_path: Path) -> None:
    done = Command(tmp_path, {"MOSAIC_SOURCE": "elsewhere"})("validate")
    assert done.code == 1
    assert f"{tmp_path / 'elsewhere'} does not exist" in done.err


def test_what_the_interpreter_reads_at_its_start_needs_a_new_one(tmp_path: Path) -> None:
    environ = Command(tmp_path).environ()
    for name in ("PYTHONIOENCODING", "LC_ALL", "LD_PRELOAD", "TZ"):
        assert not fork_server.accepts(("version",), environ | {name: "other"}, b"")
    assert not fork_server.accepts(("fmt", "-"), environ, b"x" * (LARGEST_INPUT + 1))


def test_commands_side_by_side_do_not_mix(tmp_path: Path) -> None:
    shell = Command(tmp_path)
    names = [f"verb-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        for name, done in zip(names, pool.map(shell, names), strict=True):
            assert done.code == 64
            assert name in done.err
