"""The audit log of a gateway as commands show it: followed, archived, and tampered with."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.support.commands.process import COMMAND
from tests.support.gateways.gateway import Up
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.commands.in_process import Quick

TAMPERED: Final = "UPDATE federation_audit_log SET actor = 'nobody' WHERE seq = :seq"


def newest(mosaic: Quick) -> int:
    """Return the sequence number of the last record."""
    seq: int = mosaic.rows.one("SELECT seq FROM federation_audit_head")
    return seq


def archive(mosaic: Quick, file: str, before: int | str) -> str:
    """Archive the records before one, and return what the command says."""
    return mosaic.ok("audit", "archive", file, "--before", str(before), "--yes").out


@contextmanager
def following(mosaic: Quick, *arguments: str) -> Iterator[Up]:
    """Run a command that does not end by itself, and end it."""
    started = Up.begin([*COMMAND, *arguments], mosaic.cwd, mosaic.environ())
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait(PATIENCE_S)
