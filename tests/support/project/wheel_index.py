"""A small package index of our own: the pinned wheels, and newer releases that nobody pinned."""

from __future__ import annotations

import tomllib
import zipfile
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHEELS: Final = ROOT / ".wheels"  # filled by `make setup`
NEWER: Final = "9999"


def requirements_of(wheel: Path) -> list[Requirement]:
    """Return what the metadata of a wheel asks for."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    return [Requirement(each) for each in metadata.get_all("Requires-Dist", [])]


def requested_with_an_extra() -> dict[str, set[str]]:
    """Return the extras that the wheels and the project ask for, by the package that has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [Requirement(each) for each in project["dependencies"]]
    for wheel in WHEELS.glob("*.whl"):
        requirements += requirements_of(wheel)
    extras: dict[str, set[str]] = {}
    for each in requirements:
        if each.extras:
            extras.setdefault(canonicalize_name(each.name), set()).update(each.extras)
    return extras


def write_newer_releases(folder: Path) -> None:
    """Write a newer release of each package that somebody asks for with an extra."""
    for name, extras in requested_with_an_extra().items():
        _write_wheel(folder, name.replace("-", "_"), extras)


def write_index(folder: Path) -> None:
    """Make `folder` an index (`--find-links`) of the pinned wheels and the newer releases."""
    folder.mkdir()
    for wheel in WHEELS.glob("*.whl"):
        (folder / wheel.name).symlink_to(wheel)
    write_newer_releases(folder)


def index_environment(index: Path) -> dict[str, str]:
    """Return the variables by which pip knows this index and no other."""
    return {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": str(index),
        "PIP_NO_INDEX": "1",
    }


def _write_wheel(folder: Path, name: str, extras: set[str]) -> None:
    info = f"{name}-{NEWER}.dist-info"
    files = {
        f"{info}/METADATA": "".join(_metadata(name, extras)),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-{NEWER}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


def _metadata(name: str, extras: set[str]) -> Iterator[str]:
    yield f"Metadata-Version: 2.1\nName: {name}\nVersion: {NEWER}\n"
    yield from (f"Provides-Extra: {each}\n" for each in sorted(extras))
