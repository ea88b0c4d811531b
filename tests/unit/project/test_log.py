"""The lines of the log: one a record, and nothing in them that a terminal obeys."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from reconciler import log

if TYPE_CHECKING:
    import pytest


def test_a_record_is_a_line_that_prints_whatever_it_quotes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, ours = logging.getLogger(), logging.getLogger("reconciler")
    before = (root.handlers[:], root.level, ours.level)
    try:
        log.configure("info")
        with log.about("a\u202eb"):
            ours.warning("the CA said %s", "\x1b[2J\x9b\u2028\nforged: \u2066line\r")
        ours.error("broken", exc_info=ValueError("\x07\n"))
    finally:
        root.handlers[:], root.level = before[:2]
        ours.setLevel(before[2])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    assert lines[0].endswith(r"\x1b[2J\x9b\u2028\nforged: \u2066line\r [peer a\u202eb]")
