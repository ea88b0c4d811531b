"""The document of each page, from the rows: what is shown, and what its `.json` answers.

Every list is bounded, as a page is read by people: `…Count` and `totals` say how many there are.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from reconciler.core.audit.record_lines import readable_body
from reconciler.core.model.states import GrantStatus, PeerStatus
from reconciler.core.model.text import shown
from reconciler.core.model.times import rfc3339
from reconciler.errors import Refused
from reconciler.store.audit.archives import newest_archive
from reconciler.store.audit.log import RecordFilter, newest
from reconciler.store.audit.queries import BEGINNINGS, newest_of_row, numbered
from reconciler.store.views.grants import GrantFilter, count_grants, list_grants, show_grant
from reconciler.store.views.peers import PeerFilter, count_peers, list_peers, show_peer
from reconciler.store.views.runs import count_runs, list_runs, show_run
from reconciler.store.views.status import reconcilers, status
from reconciler.web.private.pages.charts import ends_by_day
from reconciler.web.private.pages.query import PAGE_SIZE, Page, Query
from reconciler.web.private.pages.wording import issuance_steps, scope_sentences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.store.db import Tx
    from reconciler.store.drift.detector import DriftDetector

    Document = dict[str, Any]

MAX_LISTED: Final = 20  # of a list that is part of a page
MAX_STORY: Final = 500  # records of a grant, among which the steps of its issuances are looked for
MAX_HISTORY: Final = 50  # records of an object that are shown
ENDS: Final = ("1", "7", "30")  # days
DIRECTIONS: Final = ("inbound", "outbound")


def overview(tx: Tx, _query: Query, cache: DriftDetector) -> Document:
    """Return what is applied, what fails, what is held and what ends soon."""
    document = status(tx, cache.drifted).as_json()
    calendar = ends_by_day(document.pop("ending"))
    lists = {name: each for name, each in document.items() if isinstance(each, list)}
    return {
        **document,
        **{name: each[:MAX_LISTED] for name, each in lists.items()},
        "totals": {name: len(each) for name, each in lists.items()},
        "calendar": calendar,
    }


def grants(tx: Tx, query: Query) -> Document:
    """Return a page of the grants that the query asks for."""
    ends = query.choice("ends", ENDS)
    only = GrantFilter(
        query.text("q"),
        _chosen(query.choice("status", list(GrantStatus))),
        _chosen(query.text("peer")),
        ends_within=timedelta(days=int(ends)) if ends else None,
    )
    page = Page.of(query, count_grants(tx, only))
    rows = list_grants(tx, only, page.rows, MAX_LISTED)
    return {**_at(tx), **page.as_json(), "grants": [each.as_json() for each in rows]}


def grant(tx: Tx, query: Query, name: str) -> Document:
    """Return a grant: its document, its scope in words, and the story of each issuance.

    Raises:
        Refused: `name_unknown`.
    """
    view = show_grant(tx, name, query.row_id(), MAX_LISTED)
    records = newest_of_row(tx, view.id, MAX_STORY)
    return {
        **view.as_json(),
        **_at(tx),
        "scopeInWords": scope_sentences(view.scope, view.subject_user_id),
        "issuances": [
            {"serial": each.serial, "status": each.status, "steps": steps}
            for each in reversed(view.certificates)
            if (steps := _steps(each.serial, records))
        ],
        "history": [_brief(each) for each in records[: -MAX_HISTORY - 1 : -1]],
        "archive": _archive_of(tx, records),
    }


def peers(tx: Tx, query: Query) -> Document:
    """Return a page of the peers that the query asks for."""
    only = PeerFilter(
        query.text("q"),
        _chosen(query.choice("status", list(PeerStatus))),
        query.choice("direction", DIRECTIONS),
    )
    page = Page.of(query, count_peers(tx, only))
    rows = list_peers(tx, only, page.rows)
    return {**_at(tx), **page.as_json(), "peers": [_bounded(each.as_json()) for each in rows]}


def peer(tx: Tx, query: Query, name: str) -> Document:
    """Return a peer: its document and its history.

    Raises:
        Refused: `name_unknown`.
    """
    view = show_peer(tx, name, query.row_id())
    records = newest_of_row(tx, view.id, MAX_HISTORY)
    history = [_brief(each) for each in reversed(records)]
    archive = _archive_of(tx, records)
    return {**_bounded(view.as_json()), **_at(tx), "history": history, "archive": archive}


def runs(tx: Tx, query: Query) -> Document:
    """Return the state of each loop, and a page of the applies that changed something."""
    page = Page.of(query, count_runs(tx))
    return {
        **_at(tx),
        "reconcilers": [each.as_json() for each in reconcilers(tx)][:MAX_LISTED],
        **page.as_json(),
        "runs": [each.as_json() for each in list_runs(tx, page.rows)],
    }


def run(tx: Tx, query: Query, name: str) -> Document:
    """Return an apply with the changes of its plan, as the audit log has them.

    Raises:
        Refused: `name_unknown`.
    """
    try:
        view = show_run(tx, UUID(name))
    except ValueError:
        raise Refused("name_unknown", f"there is no run {shown(name)}") from None
    records = view.records or range(0)
    page = Page.of(query, len(records))
    changes = [_change(each) for each in numbered(tx, records[page.rows])] if records else []
    archive = newest_archive(tx)
    return {
        **view.as_json(),
        **_at(tx),
        **page.as_json(),
        "recorded": view.records is not None,
        "archived": archive is not None and records.start in range(1, archive.last.seq + 1),
        "changes": changes,
    }


def drift(tx: Tx, query: Query, cache: DriftDetector) -> Document:
    """Return a page of what was changed in the database by hand."""
    drifts = cache.drifted(tx)
    page = Page.of(query, len(drifts))
    return {**_at(tx), **page.as_json(), "drift": [each.as_json() for each in page.cut(drifts)]}


def audit(tx: Tx, query: Query) -> Document:
    """Return the newest records of the audit log that the query asks for, the newest first."""
    kind, subject = query.text("kind"), query.text("subject")
    only = RecordFilter(_chosen(kind), None, subject or None, query.number("before"))
    rows = newest(tx, PAGE_SIZE + 1, only)[::-1]
    page = rows[:PAGE_SIZE]
    records = [
        {
            "seq": row["seq"],
            "at": rfc3339(row["at"]),
            "kind": row["kind"],
            "actor": row["actor"],
            "subject": row["subject"],
            "data": readable_body(row["body"])["data"],
        }
        for row in page
    ]
    older = page[-1]["seq"] if len(rows) > PAGE_SIZE else None
    return {**_at(tx), "records": records, "older": older, "archive": _archive_of(tx, ())}


def _archive_of(tx: Tx, records: Sequence[Mapping[str, Any]]) -> Document | None:
    """Return the newest archive, unless these records tell how their row began."""
    archive = newest_archive(tx)
    if archive is None or any(each["kind"].endswith(BEGINNINGS) for each in records):
        return None
    return archive.as_json()


def _chosen(value: str) -> tuple[str, ...]:
    return (value,) if value else ()


def _at(tx: Tx) -> Document:
    return {"now": rfc3339(tx.now())}


def _bounded(document: Document) -> Document:
    """Return a peer's document with the first of its grants, and their count."""
    names = document["grants"]
    return document | {"grants": names[:MAX_LISTED], "grantCount": len(names)}


def _steps(serial: str, records: Sequence[Mapping[str, Any]]) -> list[Document]:
    return [each | {"at": rfc3339(each["at"])} for each in issuance_steps(serial, records)]


def _brief(record: Mapping[str, Any]) -> Document:
    """Return a record without its details, but for the reason and the commit."""
    names = ("seq", "kind", "actor", "reason", "commit")
    return {"at": rfc3339(record["at"]), **{name: record[name] for name in names}}


def _change(record: Mapping[str, Any]) -> Document:
    data = record["data"]
    return {
        "seq": record["seq"],
        "kind": record["kind"],
        "subject": record["subject"],
        "reason": record["reason"],
        "place": data.get("place"),
        "fields": data.get("fields") or [],
    }
