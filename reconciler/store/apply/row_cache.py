"""The cache of rows: which of them a plan has found to be what their manifests declare.

A row is known by its fingerprint, the digest of all that a plan reads of it, and its manifest by
the digest of its spec and its place. If both are as they were, so is what a plan says of them:
nothing. It is in the home's cache, is safe to delete, and is as trusted as the home is.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from reconciler.core.model.spec import Kind, spec_text
from reconciler.core.model.states import GrantStatus, PeerStatus
from reconciler.core.model.times import format_duration, rfc3339
from reconciler.files import read_values, write_values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from reconciler.core.model.observed import Observed
    from reconciler.core.model.spec import Declared, Desired, S
    from reconciler.core.plan.model import Plan

    Cached = tuple[str, str, int, str, str]  # spec digest, path, line, fingerprint, peer

_FILE: Final = "rows"
# Raise it when a plan reads more of a row, or says something of one that it said nothing of.
FORMAT: Final = 2
VERSION: Final = f"{metadata.version('mosaic-federation')}+{FORMAT}"

_ENDED: Final = frozenset(
    str(each) for statuses in (PeerStatus, GrantStatus) for each in statuses if each.ended
)
_UNKNOWN: Final = ("", "", 0, "", "")


class EqualRow(NamedTuple):
    """An object whose row is what its manifest declares; `peer` is that of a grant."""

    kind: Kind
    name: str
    peer: str


class RowCache:
    """What is remembered beside the manifests of `desired`; nothing without a folder."""

    def __init__(self, desired: Desired) -> None:
        self._desired = desired
        self._path = Path(desired.cache) / _FILE if desired.cache is not None else None
        rows = read_values(self._path, VERSION) if self._path is not None else None
        self._rows: dict[str, dict[str, Cached]] = rows if rows is not None else {}
        self._found: dict[Kind, dict[str, Cached]] = {kind: {} for kind in Kind}
        self._manifests: dict[Kind, dict[str, Declared[Any]]] = {}

    def known(self) -> dict[str, EqualRow]:
        """Return the objects whose manifests are as they were, by their rows' fingerprints."""
        known: dict[str, EqualRow] = {}
        sides = ((Kind.PEER, self._desired.peers), (Kind.GRANT, self._desired.grants))
        for kind, manifests in sides if self._rows else ():
            rows = self._rows[str(kind)]
            for each in manifests:
                digest, path, line, fingerprint, peer = rows.get(each.name, _UNKNOWN)
                place = each.place
                if digest == each.digest and path == place.path and line == place.line:
                    known[fingerprint] = EqualRow(kind, each.name, peer)
        return known

    def equal(self, kind: Kind, row: Mapping[str, Any]) -> EqualRow | None:
        """Return the object of a row that is what its manifest declares, with no more to say."""
        if not self._manifests:
            self._manifests[Kind.PEER] = {each.name: each for each in self._desired.peers}
            self._manifests[Kind.GRANT] = {each.name: each for each in self._desired.grants}
        name: str = row["name"]
        manifest = self._manifests[kind].get(name)
        if (
            manifest is None
            or not row["managed"]
            or row["hold"] is not None
            or row["status"] in _ENDED
            or row["source_path"] != manifest.place.path
            or row["source_line"] != manifest.place.line
            or row["spec_digest"] != manifest.digest
            or _text_of(kind, row) != manifest.text
        ):
            return None
        peer: str = row["peer"] if kind is Kind.GRANT else ""
        self._found[kind][name] = _cached(manifest, row["fingerprint"], peer)
        return EqualRow(kind, name, peer)

    def remember(self, observed: Observed, plan: Plan) -> None:
        """Remember the rows of which a plan of everything says nothing, beside those it knew."""
        if self._path is None:
            return
        rows = {
            str(Kind.PEER): self._known(Kind.PEER, observed.equal_peers)
            | _peers(self._desired, observed, plan),
            str(Kind.GRANT): self._known(Kind.GRANT, observed.equal_grants)
            | _grants(self._desired, observed, plan),
        }
        if rows != self._rows:
            write_values(self._path, VERSION, rows)

    def _known(self, kind: Kind, names: frozenset[str]) -> dict[str, Cached]:
        rows, found = self._rows.get(str(kind), {}), self._found[kind]
        if not found and len(rows) == len(names):
            return rows
        return {name: found[name] if name in found else rows[name] for name in names}


def _text_of(kind: Kind, row: Mapping[str, Any]) -> str:
    """Return the canonical JSON of what columns say, if they are as we write them; else another.

    No value is made of them: most rows are equal, and are not looked at again.
    """
    if kind is Kind.PEER:
        return spec_text(
            {
                "direction": row["direction"],
                "displayName": row["display_name"],
                "endpoint": row["endpoint_url"],
                "labels": row["labels"],
                "protect": row["protect"],
            }
        )
    return spec_text(
        {
            "peer": row["peer"],
            "subjectUserId": row["subject_user_id"],
            "expiresAt": rfc3339(datetime.fromisoformat(row["expires_at"])),
            "suspended": row["suspended"],
            "protect": row["protect"],
            "scope": row["scope"],
            "certificate": {"lifetime": format_duration(timedelta(seconds=row["lifetime_s"]))},
        }
    )


def _peers(desired: Desired, observed: Observed, plan: Plan) -> dict[str, Cached]:
    rows = {row.name: row for row in observed.peers if row.managed and not row.ended}
    equal = _equal(Kind.PEER, desired.peers, rows.keys(), plan)
    return {each.name: _cached(each, rows[each.name].fingerprint, "") for each in equal}


def _grants(desired: Desired, observed: Observed, plan: Plan) -> dict[str, Cached]:
    rows = {row.name: row for row in observed.grants if row.managed and not row.ended}
    equal = _equal(Kind.GRANT, desired.grants, rows.keys(), plan)
    return {
        each.name: _cached(each, rows[each.name].fingerprint, rows[each.name].spec.peer)
        for each in equal
    }


def _equal(
    kind: Kind, manifests: tuple[Declared[S], ...], rows: Collection[str], plan: Plan
) -> Iterator[Declared[S]]:
    """Yield the manifests that have a row, and of which the plan says nothing."""
    mentioned = {
        *(each.name for each in plan.changes if each.kind is kind),
        *(each.name for each in plan.notes if each.kind is kind),
        *(book.row.name for book in plan.adopted_peers),  # of either kind: it is read once more
        *(book.row.name for book in plan.adopted_grants),
    }
    return (each for each in manifests if each.name in rows and each.name not in mentioned)


def _cached(manifest: Declared[Any], fingerprint: str, peer: str) -> Cached:
    place = manifest.place
    return (manifest.digest, place.path, place.line, fingerprint, peer)
