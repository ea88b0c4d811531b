"""A home on the PostgreSQL of the machine: used by every command, or refused by every one."""

from __future__ import annotations

import importlib.util
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.programs import DEBIAN, INSTALLED_MAJOR, OLDEST, server_binaries
from reconciler.errors import NeedsEdit
from tests.support.commands.error_text import assert_error
from tests.support.gateways.gateway import TestGateway, gateway_folder
from tests.support.gateways.home import as_root

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE: Final = "MOSAIC_POSTGRES_BIN"


@pytest.fixture(scope="module")
def machine() -> Path:
    """Give the programs of a PostgreSQL that `make test` has seen to, of another major version."""
    majors = (int(path.name) for path in DEBIAN.glob("[0-9]*") if path.name.isdecimal())
    usable = [each for each in sorted(majors) if each >= OLDEST and each != INSTALLED_MAJOR]
    assert usable, "no PostgreSQL on this machine: sh tools/postgres.sh"
    return DEBIAN / str(usable[0]) / "bin"


@pytest.fixture(scope="module")
def gateway(machine: Path) -> Iterator[TestGateway]:
    """Make a gateway on the machine's PostgreSQL."""
    with gateway_folder("machine") as made:
        made.ok("init", "--postgres-bin", str(machine))
        yield made


@pytest.fixture
def empty() -> Iterator[TestGateway]:
    with gateway_folder("empty") as made:
        yield made


