"""`audit archive`, and how far the audit log of a gateway is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.commands.in_process import Quick


def newest(mosaic: Quick) -> int:
    seq: int = mosaic.rows.one("SELECT seq FROM federation_audit_head")
    return seq


def archive(mosaic: Quick, file: str, before: int | str) -> str:
    return mosaic.ok("audit", "archive", file, "--before", str(before), "--yes").out
