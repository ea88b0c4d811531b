"""Drift: where the rows differ from what the audit log says was last done to them.

Pure. Git is not asked: a row that differs from git alone is a change of a plan, not drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.fold import AuditState, RowState, same_hold
from reconciler.core.model.scope import Effect
from reconciler.core.model.spec import Kind, spec_digest, spec_from_json
from reconciler.core.model.times import rfc3339
from reconciler.core.plan.diff import FieldChange, declared_fields, diff

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.core.drift.evidence import HandChange, StoredCertificate, StoredRow
    from reconciler.core.model.observed import ByHand
    from reconciler.core.model.spec import Spec

LIVE: Final = ("active", "suspended")  # the statuses that follow an enrollment
ENDED: Final = ("revoked", "expired")


class What(StrEnum):
    """The kinds of drift."""

    CHANGED = "changed"  # columns of a row
    INSERTED = "inserted"  # a row that no command made
    ENDED = "ended"  # a status moved to an end, which nothing leaves
    CERTIFICATE = "certificate"  # a certificate's status
    UNLISTED = "unlisted"  # revoked, and the CA's list lacks it


@dataclass(frozen=True, slots=True)
class Drift:
    """One object that drifted: `fields` have what was applied as old, what was found as new.

    `row` or `certificate` is what is there. `applied` is what an applied row declared (None: no
    entry tells), `account` all that is known of it. `remedy` is what to do where `--revert` cannot
    bring the object back.
    """

    what: What
    fields: tuple[FieldChange, ...]
    changed_by: ByHand | None = None
    row: StoredRow | None = None
    certificate: StoredCertificate | None = None
    applied: Spec | None = None
    account: RowState | None = None
    remedy: str = ""

    @property
    def subject(self) -> str:
        """What it is about: `grant/beta-tasks`, or `certificate/<serial>`."""
        if self.row is not None:
            return self.row.subject
        assert self.certificate is not None
        return f"certificate/{self.certificate.serial}"

    @property
    def declares(self) -> bool:
        """Whether what the row declares has changed, and nothing that no manifest can say."""
        if self.row is None or self.what not in (What.CHANGED, What.INSERTED):
            return False
        own = {"digest", "status", "hold", "managed", "name"}
        paths = {field.path for field in self.fields}
        return self.what is What.INSERTED or (
            not paths & (own - {"digest"}) and paths != {"digest"}
        )

    @property
    def reverts(self) -> bool:
        """Whether `--revert` does something about it."""
        return self.what is not What.CHANGED or not self.remedy

    @property
    def key(self) -> str:
        """What stays the same of it, whatever it is called."""
        return self.row.id if self.row is not None else self.subject

    @property
    def identity(self) -> str:
        """What names it on the command line: a certificate is its grant's."""
        return self.subject if self.certificate is None else f"grant/{self.certificate.grant}"

    @property
    def names(self) -> bool:
        """Whether the row is to have the name back that it was given."""
        ended = self.account is not None and self.account.end
        return not ended and any(field.path == "name" for field in self.fields)

    def as_json(self) -> dict[str, Any]:
        """Return the object of the contract."""
        row, certificate, by = self.row, self.certificate, self.changed_by
        place = row.place if row is not None else None
        return {
            "kind": str(row.kind) if row is not None else "Certificate",
            "name": row.name if row is not None else self.subject.partition("/")[2],
            "grant": certificate.grant if certificate is not None else None,
            "what": str(self.what),
            "fields": [
                {
                    "path": field.path,
                    "applied": field.old,
                    "found": field.new,
                    "effect": str(field.effect),
                }
                for field in self.fields
            ],
            "changedBy": {
                "role": by.role,
                "application": by.application,
                "address": by.address,
                "at": rfc3339(by.at),
            }
            if by is not None
            else None,
            "source": {"path": place.path, "line": place.line} if place is not None else None,
            "remedy": self.remedy,
        }


def find_drift(
    rows: Iterable[StoredRow],
    certificates: Iterable[StoredCertificate],
    state: AuditState,
    hands: Sequence[HandChange],
) -> tuple[Drift, ...]:
    """Return every object that drifted, peers, grants, then certificates, by name.

    `hands` come newest first.
    """
    rows = tuple(rows)
    kept = frozenset(row.subject for row in rows if _keeps_name(row, state.rows.get(row.id)))
    found = [drift for row in rows if (drift := _of_row(row, state, hands, kept)) is not None]
    found.sort(key=lambda each: (each.subject.startswith("grant/"), each.subject))
    of_certificates = (_of_certificate(each, state, hands) for each in certificates)
    lost = [each for each in of_certificates if each is not None]
    return (*found, *sorted(lost, key=lambda each: each.subject))


def _keeps_name(row: StoredRow, account: RowState | None) -> bool:
    """Tell whether a row lives under the name that it was given."""
    return row.status not in ENDED and (account is None or account.name == row.name)