def programs(folder: Path, *names: str, version: str = "") -> Path:
    """Write programs that only say a version."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


def server_version(gateway: TestGateway) -> str:
    findings = {each["check"]: each for each in gateway("doctor", "--output", "json").document}
    detail: str = findings["database"]["detail"]
    return detail


def test_init_writes_it_and_every_command_uses_it(gateway: TestGateway, machine: Path) -> None:
    written = tomllib.loads(gateway.home.config.read_text())

    assert written["postgres_bin"] == str(machine)
    assert f"PostgreSQL {machine.parent.name}." in server_version(gateway)
    assert gateway.document("grant", "list") == []


def test_up_runs_it_and_starts_it_again(gateway: TestGateway, machine: Path) -> None:
    with gateway.up() as running:
        pid = gateway.child("postgres")
        assert Path(f"/proc/{pid}/exe").readlink() == machine / "postgres"
        gateway.kill(pid)
        running.wait_for("PostgreSQL has exited")
        assert gateway.document("grant", "list") == []


def test_up_makes_a_home_on_it(empty: TestGateway, machine: Path) -> None:
    with empty.up(**{VARIABLE: str(machine)}):
        assert f"PostgreSQL {machine.parent.name}." in server_version(empty)
    assert tomllib.loads(empty.home.config.read_text())["postgres_bin"] == str(machine)


def test_destroy_counts_what_goes_with_its_rows(gateway: TestGateway) -> None:
    result = gateway("destroy")

    assert result.code == 64, result.err
    assert "this also removes 0 live peers, 0 live grants" in result.out + result.err


def test_the_demo_runs_on_it(empty: TestGateway, machine: Path, tmp_path: Path) -> None:
    assert f"{VARIABLE}: {tmp_path} has no" in empty("demo", **{VARIABLE: str(tmp_path)}).out
    empty.ok("demo", **{VARIABLE: str(machine)})


def test_a_flag_is_before_the_variable_and_that_before_the_file(
    gateway: TestGateway, tmp_path: Path
) -> None:
    of_file = gateway.home.config.read_text()
    assert_error(
        gateway("grant", "list", **{VARIABLE: str(tmp_path)}), 78, f"{VARIABLE}: {tmp_path} has no"
    )
    flag = gateway("up", "--postgres-bin", str(tmp_path / "a"), **{VARIABLE: str(tmp_path)})
    assert_error(flag, 78, f"--postgres-bin: no folder {tmp_path / 'a'}")
    gateway.home.config.write_text(of_file.replace("/bin", "/lib"))
    try:
        assert_error(gateway("grant", "list"), 78, f"{gateway.home.config}: postgres_bin: ")
    finally:
        gateway.home.config.write_text(of_file)


def test_data_of_another_major_version_are_refused_and_the_hint_helps(
    gateway: TestGateway, machine: Path
) -> None:
    settings = gateway.home.config.read_text()
    major = machine.parent.name
    gateway.home.config.write_text(settings.replace("postgres_bin", "# postgres_bin"))
    try:
        for command in (("grant", "list"), ("up",), ("doctor",)):
            refused = gateway(*command)
            output = refused.out + refused.err
            assert refused.code == (1 if command == ("doctor",) else 78)
            assert f"were made by PostgreSQL {major}" in output
            assert f"comes with this program is {INSTALLED_MAJOR}" in output
            assert (
                f"set {VARIABLE} to the programs of PostgreSQL {major}, such as {machine}" in output
            )
        gateway.ok("grant", "list", **{VARIABLE: str(machine)})
    finally:
        gateway.home.config.write_text(settings)


def test_a_home_of_the_wheel_stays_with_the_wheel(empty: TestGateway, machine: Path) -> None:
    empty.ok("init")

    refused = empty("grant", "list", **{VARIABLE: str(machine)})

    assert_error(
        refused, 78, f"were made by PostgreSQL {INSTALLED_MAJOR}", f"one in {machine}", "do not set"
    )
    empty.ok("grant", "list")


@pytest.mark.parametrize(
    ("names", "version", "words"),
    [
        (("postgres", "initdb"), "17.2", ("has no pg_ctl",)),
        (("postgres", "initdb", "pg_ctl"), "14.11 (Debian)", ("14.11 (Debian)", "15 or later")),
        (("postgres", "initdb", "pg_ctl"), "9.6.24", ("9.6.24", "15 or later")),
        (("postgres", "initdb", "pg_ctl"), "", ("expected a version of PostgreSQL",)),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_made(
    empty: TestGateway, names: tuple[str, ...], version: str, words: tuple[str, ...]
) -> None:
    folder = programs(empty.cwd.parent / "programs", *names, version=version)

    for command in ("init", "up"):
        assert_error(empty(command, **{VARIABLE: str(folder)}), 78, f"{VARIABLE}: ", *words)
    assert not empty.home.path.exists()


def test_the_folder_above_the_programs_is_told_where_they_are(
    empty: TestGateway, machine: Path
) -> None:
    assert_error(
        empty("init", "--postgres-bin", str(machine.parent)), 78, "--postgres-bin: ", str(machine)
    )


def test_a_relative_folder_is_written_as_an_absolute_one(empty: TestGateway, machine: Path) -> None:
    empty.ok("init", "--postgres-bin", os.path.relpath(machine, empty.cwd))

    assert tomllib.loads(empty.home.config.read_text())["postgres_bin"] == str(machine)


@as_root
def test_programs_that_the_servers_account_cannot_run_are_refused(empty: TestGateway) -> None:
    closed = empty.cwd.parent / "closed"
    folder = programs(closed / "bin", "postgres", "initdb", "pg_ctl", version="17.2")
    closed.chmod(0o700)

    assert_error(
        empty("init", **{VARIABLE: str(folder)}), 78, "mosaic-postgres cannot run", "chmod o+x"
    )


def test_without_the_wheel_the_setting_is_named(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(NeedsEdit, match="is not installed") as caught:
        server_binaries(server_account())
    assert f"set {VARIABLE}" in caught.value.hint
    assert str(DEBIAN) in caught.value.hint


def test_a_wheel_without_programs_for_this_platform_is_told_as_that(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.embedded.postgres.programs.PROGRAMS", Path("pginstall0/bin"))

    with pytest.raises(NeedsEdit, match=f"has none for {os.uname().machine}") as caught:
        server_binaries(server_account())
    assert f"set {VARIABLE}" in caught.value.hint


def test_a_restored_home_runs_the_postgresql_of_the_backup(
    gateway: TestGateway, empty: TestGateway, machine: Path
) -> None:
    backup = str(gateway.cwd / "machine.backup")
    gateway.ok("backup", backup)

    empty.ok("restore", backup)

    assert tomllib.loads(empty.home.config.read_text())["postgres_bin"] == str(machine)
    assert f"PostgreSQL {machine.parent.name}." in server_version(empty)


def test_a_home_is_restored_where_there_is_no_such_postgresql(
    gateway: TestGateway, empty: TestGateway
) -> None:
    backup, settings = str(gateway.cwd / "gone.backup"), gateway.home.config.read_text()
    gateway.home.config.write_text(settings.replace("/bin", "/gone"))
    try:
        gateway.ok("backup", backup, **{VARIABLE: tomllib.loads(settings)["postgres_bin"]})
    finally:
        gateway.home.config.write_text(settings)

    empty.ok("restore", backup)

    assert "postgres_bin" not in tomllib.loads(empty.home.config.read_text())
    assert f"PostgreSQL {INSTALLED_MAJOR}." in server_version(empty)


def test_a_home_is_restored_on_the_postgresql_that_a_variable_names(
    empty: TestGateway, machine: Path
) -> None:
    with gateway_folder("wheel") as made:
        made.ok("init")
        backup = str(made.cwd / "wheel.backup")
        made.ok("backup", backup)
        empty.ok("restore", backup, **{VARIABLE: str(machine)})

    assert tomllib.loads(empty.home.config.read_text())["postgres_bin"] == str(machine)
    assert f"PostgreSQL {machine.parent.name}." in server_version(empty)
