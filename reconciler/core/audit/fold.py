"""What the audit log says of each row: the truth that a row changed by hand is held against.

Pure: the entries are given, oldest first. Entries of a version that named no row are kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.core.model.observed import Hold
from reconciler.core.model.spec import Kind, digest_of
from reconciler.core.model.states import HoldKind
from reconciler.core.model.times import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Told:
    """An entry of the audit log, as far as it tells of a row: `data` as the event carried it."""

    kind: str
    actor: str
    subject: str
    at: datetime
    data: Mapping[str, Any]


@dataclass(slots=True)
class Account:
    """What is known of one row. `spec` is canonical JSON, None where no entry tells it."""

    name: str = ""
    spec: dict[str, Any] | None = None
    digest: str = ""
    managed: bool = False
    hold: Hold | None = None
    held_before: Hold | None = None
    enrolled: bool = False
    ended: str = ""  # the status it ended with


@dataclass(slots=True)
class Accounts:
    """The accounts by row id; `older` are subjects of entries that named no row.

    `issued`, `ended` and `revoked` are serials: signed, to be revoked, and revoked at the CA.
    """

    rows: dict[str, Account] = field(default_factory=dict)
    older: set[str] = field(default_factory=set)
    issued: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)


def accounts(entries: Iterable[Told]) -> Accounts:
    """Return what the entries, oldest first, say of rows and certificates."""
    found = Accounts()
    of_subject: dict[str, list[Account]] = {}
    for entry in entries:
        _take_serials(found, entry)
        row = entry.data.get("id")
        kind, _, verb = entry.kind.partition(".")
        if kind not in ("peer", "grant", "hold"):
            continue
        if row is None:
            found.older.add(entry.subject)
            continue
        if row not in found.rows:
            found.rows[row] = Account()
            of_subject.setdefault(entry.subject, []).append(found.rows[row])
        account = found.rows[row]
        account.name = entry.subject.partition("/")[2]
        _take(account, verb, entry)
        if verb == "replaced" and (before := found.rows.get(entry.data.get("replaces") or "")):
            account.hold = before.held_before
        if account.ended and account.hold is not None:
            for other in of_subject.get(entry.subject, ()):  # a name is held once
                if other is not account and other.ended:
                    other.hold = None
    return found


def _take(account: Account, verb: str, entry: Told) -> None:
    data = entry.data
    if data.get("spec") is not None:
        account.spec = data["spec"]
        account.digest = data.get("digest") or digest_of(data["spec"])
    account.managed = account.managed or verb == "adopted" or bool(data.get("managed"))
    reason = str(data.get("reason") or "")
    match verb:
        case "suspended":
            account.hold = Hold(HoldKind.SUSPEND, entry.actor, entry.at, reason)
        case "resumed" | "released":
            account.hold = None
        case "enrolled":
            account.enrolled = True
        case "expired":
            account.ended = "expired"
        case "revoked":
            account.ended = "revoked"
            account.held_before, account.hold = account.hold, _hold_of_end(entry)


def _hold_of_end(entry: Told) -> Hold | None:
    told = entry.data.get("hold")
    if told is not None:
        at = parse_rfc3339(told["at"])
        return Hold(HoldKind(told["kind"]), told["by"], at, told["reason"])
    if entry.kind == "peer.revoked" and "from" not in entry.data:  # by an operator, not by git
        reason = str(entry.data.get("reason") or "")
        return Hold(HoldKind.REVOKE, entry.actor, entry.at, reason)
    return None


def _take_serials(found: Accounts, entry: Told) -> None:
    serial = entry.data.get("serial")
    match entry.kind:
        case "certificate.issued":
            found.issued.add(str(serial))
        case "certificate.revoked_at_ca":
            found.revoked.add(str(serial))
        case "certificate.requeued":
            found.revoked.discard(str(serial))
            found.ended.add(str(serial))
        case "grant.revoked" | "grant.expired":
            found.ended.update(str(each) for each in entry.data.get("serials") or ())


def same_hold(one: Hold | None, other: Hold | None) -> bool:
    """Tell whether two holds are one: the moment differs by what an audit entry takes."""
    if one is None or other is None:
        return one is other
    return (one.kind, one.by, one.reason) == (other.kind, other.by, other.reason)


def kind_of(subject: str) -> Kind | None:
    """Return the kind of an audit subject such as `grant/beta-tasks`, None for others."""
    return {"peer": Kind.PEER, "grant": Kind.GRANT}.get(subject.partition("/")[0])