def _of_row(
    row: StoredRow, state: AuditState, hands: Sequence[HandChange], kept: frozenset[str]
) -> Drift | None:
    account = state.rows.get(row.id)
    if account is None and row.subject in state.unnamed_subjects:
        return _older(row, hands)
    if account is None or (account.spec is None and not account.end):
        if row.status in ENDED:
            return None  # it never gave anything that could be taken back now
        remedy = "nothing was applied here: --revert revokes it, --adopt declares it"
        fields = declared_fields(row.spec)
        return Drift(What.INSERTED, fields, _who(row, (), hands), row, remedy=remedy)
    applied = spec_from_json(row.kind, account.spec) if account.spec is not None else None
    if row.status in ENDED and not account.end:
        old = _status_of(account, applied, row)
        field = FieldChange("status", old, row.status, Effect.NARROWS)
        remedy = (
            "what has ended stays ended: --revert carries its end out, at the CA too; the next"
            " apply makes it anew where git declares it, and its peer enrolls again"
        )
        who = _who(row, ("status",), hands)
        return Drift(What.ENDED, (field,), who, row, None, applied, account, remedy)
    fields = tuple(_fields(row, account, applied))
    if not fields:
        return None
    columns = tuple(_column(field.path) for field in fields)
    remedy = ""
    if any(field.path == "status" and field.old == "pending" for field in fields):
        remedy = (
            f"nobody enrolled, and no row goes back to pending: `mosaic federation grant revoke"
            f" {row.name}` takes it away"
        )
    elif f"{str(row.kind).lower()}/{account.name}" in kept - {row.subject}:
        remedy = (
            f"another row has the name {account.name} by now, so this one cannot have it back:"
            f" `mosaic federation {str(row.kind).lower()} revoke {row.name}` takes it away"
        )
    who = _who(row, columns, hands)
    return Drift(What.CHANGED, fields, who, row, None, applied, account, remedy)


def _older(row: StoredRow, hands: Sequence[HandChange]) -> Drift | None:
    """Judge a row that was last written before entries told the whole spec."""
    own = spec_digest(row.spec)
    if own == row.digest or row.status in ENDED:
        return None
    field = FieldChange("digest", row.digest, own, Effect.NEUTRAL)
    remedy = "what was applied is not recorded this far back: `mosaic federation apply` restores it"
    return Drift(What.CHANGED, (field,), _who(row, (), hands), row, remedy=remedy)


def _fields(row: StoredRow, account: RowState, applied: Spec | None) -> Iterator[FieldChange]:
    live = row.status not in ENDED
    if live and row.name != account.name:
        yield FieldChange("name", account.name, row.name, Effect.NEUTRAL)
    if live and applied is not None:
        yield from diff(applied, row.spec)
        if row.digest != account.digest:
            yield FieldChange("digest", account.digest, row.digest, Effect.NEUTRAL)
    if live and account.end:
        yield FieldChange("status", account.end, row.status, Effect.WIDENS)
    elif live and row.kind is Kind.GRANT and (row.status in LIVE) != account.enrolled:
        old = _status_of(account, applied, row)
        effect = Effect.NARROWS if account.enrolled else Effect.WIDENS
        yield FieldChange("status", old, row.status, effect)
    if not same_hold(account.hold, row.hold):
        old_hold = account.hold.as_json() if account.hold is not None else None
        new_hold = row.hold.as_json() if row.hold is not None else None
        effect = Effect.of(widens=account.hold is not None, narrows=row.hold is not None)
        yield FieldChange("hold", old_hold, new_hold, effect)
    if live and account.managed != row.managed:
        yield FieldChange("managed", account.managed, row.managed, Effect.NEUTRAL)


def _status_of(account: RowState, applied: Spec | None, row: StoredRow) -> str:
    if row.kind is Kind.PEER:
        return "active"
    if not account.enrolled:
        return "pending"
    suspended = bool(getattr(applied, "suspended", False)) or account.hold is not None
    return "suspended" if suspended else "active"


def _of_certificate(
    found: StoredCertificate, state: AuditState, hands: Sequence[HandChange]
) -> Drift | None:
    serial, status = found.serial, found.status
    by = next((each for each in hands if each.row_id == found.id and "status" in each.new), None)
    who = by.by if by is not None and by.new["status"] == status else None
    told = "issued" if serial in state.issued else "absent"
    if serial in state.revoking:
        told = "revoking"
    if serial in state.revoked:
        told = "revoked"
    if status == "revoked" and told == "revoked":
        if found.listed:
            return None
        field = FieldChange("revocationList", "listed", "not listed", Effect.WIDENS)
        return Drift(What.UNLISTED, (field,), None, certificate=found)
    remedy = ""
    if status == "revoking" and told == "issued" and who is not None:
        effect = Effect.NARROWS
        remedy = "it is being revoked, and nothing calls that back: its peer renews or enrolls anew"
    elif status == "revoked" or (status == "issued" and told != "issued"):
        effect = Effect.WIDENS if status == "issued" else Effect.NARROWS
    else:
        return None
    field = FieldChange("status", told, status, effect)
    return Drift(What.CERTIFICATE, (field,), who, certificate=found, remedy=remedy)


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


def _who(row: StoredRow, columns: tuple[str, ...], hands: Sequence[HandChange]) -> ByHand | None:
    """Return who wrote what stands in one of the columns now; in any of them where none is named.

    None where no trigger saw it.
    """
    for each in hands:
        if each.row_id != row.id:
            continue
        written = each.new.keys() & set(columns or each.new)
        if any(each.new[name] == row.columns.get(name) for name in written):
            return each.by
    return None
