"""`destroy` of a gateway that was moved or copied: only the data of that one are removed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from reconciler.embedded.postgres.data_directory import data_directories
from tests.support.gateways.destroyed import is_gone
from tests.support.gateways.home import as_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.gateways.gateway import TestGateway


def test_a_gateway_that_was_moved_is_destroyed_with_its_data(
    gateway: TestGateway, data: Path
) -> None:
    gateway.home.path.rename(gateway.cwd / "moved")

    gateway.ok("destroy", "--yes", "--home", "moved")

    is_gone(gateway, data)


def test_destroy_of_a_copy_leaves_the_original_as_it_was(gateway: TestGateway) -> None:
    gateway.ok("init")
    with gateway.up() as running:
        copy, without_data = gateway.cwd / "copy", shutil.ignore_patterns("postgres")
        ways: tuple[Callable[[str, str], object], ...] = (shutil.copy2, os.link)  # `cp -a`, `-al`
        for way in ways:
            shutil.copytree(gateway.home.path, copy, ignore=without_data, copy_function=way)
            done = gateway.ok("destroy", "--yes", "--home", "copy")
            assert "is a copy of" in done.out
            assert not copy.exists()
        assert running.process.poll() is None
        assert gateway.child("postgres")
        assert gateway.child("step-ca")
        gateway.ok("grant", "list")
    gateway.ok("grant", "list")


@as_root
def test_the_copy_that_took_the_place_of_a_moved_home_does_not_take_its_data(
    gateway: TestGateway,
) -> None:
    gateway.ok("init")
    moved = gateway.cwd / "moved"
    gateway.home.path.rename(moved)
    shutil.copytree(moved, gateway.home.path)

    gateway.ok("destroy", "--yes")

    gateway.ok("grant", "list", "--home", str(moved))
    gateway.ok("destroy", "--yes", "--home", str(moved))
    assert not [
        directory
        for directory in data_directories()
        if directory.home and directory.home.path == moved
    ]
