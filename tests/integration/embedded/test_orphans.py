"""What gateways leave behind that were removed by hand: listed, removed, and never guessed at."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from reconciler.config.home import Home
from reconciler.embedded.destroy import destroy_home
from reconciler.embedded.init import create_home
from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.data_directory import (
    DataDirectory,
    HomeState,
    data_directories,
    data_directory_of,
    state_of,
)
from reconciler.embedded.postgres.home_server import cluster_of, postgres
from reconciler.errors import NeedsEdit
from reconciler.store.connection import probe
from tests.support.commands.error_text import assert_error
from tests.support.commands.in_process import Quick
from tests.support.gateways.home import as_root, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = as_root  # the data of nobody else lie outside of the home


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder with what stands for the machine's `/var/lib` and `/run`, for these tests."""
    with open_folder() as made:
        machine = {name: made / name for name in ("lib", "run")}
        monkeypatch.setattr("reconciler.embedded.postgres.programs.OUTSIDE", machine["lib"])
        for module in ("postgres.home_server", "destroy"):
            monkeypatch.setattr(f"reconciler.embedded.{module}.RUNTIME", (machine["run"],))
        machine["run"].mkdir()
        (made / "closed").mkdir(mode=0o700)
        yield made / "closed"
        for directory in data_directories():
            clusters.end_all_in(directory.server)


@pytest.fixture
def home(folder: Path) -> Home:
    """Make a home whose data lie outside."""
    made = Home(folder / ".mosaic")
    create_home(made)
    return made


def place_of_home(home: Home) -> DataDirectory:
    directory = data_directory_of(cluster_of(home).base)
    assert directory is not None
    return directory


def findings(folder: Path) -> list[dict[str, str]]:
    """Return what doctor, which needs no gateway for it, tells of orphans."""
    document = Quick(folder.parent)("doctor", "--output", "json").document
    return [each for each in document if each["check"] == "orphans"]


def on_another_disk(directory: DataDirectory, *, mounted: bool) -> None:
    """Make the place what it is for a home on another file system."""
    directory.link.unlink()
    if not mounted:
        directory.file_system.unlink()
        directory.file_system.write_text("4711-4711")


def test_the_database_of_a_home_that_was_removed_by_hand_is_listed_and_removed(
    home: Home, folder: Path
) -> None:
    directory, shell = place_of_home(home), Quick(folder.parent)
    assert [each["state"] for each in findings(folder)] == ["ok"]
    shutil.rmtree(home.path)

    (orphan,) = findings(folder)
    assert orphan["state"] == "warning"
    for part in (str(directory.path), " MB)", str(home.path)):
        assert part in orphan["detail"]
    assert_error(shell("destroy", "--orphans"), 64, "--yes")
    assert directory.path.exists()

    command = orphan["hint"].partition("mosaic federation ")[2].rstrip("`")
    assert str(directory.path) in shell.ok(*command.split(), "--yes").out
    assert not directory.path.exists()
    assert [each["state"] for each in findings(folder)] == ["ok"]
    assert "nothing to remove" in shell.ok("destroy", "--orphans").out


def test_a_database_that_still_runs_is_stopped_before_it_is_removed(
    home: Home, folder: Path
) -> None:
    directory = place_of_home(home)
    server = cluster_of(home)
    clusters.ensure_running(server)
    shutil.rmtree(folder)

    Quick(folder.parent).ok("destroy", "--orphans", "--yes")

    assert not directory.path.exists()
    assert not probe.answers(server.url())


def test_the_database_of_a_home_that_is_there_is_no_orphan(home: Home, folder: Path) -> None:
    assert "nothing to remove" in Quick(folder.parent).ok("destroy", "--orphans", "--yes").out
    refused = Quick(folder.parent)("destroy", "--yes", "--orphan", str(place_of_home(home).path))
    assert_error(refused, 78, "nothing was removed")
    with postgres(home) as url:
        assert probe.answers(url)


