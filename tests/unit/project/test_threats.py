"""The page of threats: its tests exist, and each line of SECURITY.md leads to it."""

from __future__ import annotations

import re
from typing import Final

from tests.support.project.checkout import ROOT

PAGE: Final = ROOT / "docs" / "threats.md"
_TEST: Final = re.compile(r"^(?:    )?(?:async )?def (test_\w+)\(", re.MULTILINE)


def test_the_tests_that_it_names_exist() -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    known = {name for file in files for name in _TEST.findall(file.read_text(encoding="utf-8"))}
    named = re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 50
    assert set(named) - known == set()


def test_each_threat_has_a_mechanism_and_a_test() -> None:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not line.startswith(("|--", "| they try", "| it tries")):
            threat, mechanism, tests = (cell.strip() for cell in line.strip("|").split(" | "))
            assert threat, line
            assert mechanism, line
            assert re.fullmatch(r"(`test_\w+` ?)+", tests), line


def test_each_line_of_security_leads_to_it() -> None:
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
