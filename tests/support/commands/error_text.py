"""What a person is told when something is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.support.commands.process import Ended

PROGRESS: Final = ("acting on ", "creating a gateway in ")  # what is told before it is done


def assert_error(ended: Ended, code: int, *words: str) -> None:
    """Check that a command failed with one line, a next step, and no traceback."""
    assert ended.code == code, ended
    assert "Traceback" not in ended.err
    lines = [line for line in ended.err.splitlines() if not line.startswith(PROGRESS)]
    assert len(lines) == 2, ended.err
    assert lines[0].startswith("error: ")
    assert re.fullmatch(r"  \S.*", lines[1]), "the next thing to do"
    assert "internal error" not in ended.err
    for word in words:
        assert word in ended.err, ended.err
