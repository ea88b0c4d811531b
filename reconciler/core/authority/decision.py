"""The decision on a certificate, and on what its holder wants to do: a table of reasons, in order.

The database's view `federation_authority` gives the facts, all of one moment of its clock. The
first reason of the table that applies is the reason of the decision; if none does, it is allowed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.issuance.contract import GrantDocument
from reconciler.core.model.scope import ResourceType, Verb, scope_from_json
from reconciler.core.model.states import GrantStatus, IssuanceStatus, PeerStatus
from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from reconciler.core.model.scope import Resource, Scope

REMEMBERED: Final = 1024  # of what is made of the same row, again and again


class Reason(StrEnum):
    """Why authority is denied."""

    CERTIFICATE_UNKNOWN = "certificate_unknown"
    PEER_ENDED = "peer_ended"
    GRANT_ENDED = "grant_ended"
    GRANT_SUSPENDED = "grant_suspended"
    CERTIFICATE_ENDED = "certificate_ended"
    SCOPE_DENIED = "scope_denied"


@dataclass(frozen=True, slots=True)
class CertificateIdentity:
    """What names a certificate: its serial, and `sha256:<hex>` of its DER."""

    serial: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Question:
    """What the holder of a certificate wants to do, in words that nobody has checked yet."""

    unverified_resource: str
    unverified_verb: str


@dataclass(frozen=True, slots=True, eq=False)
class AuthorityFacts:
    """What a row of the view `federation_authority` says, until somebody changes it.

    `scope_json` is the text of the scope. None of it can be changed, so what is made of facts can
    be remembered, by their identity.
    """

    certificate: CertificateIdentity
    certificate_status: IssuanceStatus
    not_before: datetime
    not_after: datetime
    grant_id: str
    grant_name: str
    peer_name: str
    subject_user_id: str
    scope_json: str
    grant_status: GrantStatus
    expires_at: datetime
    peer_status: PeerStatus

    @property
    def scope(self) -> dict[str, Any]:
        """The scope of the grant, as a copy of its own."""
        document: dict[str, Any] = json.loads(self.scope_json)
        return document

    @property
    def ends(self) -> datetime:
        """When the authority ends at the latest: with the certificate or with the grant."""
        return min(self.not_after, self.expires_at)


@dataclass(frozen=True, slots=True)
class AuthorityReading:
    """A row as it was read at `now`, by the database's clock; `holds` is the view's judgement."""

    facts: AuthorityFacts
    now: datetime
    holds: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a certificate has authority, and the `reason` if it has none.

    `facts` are None for a certificate that is unknown. `resource` is what the scope grants of the
    resource that was asked about.
    """

    reason: Reason | None
    facts: AuthorityFacts | None = None
    resource: Resource | None = None

    @property
    def allowed(self) -> bool:
        """Whether it has authority."""
        return self.reason is None

    def as_json(self) -> dict[str, Any]:
        """Return the document of a decision that allows (docs/authority.md)."""
        facts = self.facts
        assert self.reason is None
        assert facts is not None
        grant = GrantDocument(
            id=facts.grant_id,
            name=facts.grant_name,
            peer=facts.peer_name,
            subject_user_id=facts.subject_user_id,
            scope=facts.scope,
            status=facts.grant_status,
            expires_at=facts.expires_at,
        )
        return {
            "holds": True,
            "grant": grant.as_json(),
            "certificate": {
                "serial": facts.certificate.serial,
                "fingerprint": facts.certificate.fingerprint,
                "notAfter": rfc3339(facts.not_after),
            },
            "resource": {"filter": {}, **self.resource.as_json()} if self.resource else None,
        }

    @property
    def filter(self) -> dict[str, Any] | None:
        """The filter of the resource that was asked about; empty if nothing restricts it."""
        if self.resource is None:
            return None
        narrowed: dict[str, Any] = self.resource.as_json().get("filter", {})
        return narrowed


# The last row is for what the rows above cannot know: the view is never overruled.
_REASONS: Final[tuple[tuple[Reason, Callable[[AuthorityFacts, AuthorityReading], bool]], ...]] = (
    (Reason.PEER_ENDED, lambda facts, _: facts.peer_status is not PeerStatus.ACTIVE),
    (
        Reason.GRANT_ENDED,
        lambda facts, row: facts.grant_status.ended or facts.expires_at <= row.now,
    ),
    (Reason.GRANT_SUSPENDED, lambda facts, _: facts.grant_status is not GrantStatus.ACTIVE),
    (
        Reason.CERTIFICATE_ENDED,
        lambda facts, _: facts.certificate_status is not IssuanceStatus.ISSUED,
    ),
    (
        Reason.CERTIFICATE_ENDED,
        lambda facts, row: not facts.not_before <= row.now <= facts.not_after,
    ),
    (Reason.CERTIFICATE_ENDED, lambda _, row: not row.holds),
)


def decide(
    certificate: CertificateIdentity, row: AuthorityReading | None, question: Question | None = None
) -> Decision:
    """Return the decision on a certificate; `row` is that of its serial, None if unknown."""
    if row is None or row.facts.certificate != certificate:  # another one with the same serial
        return Decision(Reason.CERTIFICATE_UNKNOWN)
    facts = row.facts
    for reason, applies in _REASONS:
        if applies(facts, row):
            return Decision(reason, facts)
    if question is None:
        return Decision(None, facts)
    resource = _granted(facts.scope_json, question)
    return Decision(Reason.SCOPE_DENIED if resource is None else None, facts, resource)


def _granted(scope_json: str, question: Question) -> Resource | None:
    """Return the resource of the scope that has the verb; None for unknown words too."""
    try:
        wanted = ResourceType(question.unverified_resource)
        verb = Verb(question.unverified_verb)
    except ValueError:
        return None
    resource = _scope(scope_json).resource(wanted)
    return resource if resource is not None and verb in resource.verbs else None


@lru_cache(REMEMBERED)
def _scope(text: str) -> Scope:
    return scope_from_json(json.loads(text))
