"""The documentation: of one mind with the code, with the tests and pictures, and with itself."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.config import SETTINGS
from reconciler.errors import EXIT_MEANINGS
from reconciler.web.openapi import CALLS
from tests.support.project.checkout import ROOT
from tools import docs
from tools.pictures import IMAGES, MAX_SIZE, PICTURES

if TYPE_CHECKING:
    from pathlib import Path

THREATS: Final = ROOT / "docs" / "threats.md"
PAGES: Final = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))

_TEST: Final = re.compile(r"^(?:    )?(?:async )?def (test_\w+)\(", re.MULTILINE)
_LINK: Final = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
_ELSEWHERE: Final = re.compile(  # but the home of step-ca's image, which a page names
    r"(?<![\w.])/(?:work|root|tmp|home(?!/step\b))/"
)


def rows(page: str, header: str) -> list[list[str]]:
    """Return the cells of the table below a header line."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    begin = lines.index(header) + 2
    end = next(n for n in range(begin, len(lines)) if not lines[n].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[begin:end]]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and Gitea make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}


def test_what_the_code_knows_is_up_to_date() -> None:
    assert list(docs.stale()) == [], "type: make docs"


def test_a_part_that_has_been_changed_by_hand_is_stale() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert docs.renewed(readme.replace("done, or nothing to do", "well")) == readme


def test_exit_codes_of_the_readme_are_those_of_the_table() -> None:
    shown = {int(code): meaning for code, meaning in rows("README.md", "| code | meaning |")}
    assert shown == EXIT_MEANINGS


def test_settings_of_the_readme_are_all_there_are() -> None:
    header = "| variable | in `mosaic.toml` | meaning |"
    shown = {variable.split(",")[0]: meaning for variable, _, meaning in rows("README.md", header)}
    assert shown == {f"`{each.variable}`": each.meaning for each in SETTINGS}


def test_calls_of_the_contract_are_all_there_are() -> None:
    shown = [call for call, _, _ in rows("docs/http.md", "| call | what it is for | answer |")]
    assert shown == [f"`{each.method.upper()} {each.path}`" for each in CALLS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        text = page.parent / target if target else page
        assert text.exists(), target
        assert not anchor or anchor in anchors(text), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_folder_of_the_machine_they_were_written_on(page: Path) -> None:
    assert not _ELSEWHERE.search(page.read_text(encoding="utf-8"))


def test_commands_that_pages_name_exist() -> None:
    known = set(re.findall(r"^## mosaic federation (.+)$", docs.commands(), re.MULTILINE))
    groups = {each.split()[0] for each in known if " " in each}
    for page in PAGES:
        for words in re.findall(r"mosaic federation ((?:[a-z]+ ?){1,2})", page.read_text("utf-8")):
            verb, _, rest = words.strip().partition(" ")
            assert verb in known, f"{page.name}: {words}"
            if verb in groups and rest:
                assert f"{verb} {rest}" in known, f"{page.name}: {words}"


def test_pages_that_the_code_names_exist() -> None:
    for module in (ROOT / "reconciler").rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        for page in re.findall(r"docs/[\w/-]+\.md", text):
            assert (ROOT / page).is_file(), f"{module}: {page}"
        assert not re.search(r"\bDESIGN \d", text), f"{module}: a page that nobody has"


def test_modules_that_pages_name_exist() -> None:
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue  # it tells of the past
        for name in re.findall(r"`([\w/]+\.py)`", page.read_text(encoding="utf-8")):
            places = (ROOT / name, ROOT / "reconciler" / name)
            assert any(place.is_file() for place in places), f"{page.name}: {name}"


def test_the_tool_says_what_is_stale_and_exits_with_1(tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    pages = (*docs.FILES, docs.HELP)
    for name in ("tools/docs.py", *(str(page.relative_to(ROOT)) for page in pages)):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, str(copy / "tools/docs.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0

    page = copy / "README.md"
    page.write_text(page.read_text("utf-8").replace("done, or nothing to do", "well"), "utf-8")

    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 1
    assert "+| 0 | done, or nothing to do |" in completed.stderr
    assert "make docs" in completed.stderr


def test_the_tests_that_the_page_of_threats_names_exist() -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    known = {name for file in files for name in _TEST.findall(file.read_text(encoding="utf-8"))}
    named = re.findall(r"`(test_\w+)`", THREATS.read_text(encoding="utf-8"))
    assert len(named) > 50
    assert set(named) - known == set()


def test_each_threat_has_a_mechanism_and_a_test() -> None:
    for line in THREATS.read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not line.startswith(("|--", "| they try", "| it tries")):
            threat, mechanism, tests = (cell.strip() for cell in line.strip("|").split(" | "))
            assert threat, line
            assert mechanism, line
            assert re.fullmatch(r"(`test_\w+` ?)+", tests), line


def test_each_line_of_security_leads_to_a_threat() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    defended = text.partition("## What is defended")[2].partition("## What is not")[0]
    rows = [line for line in defended.splitlines() if line.startswith("| ")]
    limits = re.findall(
        r"^- .*?(?=^- |\n\n)", text.partition("## What is not")[2], re.MULTILINE | re.DOTALL
    )
    assert len(rows) > 5
    assert len(limits) > 3
    for each in (*rows[1:], *limits):  # the first is the head of the table
        assert "(docs/threats.md#" in each, each


def test_the_readme_shows_the_pictures_that_are_taken_and_no_others() -> None:
    shown = re.findall(r"!\[[^]]{20,}\]\((docs/images/[^)]+)\)", (ROOT / "README.md").read_text())
    assert shown == [f"docs/images/{name}" for name, *_ in PICTURES]
    assert {each.name for each in IMAGES.iterdir()} == {name for name, *_ in PICTURES}


def test_each_picture_is_a_small_png() -> None:
    for name, *_ in PICTURES:
        content = (IMAGES / name).read_bytes()
        assert content.startswith(b"\x89PNG\r\n")
        assert len(content) < MAX_SIZE
