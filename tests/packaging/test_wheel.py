"""The wheel as a stranger gets it: installed without a network, run far from any checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
WHEELS: Final = ROOT / ".wheels"  # filled by `make setup`

pytestmark = pytest.mark.packaging


def run(*argv: str | Path, cwd: Path, timeout_s: float = 120) -> str:
    """Run a command that must succeed, with nothing around it that points to this checkout."""
    strays = ("MOSAIC_", "PIP_", "PYTHON", "COV", "VIRTUAL_ENV")
    result = subprocess.run(
        argv,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith(strays)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert result.returncode == 0, f"{argv}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Path]:
    """Give a folder that everyone may enter: as root, PostgreSQL runs as another account."""
    with tempfile.TemporaryDirectory(prefix="mosaic-wheel-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def installed(elsewhere: Path) -> Path:
    """Build the wheel and install it, and what it needs, into an empty environment."""
    assert WHEELS.is_dir(), "no .wheels: run `make setup` first"
    environment, built = elsewhere / "environment", elsewhere / "built"
    pip = ("-m", "pip", "--isolated", "--quiet", "--disable-pip-version-check")

    build = ("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", built)
    run(sys.executable, *pip, *build, ROOT, cwd=elsewhere)
    (wheel,) = built.iterdir()

    run(sys.executable, "-m", "venv", environment, cwd=elsewhere)
    install = (environment / "bin" / "python", *pip, "install", "--no-index")
    pinned = ("--require-hashes", "--requirement", ROOT / "requirements.txt")
    run(*install, "--find-links", WHEELS, *pinned, cwd=elsewhere)
    run(*install, "--no-deps", wheel, cwd=elsewhere)
    return environment


@pytest.mark.parametrize("folder", ["manifests", "migrations", "schemas", "step-ca"])
def test_wheel_carries_the_folder_as_it_is_in_the_checkout(
    folder: str, installed: Path, elsewhere: Path
) -> None:
    script = f"from reconciler.resources import data_dir; print(data_dir({folder!r}))"

    found = Path(run(installed / "bin" / "python", "-c", script, cwd=elsewhere).strip())

    assert found.is_relative_to(installed)
    assert files_below(ROOT / folder), "nothing to compare"
    assert files_below(found) == files_below(ROOT / folder)


def test_environment_has_what_the_wheel_asks_for_and_no_more(
    installed: Path, elsewhere: Path
) -> None:
    run(installed / "bin" / "python", "-m", "pip", "check", cwd=elsewhere)

    present = run(installed / "bin" / "python", "-m", "pip", "freeze", cwd=elsewhere).lower()

    assert "mosaic-federation" in present
    assert "pytest" not in present


def test_help_is_printed_far_from_the_checkout(installed: Path, elsewhere: Path) -> None:
    assert "federation" in run(installed / "bin" / "mosaic", "--help", cwd=elsewhere)


def test_demo_succeeds_far_from_the_checkout(installed: Path, elsewhere: Path) -> None:
    folder = elsewhere / "demo"
    folder.mkdir()

    assert run(installed / "bin" / "mosaic", "federation", "demo", cwd=folder, timeout_s=240)
