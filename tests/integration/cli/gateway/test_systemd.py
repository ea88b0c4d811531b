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

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import PEPPER, peer_manifest
from tests.support.ports import free_port
from tests.support.services.service_manager import (
    UNITS,
    Manager,
    credentials_of,
    environment_of,
    read_unit,
)
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


def write_credentials(unit: dict[str, list[str]], mosaic: Quick) -> Path:
    """Write what systemd hands to a unit; return the folder."""
    folder = mosaic.cwd / "credentials"
    folder.mkdir(mode=0o700)
    secrets = {
        "database-url": mosaic.variables["MOSAIC_DATABASE_URL"],
        "token-pepper": PEPPER.hex(),
    }
    for name in credentials_of(unit):
        (folder / name).write_text(secrets[name])
    return folder


def state_folder(mosaic: Quick) -> Path:
    """Return the folder that systemd makes below /var/lib."""
    folder = mosaic.cwd / "state"
    folder.mkdir(mode=0o700)
    return folder


def deny_write_execute() -> None:
    ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0)


@contextmanager
def started(
    name: str, manager: Manager, mosaic: Quick, ca: Authority
) -> Iterator[subprocess.Popen[bytes]]:
    """Start what a unit starts, as systemd does, until the block ends."""
    unit = read_unit(UNITS / f"{name}.service")
    credentials = write_credentials(unit, mosaic)
    state = state_folder(mosaic)
    places = environment_of(unit, credentials)
    (directory,) = unit["StateDirectory"]
    mine = {key: text.replace(f"/var/lib/{directory}", str(state)) for key, text in places.items()}
    (command,) = unit["ExecStart"]
    program, *words = shlex.split(command)
    log = (mosaic.cwd / "log").open("wb")
    process = subprocess.Popen(
        [Path(sys.executable).with_name(Path(program).name), *words],
        cwd=mosaic.cwd,
        env={
            "PATH": os.environ["PATH"],
            **settings_file(mosaic, ca),
            **mine,
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
        files = sorted((mosaic.cwd / "state" / "checkpoints").iterdir())
        assert mosaic("audit", "verify", "--checkpoint", str(files[-1])).code == 0


def test_a_checkpoint_is_a_new_file_each_time(mosaic: Quick) -> None:
    mosaic.ok("apply", "manifests", "--yes")
    (command,) = read_unit(UNITS / "mosaic-federation-checkpoint.service")["ExecStart"]
    state = state_folder(mosaic)
    shell, flag, script = shlex.split(command)
    mine = script.replace("%%", "%").replace("/opt/mosaic/bin", str(Path(sys.executable).parent))
    environ = mosaic.environ({"STATE_DIRECTORY": str(state)})
    subprocess.run([shell, flag, mine], env=environ, cwd=mosaic.cwd, check=True)
    (file,) = state.iterdir()
    assert mosaic("audit", "verify", "--checkpoint", str(file)).code == 0


def test_a_backup_is_whole(mosaic: Quick, shared_authority: Authority) -> None:
    mosaic.ok("apply", "manifests", "--yes")
    unit = read_unit(UNITS / "mosaic-federation-backup.service")
    credentials = write_credentials(unit, mosaic)
    state = state_folder(mosaic)
    (command,) = unit["ExecStart"]
    program, flag, script = shlex.split(command)
    mine = script.replace("%%", "%").replace("/opt/mosaic/bin", str(Path(sys.executable).parent))
    mine = mine.replace("/var/lib/mosaic-step-ca", str(shared_authority.folder))
    environ = {
        "PATH": os.environ["PATH"],
        **settings_file(mosaic, shared_authority),
        **environment_of(unit, credentials),
        "STATE_DIRECTORY": str(state),
    }
    words = [program, flag, mine]
    done = subprocess.run(
        words, env=environ, cwd=mosaic.cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (file,) = state.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    checked = mosaic("backup", "--check", str(file))
    assert checked.code == 0, checked.err
