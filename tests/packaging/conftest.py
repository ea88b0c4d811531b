"""An empty place, a shell that knows nothing of this checkout, and an index that goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.project.wheel_index import WHEELS, index_environment, write_index

if TYPE_CHECKING:
    from collections.abc import Iterator

STRAYS: Final = ("MOSAIC_", "PIP_", "PYTHON", "COV", "VIRTUAL_ENV", "MAKE", "MFLAGS")


@dataclass(frozen=True)
class Place:
    """A folder, and commands in it with nothing around them that points to this checkout."""

    folder: Path
    variables: dict[str, str]

    def run(self, *argv: str | Path, cwd: Path | None = None, timeout_s: float = 240) -> str:
        """Run what must succeed; return what it printed."""
        done = self.attempt(*argv, cwd=cwd, timeout_s=timeout_s)
        assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def attempt(
        self, *argv: str | Path, cwd: Path | None = None, timeout_s: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            argv,
            cwd=cwd or self.folder,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def environ(self) -> dict[str, str]:
        """Return the environment of commands."""
        around = {name: text for name, text in os.environ.items() if not name.startswith(STRAYS)}
        return around | self.variables


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Place]:
    """Give a folder that everyone may enter: as root, PostgreSQL runs as another account.

    There is no network to pip there: its index is the pinned wheels, and a newer release of each
    package that somebody asks for with an extra.
    """
    assert WHEELS.is_dir(), "no .wheels: run `make setup` first"
    with tempfile.TemporaryDirectory(prefix="mosaic-packaging-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_index(folder / "index")
        yield Place(folder, index_environment(folder / "index"))


@pytest.fixture(scope="session")
def interpreter() -> str:
    """Give a Python of the version that the wheels are for: the system's, or that of `.venv`."""
    name = f"python3.{sys.version_info.minor}"
    system = Path("/usr/bin", name)
    complete = (system, "-c", "import ensurepip, venv")
    if (
        system.exists()
        and subprocess.run(complete, capture_output=True, check=False).returncode == 0
    ):
        return str(system)
    return str(Path(sys.base_prefix, "bin", name))
