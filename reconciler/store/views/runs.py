"""Applies that changed something, as pages show them: the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.json_document import document_of
from reconciler.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from reconciler.store.db import Tx

_SELECT: Final = """
SELECT r.id, r.at, r.actor, r.source, r.revision, r.dirty, r.digest, r.summary, c.author, c.subject,
    c.signer
FROM federation_reconcile_runs AS r LEFT JOIN federation_commits AS c ON c.id = r.revision
"""


@dataclass(frozen=True, slots=True)
class RunView:
    """An apply that changed something, and its commit.

    `summary` counts the changes. `records` are the numbers of its audit records; an earlier
    version did not record them.
    """

    id: str
    at: datetime
    actor: str
    source: str
    revision: str | None
    dirty: bool
    author: str | None
    subject: str | None
    signer: str | None
    digest: str
    summary: dict[str, int]
    records: range | None

    def as_json(self) -> dict[str, Any]:
        """Return the document."""
        document = document_of(self)
        del document["records"]
        return document


def count_runs(tx: Tx) -> int:
    """Return how many runs there are."""
    count: int = tx.one("SELECT count(*) AS count FROM federation_reconcile_runs")["count"]
    return count


def list_runs(tx: Tx, page: slice) -> list[RunView]:
    """Return a page of the runs."""
    rows = tx.rows(
        f"{_SELECT} ORDER BY r.at DESC, r.id DESC OFFSET :start LIMIT :count",
        start=page.start,
        count=page.stop - page.start,
    )
    return [_view(row) for row in rows]


def show_run(tx: Tx, run_id: UUID) -> RunView:
    """Return a run.

    Raises:
        Refused: `name_unknown`.
    """
    row = tx.row(f"{_SELECT} WHERE r.id = :id", id=run_id)
    if row is None:
        raise Refused("name_unknown", f"there is no run {run_id}")
    return _view(row)


def _view(row: dict[str, Any]) -> RunView:
    summary = dict(row["summary"])
    records = summary.pop("records", None)
    numbers = range(records["first"], records["last"] + 1) if records is not None else None
    return RunView(**(row | {"id": str(row["id"]), "summary": summary, "records": numbers}))
