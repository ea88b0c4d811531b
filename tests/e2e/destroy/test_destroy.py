"""`destroy` removes a gateway, all of it and nothing else, whatever state it is in."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.embedded.postgres.home_server import cluster_of
from tests.support.commands.error_text import assert_error
from tests.support.commands.process import COMMAND, Command, write
from tests.support.gateways.destroyed import data_of, is_gone
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.gateways.gateway import TestGateway


# destroys the home, and is gone at the given one of its removals
KILLED: Final = """
import os, sys
from pathlib import Path
from reconciler.embedded.destroy import destroy_home, reserved
from reconciler.config.home import Home
remaining = int(sys.argv[2])
def count(event, _arguments):
    global remaining
    if event in ("os.remove", "os.rmdir"):
        remaining -= 1
        if remaining == 0:
            os._exit(9)
home = Home(Path(sys.argv[1]))
with reserved(home, lambda: None):
    sys.addaudithook(count)
    destroy_home(home)
"""


def test_destroy_stops_what_runs_and_leaves_the_manifests_alone(
    gateway: TestGateway, data: Path
) -> None:
    write(gateway.manifests, beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    gateway.ok("apply", "--yes")
    running = gateway.start_up()
    gateway.enroll("beta-tasks")

    done = gateway.ok("destroy", "--yes")

    assert "1 live peer, 1 live grant, 1 live certificate" in done.out
    assert str(gateway.home.path) in done.out
    assert str(running.process.pid) in done.out
    assert running.process.wait(PATIENCE_S) == 0
    assert sorted(each.name for each in gateway.manifests.iterdir()) == ["beta.yaml", "tasks.yaml"]
    is_gone(gateway, data)


def test_destroy_asks_and_a_no_removes_nothing(gateway: TestGateway, data: Path) -> None:
    assert_error(gateway("destroy"), 64, "--yes")
    declined = gateway.at_terminal("destroy", typed="n\n")
    assert declined.code == 1
    assert str(data) in declined.out
    gateway.ok("grant", "list")

    assert gateway.at_terminal("destroy", typed="y\n").code == 0
    is_gone(gateway, data)


def test_destroy_of_what_is_no_home_is_refused_and_removes_nothing(tmp_path: Path) -> None:
    for name in ("run/pid", "logs/log", "keys/key", "mosaic.toml"):  # as others have them too
        (tmp_path / "other" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "other" / name).write_text("precious")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / ".mosaic").mkdir()
    (tmp_path / "other" / ".mosaic" / "notes").write_text("of another tool")
    before = sorted(tmp_path.rglob("*"))
    shell = Command(tmp_path)

    for arguments in (
        (),
        ("--home", "other"),
        ("--home", "other/.mosaic"),
        ("--home", "empty"),
        ("--home", "nowhere"),
        ("--home", "other/mosaic.toml"),
        ("--home", "/"),
    ):
        assert_error(shell("destroy", "--yes", *arguments), 78, "nothing was removed")
    assert_error(shell("destroy", "--yes", MOSAIC_HOME="other"), 78, "nothing was removed")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_gateway_is_destroyed_by_its_name_from_anywhere(gateway: TestGateway, data: Path) -> None:
    elsewhere = Command(gateway.cwd.parent)

    refused = elsewhere("destroy", "--yes", "--home", str(gateway.cwd))
    assert_error(refused, 78, f"--home {gateway.home.path}")
    elsewhere.ok("destroy", "--yes", MOSAIC_HOME=str(gateway.home.path))

    is_gone(gateway, data)


@pytest.mark.parametrize(
    "broken",
    ["mosaic.toml", "secrets", "ca", "run", "logs", "database-place", "postgres", "data", "lock"],
)
def test_a_broken_gateway_is_destroyed_all_the_same(
    gateway: TestGateway, data: Path, broken: str
) -> None:
    lost = data / "server" / "data" if broken == "data" else gateway.home.path / broken
    if lost.is_dir():
        shutil.rmtree(lost)
    else:
        lost.unlink(missing_ok=True)

    gateway.ok("destroy", "--yes")

    is_gone(gateway, data)


def test_a_gateway_with_unreadable_settings_and_a_broken_database_is_destroyed(
    gateway: TestGateway, data: Path
) -> None:
    gateway.home.config.write_text("listen = nowhere")
    control = cluster_of(gateway.home).data / "global" / "pg_control"
    control.write_bytes(b"\0" * control.stat().st_size)

    done = gateway.ok("destroy", "--yes")

    assert "cannot be read: Invalid value" in done.out
    is_gone(gateway, data)


@pytest.mark.parametrize("step", [1, 3, 100, 1000, 1020, 1040])
def test_a_destroy_that_is_killed_anywhere_is_finished_by_the_next(
    gateway: TestGateway, data: Path, step: int
) -> None:
    argv = [sys.executable, "-c", KILLED, str(gateway.home.path), str(step)]
    assert subprocess.run(argv, check=False).returncode in (0, 9)

    if gateway.home.path.exists():
        if not gateway.home.config.exists():
            assert gateway("grant", "list").code == 78, "what is half removed is not used"
            assert_error(gateway("init"), 1, f"destroy --home {gateway.home.path}")
        gateway.ok("destroy", "--yes")

    is_gone(gateway, data)


def test_of_two_destroys_at_once_both_succeed(gateway: TestGateway, data: Path) -> None:
    both = [
        subprocess.Popen(
            [*COMMAND, "destroy", "--yes"],
            cwd=gateway.cwd,
            env=gateway.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]

    outputs = [each.communicate(timeout=PATIENCE_S)[0] for each in both]

    # who comes when all is done finds no gateway there
    assert sorted(each.returncode for each in both) in ([0, 0], [0, 78]), outputs
    is_gone(gateway, data)


def test_an_init_that_was_killed_is_destroyed(gateway: TestGateway) -> None:
    maker = subprocess.Popen([*COMMAND, "init"], cwd=gateway.cwd, env=gateway.environ())
    wait_until((gateway.home.logs / "postgres.log").exists, "its server is being made")
    maker.kill()
    maker.wait()
    data = data_of(gateway)

    gateway.ok("destroy", "--yes")

    is_gone(gateway, data)


def test_what_a_kill_left_running_is_stopped(gateway: TestGateway, data: Path) -> None:
    running = gateway.start_up()
    running.stop(signal.SIGKILL)
    assert gateway.processes()

    gateway.ok("destroy", "--yes")

    is_gone(gateway, data)


def test_files_that_people_put_into_a_home_are_left_and_links_are_not_followed(
    gateway: TestGateway, data: Path
) -> None:
    offline = gateway.cwd / "offline"
    (gateway.home.path / "root-key").rename(offline)
    (gateway.home.path / "root-key").symlink_to(offline)
    (gateway.home.path / "notes.txt").write_text("where the key is")

    done = gateway.ok("destroy", "--yes")

    assert f"kept {gateway.home.path / 'notes.txt'}" in done.out
    assert [each.name for each in gateway.home.path.iterdir()] == ["notes.txt"]
    assert (offline / "root_ca_key").exists()
    shutil.rmtree(gateway.home.path)
    shutil.rmtree(offline)
    is_gone(gateway, data)


def test_keys_that_the_settings_name_elsewhere_are_kept_and_told(
    gateway: TestGateway, data: Path, tmp_path: Path
) -> None:
    names = ("keyring", "token_pepper_file", "plan_key_file", "ca_provisioners")
    with gateway.home.config.open("a") as settings:
        settings.writelines(f'{name} = "{tmp_path / name}"\n' for name in names)
    done = gateway.ok("destroy", "--yes")
    for name in names:
        assert f"kept: {tmp_path / name}, as {name} says" in done.out
    is_gone(gateway, data)
