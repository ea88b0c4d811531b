"""The units of deploy/systemd start the program, which tells systemd how it is."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from psycopg.conninfo import conninfo_to_dict

from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.programs import server_binaries
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import PEPPER, peer_manifest
from tests.support.gateways.service_manager import (
    UNITS,
    Manager,
    credentials_of,
    environment_of,
    read_unit,
)
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.gateways.step_ca import Authority

PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1  # Linux 6.3: what MemoryDenyWriteExecute= uses there
WATCHDOG_S: Final = 0.8


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest())
    return made


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def settings_file(mosaic: Quick, ca: Authority) -> dict[str, str]:
    """Return what deploy/systemd/environment sets, with the places of this test for its own."""
    names = {
        line.partition("=")[0]
        for line in (UNITS / "environment").read_text().splitlines()
        if line and not line.startswith("#")
    }
    places = {
        **mosaic.variables,
        "MOSAIC_SOURCE": str(mosaic.cwd / "manifests"),
        "MOSAIC_PUBLIC_URL": "https://127.0.0.1",
        "MOSAIC_LISTEN": f"127.0.0.1:{free_port()}",
        "MOSAIC_CA_URL": ca.url,
        "MOSAIC_CA_ROOT": str(ca.folder / "root_ca.crt"),
        "MOSAIC_CA_PROVISIONERS": str(ca.folder),
    }
    return {name: places[name] for name in names}


def deny_write_execute() -> None:
    ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0)


@contextmanager
def started(
    name: str, manager: Manager, mosaic: Quick, ca: Authority
) -> Iterator[subprocess.Popen[bytes]]:
    """Start what a unit starts, as systemd does, until the block ends."""
    unit = read_unit(UNITS / f"{name}.service")
    credentials = mosaic.cwd / "credentials"
    credentials.mkdir(mode=0o700)
    secrets = {
        "database-url": mosaic.variables["MOSAIC_DATABASE_URL"],
        "token-pepper": PEPPER.hex(),
    }
    for credential in credentials_of(unit):
        (credentials / credential).write_text(secrets[credential])
    (command,) = unit["ExecStart"]
    program, *words = shlex.split(command)
    log = (mosaic.cwd / "log").open("wb")
    process = subprocess.Popen(
        [Path(sys.executable).with_name(Path(program).name), *words],
        cwd=mosaic.cwd,
        env={
            "PATH": os.environ["PATH"],
            **settings_file(mosaic, ca),
            **environment_of(unit, credentials),
            "NOTIFY_SOCKET": str(manager.path),
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1_000_000)),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        umask=0o077,
        preexec_fn=deny_write_execute,  # noqa: PLW1509 - one call, and no thread holds a lock
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        log.close()


@pytest.mark.parametrize("name", ["mosaic-federation-serve", "mosaic-federation-run"])
def test_the_unit_starts_a_service_that_is_ready_alive_and_stops(
    name: str, manager: Manager, mosaic: Quick, shared_authority: Authority
) -> None:
    with started(name, manager, mosaic, shared_authority) as process:
        wait_until(
            lambda: "READY=1" in manager.received() or process.poll() is not None, "it is ready"
        )
        assert process.poll() is None, (mosaic.cwd / "log").read_text()
        manager.wait_for("WATCHDOG=1", times=3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, (mosaic.cwd / "log").read_text()
    lines = manager.received()
    assert lines[0] == "READY=1"
    assert lines[-2:] == ["STOPPING=1", "STATUS=stopping"]
    if name == "mosaic-federation-run":
        assert mosaic.statuses("peer") == {"beta": "pending"}, "ready is after the first pass"


def test_a_checkpoint_is_a_new_file_each_time(mosaic: Quick) -> None:
    mosaic.ok("apply", "manifests", "--yes")
    (command,) = read_unit(UNITS / "mosaic-federation-checkpoint.service")["ExecStart"]
    state = mosaic.cwd / "state"
    state.mkdir()
    shell, flag, script = shlex.split(command)
    mine = script.replace("%%", "%").replace("/opt/mosaic/bin", str(Path(sys.executable).parent))
    environ = mosaic.environ({"STATE_DIRECTORY": str(state)})
    subprocess.run([shell, flag, mine], env=environ, cwd=mosaic.cwd, check=True)
    (file,) = state.iterdir()
    assert mosaic("audit", "verify", "--checkpoint", str(file)).code == 0


def test_a_dump_holds_the_rows_and_its_command_line_no_password(
    mosaic: Quick, database_url: str
) -> None:
    mosaic.ok("apply", "manifests", "--yes")
    unit = read_unit(UNITS / "mosaic-federation-backup.service")
    assert set(credentials_of(unit)) == {"pg_service.conf"}
    state = mosaic.cwd / "state"
    state.mkdir()
    parameters = (f"{name}={value}" for name, value in conninfo_to_dict(database_url).items())
    (mosaic.cwd / "pg_service.conf").write_text("\n".join(("[mosaic]", *parameters)))
    programs = server_binaries(server_account())
    environ = mosaic.environ(
        {
            **environment_of(unit, mosaic.cwd),
            "STATE_DIRECTORY": str(state),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
    )
    (command,) = unit["ExecStart"]
    subprocess.run(shlex.split(command.replace("%%", "%")), env=environ, check=True)
    (file,) = state.iterdir()
    data = subprocess.run(
        [programs / "pg_restore", "--data-only", "--table=federation_peers", "--file=-", file],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\tbeta\t" in data.stdout
