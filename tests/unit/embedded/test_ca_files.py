"""The files of a new authority: all of them are its own, or none is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.embedded.stepca.ca_files import CaPlan, write_ca
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from pathlib import Path


def plan_in(folder: Path) -> CaPlan:
    files = (folder / "ca", folder / "root" / "key", folder / "provisioners")
    return CaPlan(*files, "https://127.0.0.1:1", "127.0.0.1:2")


def files_of(folder: Path) -> dict[Path, bytes]:
    own = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: path.read_bytes() for path in own}


def test_a_root_key_is_not_lost_where_its_file_is_a_folder(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    plan.root_key.mkdir(parents=True)

    with pytest.raises(NeedsEdit, match=f"{plan.root_key} exists already, and is a folder"):
        write_ca(plan)
    assert files_of(tmp_path) == {}

    plan.root_key.rmdir()
    assert write_ca(plan) is True
    assert b"PRIVATE KEY" in plan.root_key.read_bytes()


@pytest.mark.parametrize("name", ["provisioners/peers.json", "ca/root_ca.crt", "ca/templates"])
def test_a_root_key_is_in_the_place_of_no_other_file_of_its_authority(
    tmp_path: Path, name: str
) -> None:
    plan = replace(plan_in(tmp_path), root_key=tmp_path / name)

    with pytest.raises(NeedsEdit, match=f"{name} is the place of another file of this authority"):
        write_ca(plan)
    assert files_of(tmp_path) == {}


@pytest.mark.parametrize("name", ["root/key", "provisioners/peers.json", "ca/root_ca.crt"])
def test_a_file_of_another_authority_is_not_taken_for_one_of_this(
    tmp_path: Path, name: str
) -> None:
    plan, other = plan_in(tmp_path), tmp_path / name
    other.parent.mkdir(parents=True)
    other.write_bytes(b"of another authority")

    with pytest.raises(NeedsEdit, match=f"{other} exists already, and is not of this authority"):
        write_ca(plan)
    assert files_of(tmp_path) == {other: b"of another authority"}
