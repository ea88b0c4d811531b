"""The command lines by which the project is installed, taken from where people read them."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Final

from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LEFT_OUT: Final = (
    *(".git", ".venv", ".wheels", ".mosaic", "build", "dist", "__pycache__", ".hypothesis"),
    ".*_cache",
)


def copy_checkout(target: Path) -> Path:
    """Copy what is in the checkout, without what a set-up or a test has made in it."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    return target


def readme_lines() -> list[str]:
    """Return the commands of the README's "Install", in order."""
    section = re.search(r"^## Install\n(.*?)^## ", _read("README.md"), re.MULTILINE | re.DOTALL)
    assert section is not None
    return re.findall(r"^ {4}(\S.*)$", section[1], re.MULTILINE)


def dockerfile_lines() -> list[str]:
    """Return the commands of the image's first stage that make its environment, in order."""
    stage = re.split(r"^FROM .*$", _read("compose/Dockerfile"), flags=re.MULTILINE)[1]
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", stage, flags=re.MULTILINE))
    lines = re.findall(r"^RUN (.*)$", joined, re.MULTILINE)
    return [line for line in lines if "/opt/" in line]


def dockerfile_variables() -> dict[str, str]:
    """Return what the first stage's `ENV` sets for pip."""
    (line,) = re.findall(r"^ENV (PIP_.*)$", _read("compose/Dockerfile"), re.MULTILINE)
    return dict(word.split("=", 1) for word in line.split())


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
