"""What the grantor of an outbound peer took back: decided from what it said before and says now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from reconciler.core.model.json_document import JsonDocument
from reconciler.core.model.scope import Effect, Scope, compare_scopes, scope_from_json
from reconciler.core.model.states import GrantStatus
from reconciler.core.model.times import parse_rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.issuance.contract import GrantDocument


class WithdrawalKind(StrEnum):
    """How much of a grant the other side took back."""

    SUSPENDED = "suspended"
    NARROWED = "narrowed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Withdrawal(JsonDocument):
    """What was taken back, and when this gateway learned of it."""

    what: WithdrawalKind
    learned_at: datetime

    @classmethod
    def from_json(cls, document: dict[str, str]) -> Self:
        """Return what `as_json` wrote (trusted: our own row)."""
        return cls(WithdrawalKind(document["what"]), parse_rfc3339(document["learnedAt"]))


@dataclass(frozen=True, slots=True)
class GrantTerms(JsonDocument):
    """The widest that a grant was since the enrollment: its scope, and when it expires."""

    grant_id: str
    scope: dict[str, Any]
    expires_at: datetime

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Return what `as_json` wrote (trusted: our own row)."""
        expires_at = parse_rfc3339(document["expiresAt"])
        return cls(document["grantId"], document["scope"], expires_at)

    @classmethod
    def of(cls, grant: GrantDocument) -> Self:
        """Return the terms of a grant as its grantor describes it."""
        return cls(grant.id, grant.scope, grant.expires_at)


def widest(known: GrantTerms | None, grant: GrantDocument) -> GrantTerms:
    """Return the terms to compare with from now on: those of another grant begin again."""
    if known is None or known.grant_id != grant.id:
        return GrantTerms.of(grant)
    return known if _is_narrowed(known, grant) else GrantTerms.of(grant)


def withdrawal_of(
    known: GrantTerms, grant: GrantDocument, before: Withdrawal | None, now: datetime
) -> Withdrawal | None:
    """Return what is taken back now; None if the grant holds as widely as it ever did.

    `before` is what was known so far: its moment stays as long as the kind does.
    """
    kind = _kind(known, grant, now)
    if kind is None:
        return None
    return before if before is not None and before.what is kind else Withdrawal(kind, now)


def _kind(known: GrantTerms, grant: GrantDocument, now: datetime) -> WithdrawalKind | None:
    if grant.status in (GrantStatus.REVOKED, GrantStatus.EXPIRED) or grant.expires_at <= now:
        return WithdrawalKind.ENDED
    if grant.status is GrantStatus.SUSPENDED:
        return WithdrawalKind.SUSPENDED
    return WithdrawalKind.NARROWED if _is_narrowed(known, grant) else None


def _is_narrowed(known: GrantTerms, grant: GrantDocument) -> bool:
    if grant.expires_at < known.expires_at:
        return True
    before, now = _parsed(known.scope), _parsed(grant.scope)
    if before is None or now is None:  # of a later release: it cannot be judged here
        return False
    return compare_scopes(before, now) in (Effect.NARROWS, Effect.MIXED)


def _parsed(scope: dict[str, Any]) -> Scope | None:
    try:
        return scope_from_json(scope)
    except (AttributeError, KeyError, TypeError, ValueError):  # another gateway wrote it
        return None
