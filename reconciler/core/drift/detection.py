"""Detection of drift: where rows and certificates differ from their state in the audit log.

Pure. Git is not read: a row that differs from git alone is a change of a plan, not drift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.core.audit.fold import same_hold
from reconciler.core.drift.model import Drift, DriftKind
from reconciler.core.model.json_document import json_value
from reconciler.core.model.scope import Effect
from reconciler.core.model.spec import Kind, spec_digest, spec_from_json
from reconciler.core.plan.diff import FieldChange, declared_fields, diff

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.core.audit.state import AuditState, RowState
    from reconciler.core.drift.model import HandChange, StoredCertificate, StoredRow
    from reconciler.core.model.observed import ByHand
    from reconciler.core.model.spec import Spec

LIVE: Final = ("active", "suspended")  # the statuses that follow an enrollment
ENDED: Final = ("revoked", "expired")


def find_drift(
    rows: Iterable[StoredRow],
    certificates: Iterable[StoredCertificate],
    state: AuditState,
    hand_changes: Sequence[HandChange],
    others: frozenset[str] = frozenset(),
) -> tuple[Drift, ...]:
    """Return every object that drifted, peers, grants, then certificates, by name.

    `hand_changes` come newest first; `others` are the live subjects of rows that are not given.
    """
    rows = tuple(rows)
    subjects = others.union(filter(None, (live_subject(row, state) for row in rows)))
    by_row: dict[str, list[HandChange]] = {}
    for change in hand_changes:
        by_row.setdefault(change.row_id, []).append(change)
    judged = (_of_row(row, state, by_row.get(row.id, ()), subjects) for row in rows)
    drifts = [each for each in judged if each is not None]
    drifts.sort(key=lambda each: (each.subject.startswith("grant/"), each.subject))
    of_certificates = (
        _of_certificate(each, state, by_row.get(each.id, ())) for each in certificates
    )
    certificate_drifts = [each for each in of_certificates if each is not None]
    return (*drifts, *sorted(certificate_drifts, key=lambda each: each.subject))


def live_subject(row: StoredRow, state: AuditState) -> str | None:
    """Return the subject of a row that lives under the name that it was given."""
    row_state = state.rows.get(row.id)
    has_own_name = row_state is None or row_state.name == row.name
    return row.subject if has_own_name and row.status not in ENDED else None


def _of_row(
    row: StoredRow,
    state: AuditState,
    hand_changes: Sequence[HandChange],
    live_subjects: frozenset[str],
) -> Drift | None:
    row_state = state.rows.get(row.id)
    if row_state is None and row.subject in state.unnamed_subjects:
        return _from_earlier_version(row, hand_changes)
    if row_state is None or (row_state.spec is None and not row_state.end):
        if row.status in ENDED:
            return None  # it never gave anything that could be taken back now
        remedy = "nothing was applied here: --revert revokes it, --adopt declares it"
        fields = declared_fields(row.spec)
        return Drift(
            DriftKind.INSERTED, fields, _changed_by(row, (), hand_changes), row, remedy=remedy
        )
    applied = spec_from_json(row.kind, row_state.spec) if row_state.spec is not None else None
    if row.status in ENDED and not row_state.end:
        old = _status_of(row_state, applied, row)
        field = FieldChange("status", old, row.status, Effect.NARROWS)
        remedy = (
            "an ended object is not restored: --revert completes its revocation, also at the CA;"
            " the next apply creates it again if git declares it, and its peer enrolls again"
        )
        who = _changed_by(row, ("status",), hand_changes)
        return Drift(DriftKind.ENDED, (field,), who, row, None, applied, row_state, remedy)
    fields = tuple(_fields(row, row_state, applied))
    if not fields:
        return None
    columns = tuple(_column(field.path) for field in fields)
    remedy = ""
    if any(field.path == "status" and field.old == "pending" for field in fields):
        remedy = (
            "no peer has enrolled, and a row cannot return to pending: `mosaic federation grant"
            " revoke"
            f" {row.name}` removes it"
        )
    elif row.kind.subject(row_state.name) in live_subjects - {row.subject}:
        remedy = (
            f"another row uses the name {row_state.name} now, so it cannot be restored:"
            f" `mosaic federation {row.kind.lower()} revoke {row.name}` removes it"
        )
    who = _changed_by(row, columns, hand_changes)
    return Drift(DriftKind.CHANGED, fields, who, row, None, applied, row_state, remedy)


def _from_earlier_version(row: StoredRow, hand_changes: Sequence[HandChange]) -> Drift | None:
    """Judge a row that was last written before records held the whole spec."""
    own = spec_digest(row.spec)
    if own == row.digest or row.status in ENDED:
        return None
    field = FieldChange("digest", row.digest, own, Effect.NEUTRAL)
    remedy = "the audit log does not record what was applied: `mosaic federation apply` restores it"
    return Drift(
        DriftKind.CHANGED, (field,), _changed_by(row, (), hand_changes), row, remedy=remedy
    )


def _fields(row: StoredRow, row_state: RowState, applied: Spec | None) -> Iterator[FieldChange]:
    live = row.status not in ENDED
    if live and row.name != row_state.name:
        yield FieldChange("name", row_state.name, row.name, Effect.NEUTRAL)
    if live and applied is not None:
        yield from diff(applied, row.spec)
        if row.digest != row_state.digest:
            yield FieldChange("digest", row_state.digest, row.digest, Effect.NEUTRAL)
    if live and row_state.end:
        yield FieldChange("status", row_state.end, row.status, Effect.WIDENS)
    elif live and row.kind is Kind.GRANT and (row.status in LIVE) != row_state.enrolled:
        old = _status_of(row_state, applied, row)
        effect = Effect.NARROWS if row_state.enrolled else Effect.WIDENS
        yield FieldChange("status", old, row.status, effect)
    if not same_hold(row_state.hold, row.hold):
        old_hold, new_hold = json_value(row_state.hold), json_value(row.hold)
        effect = Effect.of(widens=row_state.hold is not None, narrows=row.hold is not None)
        yield FieldChange("hold", old_hold, new_hold, effect)
    if live and row_state.managed != row.managed:
        yield FieldChange("managed", row_state.managed, row.managed, Effect.NEUTRAL)


def _status_of(row_state: RowState, applied: Spec | None, row: StoredRow) -> str:
    if row.kind is Kind.PEER:
        return "active"
    if not row_state.enrolled:
        return "pending"
    suspended = bool(getattr(applied, "suspended", False)) or row_state.hold is not None
    return "suspended" if suspended else "active"


def _of_certificate(
    certificate: StoredCertificate, state: AuditState, hand_changes: Sequence[HandChange]
) -> Drift | None:
    serial, status = certificate.serial, certificate.status
    change = next((each for each in hand_changes if "status" in each.new), None)
    who = change.by if change is not None and change.new["status"] == status else None
    expected = "issued" if serial in state.issued else "absent"
    if serial in state.revoking:
        expected = "revoking"
    if serial in state.revoked:
        expected = "revoked"
    if status == "revoked" and expected == "revoked":
        if certificate.listed:
            return None
        field = FieldChange("revocationList", "listed", "not listed", Effect.WIDENS)
        return Drift(DriftKind.UNLISTED, (field,), None, certificate=certificate)
    remedy = ""
    if status == "revoking" and expected == "issued" and who is not None:
        effect = Effect.NARROWS
        remedy = "it is being revoked, which cannot be undone: its peer renews or enrolls again"
    elif status == "revoked" or (status == "issued" and expected != "issued"):
        effect = Effect.WIDENS if status == "issued" else Effect.NARROWS
    else:
        return None
    field = FieldChange("status", expected, status, effect)
    return Drift(DriftKind.CERTIFICATE, (field,), who, certificate=certificate, remedy=remedy)


_COLUMNS: Final = {
    "peer": "peer_id",
    "subjectUserId": "subject_user_id",
    "expiresAt": "expires_at",
    "displayName": "display_name",
    "endpoint": "endpoint_url",
    "digest": "spec_digest",
    "certificate": "lifetime",
}


def _column(path: str) -> str:
    top = path.partition(".")[0]
    return _COLUMNS.get(top, top)


def _changed_by(
    row: StoredRow, columns: tuple[str, ...], hand_changes: Sequence[HandChange]
) -> ByHand | None:
    """Return who wrote what stands in one of the columns now; in any of them where none is named.

    None where no trigger saw it.
    """
    for each in hand_changes:
        written = each.new.keys() & set(columns or each.new)
        if any(each.new[name] == row.columns.get(name) for name in written):
            return each.by
    return None
