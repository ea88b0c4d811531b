"""What `status` shows, as values, and the JSON document that it prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.documents import hold_json
from reconciler.core.model.json_document import JsonDocument, json_value
from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.model.observed import Hold

ENDS_WITHIN: Final = (1, 7, 30)  # days
UNUSED_FOR: Final = 90  # days


@dataclass(frozen=True, slots=True)
class LastApply(JsonDocument):
    """The apply that was committed last; `author` and `subject` are of its commit."""

    at: datetime
    actor: str
    source: str
    revision: str | None
    dirty: bool
    author: str | None
    subject: str | None


@dataclass(frozen=True, slots=True)
class TrustOverride(JsonDocument):
    """What was applied over the rules of trust, by whom, and why it was not trusted."""

    by: str
    at: str
    reason: str
    source: str
    revision: str | None


@dataclass(frozen=True, slots=True)
class PassFailure(JsonDocument):
    """Why a reconciler's last pass failed, and since when its passes fail."""

    code: str
    message: str
    hint: str
    since: datetime
    problems: list[dict[str, Any]]
    problem_count: int


@dataclass(frozen=True, slots=True)
class ReconcilerStatus:
    """The last pass of a reconciler; `silent`: the next one is long overdue.

    `waits_for` and `next_at` are None once it was stopped.
    """

    actor: str
    at: datetime
    source: str
    revision: str | None
    silent: bool
    failure: PassFailure | None
    watch: str | None
    waits_for: str | None
    next_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """Return the document."""
        waiting = None
        if self.waits_for is not None and self.next_at is not None:
            waiting = {"for": self.waits_for, "until": rfc3339(self.next_at)}
        return {
            "actor": self.actor,
            "at": rfc3339(self.at),
            "source": self.source,
            "revision": self.revision,
            "silent": self.silent,
            "failure": json_value(self.failure),
            "watch": self.watch,
            "waiting": waiting,
        }


@dataclass(frozen=True, slots=True)
class NamedObject:
    """A peer or a grant by its name; `hold` and `ends` where the list is about these."""

    kind: str
    name: str
    hold: Hold | None = None
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnusedGrant(JsonDocument):
    """An active grant that nobody has used for `UNUSED_FOR` days; `last_use` None: not once."""

    name: str
    activated_at: datetime
    last_use: datetime | None


@dataclass(frozen=True, slots=True)
class OutboundTrouble(JsonDocument):
    """An outbound peer whose grant was taken back, or whose credential is not in use."""

    peer: str
    withdrawn: dict[str, str] | None
    credential_error: str | None


@dataclass(frozen=True, slots=True)
class NoticeTrouble(JsonDocument):
    """A target of notices that does not take them, or did not while they were kept."""

    target: str
    queue: int
    error: str | None
    error_at: datetime | None
    failing: bool
    given_up: int


@dataclass(frozen=True, slots=True)
class TheftSignal(JsonDocument):
    """A theft signal that nobody has acknowledged; `seq` is None until its record is written."""

    seq: int | None
    grant: str
    secret: str
    code: str
    address: str
    first_at: datetime
    last_at: datetime
    repeats: int


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A stored revocation list of the CA."""

    number: int
    this_update: datetime
    next_update: datetime


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """One snapshot of a gateway; `restore` and `paused` are their documents."""

    now: datetime
    applied: LastApply | None
    trust_override: TrustOverride | None
    restore: dict[str, str | None] | None
    paused: dict[str, str] | None
    reconcilers: tuple[ReconcilerStatus, ...]
    drift_count: int
    counts: dict[str, dict[str, int]]
    ending: tuple[NamedObject, ...]
    held: tuple[NamedObject, ...]
    theft_signals: tuple[TheftSignal, ...]
    not_in_git: tuple[NamedObject, ...]
    unused: tuple[UnusedGrant, ...]
    outbound: tuple[OutboundTrouble, ...]
    notices: tuple[NoticeTrouble, ...]
    revocations_waiting: dict[str, Any]
    revocation_lists: tuple[RevocationList, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the document."""
        next_command = "mosaic federation drift" if self.drift_count else None
        return {
            "now": rfc3339(self.now),
            "applied": json_value(self.applied),
            "trustOverride": json_value(self.trust_override),
            "restore": self.restore,
            "paused": self.paused,
            "reconcilers": [each.as_json() for each in self.reconcilers],
            "drift": {"count": self.drift_count, "next": next_command},
            "counts": self.counts,
            "ending": [self._ending(each) for each in self.ending],
            "held": [
                {"kind": each.kind, "name": each.name, "hold": hold_json(each.hold)}
                for each in self.held
            ],
            "theftSignals": json_value(self.theft_signals),
            "notInGitYet": [{"kind": each.kind, "name": each.name} for each in self.not_in_git],
            "unused": json_value(self.unused),
            "outbound": json_value(self.outbound),
            "notices": json_value(self.notices),
            "revocationsWaiting": self.revocations_waiting,
            "revocationLists": [
                {
                    "number": each.number,
                    "thisUpdate": rfc3339(each.this_update),
                    "nextUpdate": rfc3339(each.next_update),
                    "late": each.next_update <= self.now,
                }
                for each in self.revocation_lists
            ],
        }

    def _ending(self, named: NamedObject) -> dict[str, Any]:
        assert named.ends is not None
        left_days = (named.ends - self.now).total_seconds() / 86_400
        return {
            "kind": named.kind,
            "name": named.name,
            "ends": rfc3339(named.ends),
            "withinDays": next(
                (each for each in ENDS_WITHIN if left_days <= each), ENDS_WITHIN[-1]
            ),
        }
