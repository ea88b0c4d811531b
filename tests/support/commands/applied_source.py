"""A shell beside an applied source: beta, and four grants to it, a file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path


def applied_source(folder: Path, database_url: str) -> Quick:
    made = shell(folder, database_url)
    write(folder / "manifests", beta=peer_manifest())
    write(folder / "manifests" / "grants", **{each: grant_manifest(each) for each in "abcd"})
    made.ok("apply", "--yes")
    return made


def declare(mosaic: Quick, **grants: str) -> None:
    write(mosaic.cwd / "manifests" / "grants", **grants)


def withdraw(mosaic: Quick, *grants: str) -> None:
    for each in grants:
        (mosaic.cwd / "manifests" / "grants" / f"{each}.yaml").unlink()