def test_the_database_of_a_home_that_was_moved_is_no_orphan(home: Home, folder: Path) -> None:
    directory, moved = place_of_home(home), Home(folder / "moved")
    home.path.rename(moved.path)
    assert state_of(directory) is HomeState.MOVED

    Quick(folder.parent).ok("destroy", "--orphans", "--yes")

    with postgres(moved) as url:
        assert probe.answers(url)
    assert directory.home == moved, "its new path is recorded when it is used"
    assert state_of(directory) is HomeState.USED


def test_the_database_of_a_home_that_another_one_replaced_is_an_orphan(
    home: Home, folder: Path
) -> None:
    old = place_of_home(home)
    shutil.rmtree(home.path)
    create_home(home)
    new = place_of_home(home)

    Quick(folder.parent).ok("destroy", "--orphans", "--yes")

    assert not old.path.exists()
    with postgres(home) as url:
        assert probe.answers(url)
    assert new.path.exists()


def test_a_home_on_a_disk_that_is_not_mounted_keeps_its_database_unless_it_is_named(
    home: Home, folder: Path
) -> None:
    directory, shell = place_of_home(home), Quick(folder.parent)
    on_another_disk(directory, mounted=False)
    shutil.rmtree(folder)  # as it looks while the disk is away

    (finding,) = findings(folder)
    assert "its disk may not be mounted" in finding["detail"]
    assert "nothing to remove" in shell.ok("destroy", "--orphans", "--yes").out
    assert directory.path.exists()

    command = finding["hint"].partition("mosaic federation ")[2].rstrip("`")
    shell.ok(*command.split(), "--yes")
    assert not directory.path.exists()


def test_a_home_that_is_gone_from_a_disk_that_is_mounted_leaves_an_orphan(
    home: Home, folder: Path
) -> None:
    directory = place_of_home(home)
    on_another_disk(directory, mounted=True)
    shutil.rmtree(folder)

    Quick(folder.parent).ok("destroy", "--orphans", "--yes")

    assert not directory.path.exists()


def test_a_copy_of_a_home_that_is_gone_takes_over_and_is_destroyed_with_the_database(
    home: Home, folder: Path
) -> None:
    directory, copy = place_of_home(home), Home(folder / "copy")
    shutil.copytree(home.path, copy.path)  # as `mv` does to another file system
    with pytest.raises(NeedsEdit, match="is a copy of"), postgres(copy):
        pytest.fail("it was used")
    shutil.rmtree(home.path)

    with postgres(copy) as url:
        assert probe.answers(url)
    assert directory.home == copy
    assert state_of(directory) is HomeState.USED
    destroy_home(copy)
    assert not directory.path.exists()


def test_a_copy_of_a_home_on_a_disk_that_is_not_mounted_is_destroyed_without_the_database(
    home: Home, folder: Path
) -> None:
    directory, copy = place_of_home(home), Home(folder / "copy")
    on_another_disk(directory, mounted=False)
    home.path.rename(copy.path)

    destroy_home(copy)

    assert directory.path.exists()
    assert state_of(directory) is HomeState.UNKNOWN


@pytest.mark.parametrize("path", [f"{'long' * 20}/{'path' * 20}", "Alpha, Inc"])
def test_the_socket_folder_of_a_home_whose_path_no_socket_can_have_is_an_orphan_too(
    folder: Path, path: str
) -> None:
    home = Home(folder.parent / path / ".mosaic")
    create_home(home)
    sockets = cluster_of(home).sockets
    assert sockets.parent == folder.parent / "run"
    shutil.rmtree(home.path)

    assert str(sockets) in findings(folder)[0]["detail"]
    Quick(folder.parent).ok("destroy", "--orphans", "--yes")
    assert not sockets.exists()


def test_what_is_no_place_of_a_home_is_never_removed(folder: Path) -> None:
    lib = folder.parent / "lib"
    for name in ("server-1.2", "notes", "0123456789ABCDEF", "0123456789abcdef.bak"):
        (lib / name).mkdir(parents=True)
        (lib / name / "file").touch()
    (lib / "0123456789abcdef").mkdir()
    (lib / "0123456789abcdef" / "precious").touch()  # nothing says whose it is

    Quick(folder.parent).ok("destroy", "--orphans", "--yes")

    assert len(list(lib.rglob("*"))) == 10
