"""The set-up, by the lines that stand in the Makefile and the Dockerfile, on a later day.

pip's index has newer releases than those that are pinned. A line that resolves finds them.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

from tests.support.project.checkout import ROOT
from tests.support.project.install_lines import (
    copy_checkout,
    dockerfile_lines,
    dockerfile_variables,
)
from tests.support.project.wheel_index import (
    NEWER,
    requested_with_an_extra,
    write_newer_releases,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.packaging.conftest import Place

pytestmark = pytest.mark.packaging


def installed(python: Path, place: Place) -> dict[str, str]:
    """Return the versions in an environment by package, but ours and what `venv` itself brings."""
    script = "import importlib.metadata as m\nfor d in m.distributions(): print(d.name, d.version)"
    listed = dict(line.split() for line in place.run(python, "-c", script).splitlines())
    own = ("mosaic-federation", "pip", "setuptools")
    return {canonicalize_name(name): text for name, text in listed.items() if name not in own}


def pinned(requirements: str) -> dict[str, str]:
    """Return the versions that a requirements file pins, by package."""
    text = (ROOT / requirements).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", text, re.MULTILINE))


def test_packages_with_extras_are_in_the_index_in_a_newer_release(elsewhere: Place) -> None:
    names = {path.name.split("-")[0] for path in (elsewhere.folder / "index").glob(f"*-{NEWER}-*")}

    assert {"coverage", "psycopg", "sqlalchemy", "ruamel_yaml"} <= names
    assert len(names) == len(requested_with_an_extra())


def test_a_line_that_resolves_fails_with_this_index(elsewhere: Place, interpreter: str) -> None:
    requirements = ROOT / "requirements-dev.txt"
    line = ("download", "--only-binary", ":all:", "--require-hashes", "--dest", "resolved")

    done = elsewhere.attempt(interpreter, "-m", "pip", *line, "--requirement", requirements)

    assert done.returncode != 0
    assert "must have their versions pinned" in done.stderr


def test_make_setup_installs_what_is_pinned_and_checks_it(
    elsewhere: Place, interpreter: str
) -> None:
    checkout = copy_checkout(elsewhere.folder / "checkout")
    (checkout / ".wheels").mkdir()
    write_newer_releases(checkout / ".wheels")

    printed = elsewhere.run("make", "setup", f"PYTHON={interpreter}", cwd=checkout)

    assert "No broken requirements found" in printed
    python = checkout / ".venv" / "bin" / "python"
    environment = installed(python, elsewhere)
    assert environment.items() <= pinned("requirements-dev.txt").items()
    assert {"pytest", "coverage", "sqlalchemy"} <= environment.keys()
    assert "federation" in elsewhere.run(python.with_name("mosaic"), "--help")
    assert "setup:" not in elsewhere.run("make", "setup", cwd=checkout)


def test_the_image_is_made_of_what_is_pinned(elsewhere: Place, interpreter: str) -> None:
    sources, image = copy_checkout(elsewhere.folder / "sources"), elsewhere.folder / "image"
    image.mkdir()
    variables = " ".join(f"{name}={text}" for name, text in dockerfile_variables().items())

    for line in dockerfile_lines():
        moved = re.sub(r"(?<![\w.])/(opt|wheels)\b", rf"{image}/\1", line)
        command = re.sub(r"\bpython3 -m venv\b", f"{interpreter} -m venv", moved)
        elsewhere.run("sh", "-euc", f"export {variables}; {command}", cwd=sources)

    environment = installed(image / "opt/mosaic/bin/python", elsewhere)
    assert environment.items() <= pinned("requirements.txt").items()
    assert {"psycopg", "sqlalchemy"} <= environment.keys()
    assert "federation" in elsewhere.run(image / "opt/mosaic/bin/mosaic", "--help")


def test_pinning_anew_does_not_need_what_is_not_pinned_yet() -> None:
    """pyproject.toml asks for more than is installed: a check of that would end the command."""
    words = ["make", "--dry-run", "--always-make", "requirements"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "requirements.sh" in done.stdout
    assert "--editable" not in done.stdout
