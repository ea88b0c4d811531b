"""A notice as a value, and the document that is stored and sent to every kind of target."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.json_document import JsonDocument
from reconciler.core.model.text import printable
from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.core.audit.event_base import Json

MAX_ITEMS: Final = 20  # of one notice; the others are counted
MAX_FIELDS: Final = 10  # of one item
MAX_TEXT: Final = 300  # characters of one text


class NoticeEvent(StrEnum):
    """What a notice tells of; the filter of a target names these."""

    APPLIED = "applied"
    REFUSED = "refused"
    FAILING = "failing"
    ENROLLED = "enrolled"
    THEFT = "theft"
    REVOKED = "revoked"
    WITHDRAWN = "withdrawn"
    ENDING = "ending"
    DRIFT = "drift"
    PAUSE = "pause"
    COMMIT = "commit"  # of a forge alone: a commit that was read, and not applied yet
    SUPERSEDED = "superseded"  # of a forge alone: one that never was, as a newer one is applied
    TEST = "test"  # of `notify test` alone


ONE_COMMIT: Final = (NoticeEvent.COMMIT, NoticeEvent.SUPERSEDED)
FILTERABLE: Final = tuple(
    each for each in NoticeEvent if each not in (*ONE_COMMIT, NoticeEvent.TEST)
)


class NoticeState(StrEnum):
    """Whether something begins, is over, or happens at one moment."""

    ONCE = "once"
    BEGUN = "begun"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Item(JsonDocument):
    """One object of a notice: what `text` says of it, and `effect`, what that does to authority.

    `fields` are those of a change, as the plan's JSON has them.
    """

    subject: str
    text: str
    effect: str | None = None
    fields: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened, of the audit record `seq`. `items` are the first of `count` objects.

    `summary` has the numbers of an apply; `commit` is the one that it is about.
    """

    event: NoticeEvent
    state: NoticeState
    title: str
    seq: int
    items: tuple[Item, ...] = ()
    count: int = 0
    summary: Mapping[str, int] = field(default_factory=dict)
    commit: Json | None = None
    source: str | None = None
    dirty: bool = False

    def document(self, notice_id: str, at: datetime, actor: str) -> dict[str, Any]:
        """Return the document: the form of Standard Webhooks, a type, a time and data."""
        kind = self.event if self.state is NoticeState.ONCE else f"{self.event}.{self.state}"
        return {
            "type": f"mosaic.federation.{kind}",
            "timestamp": rfc3339(at),
            "data": {
                "id": notice_id,
                "event": str(self.event),
                "state": str(self.state),
                "title": self.title,
                "items": [each.as_json() for each in self.items],
                "count": self.count,
                "summary": dict(self.summary),
                "commit": dict(self.commit) if self.commit is not None else None,
                "source": self.source,
                "dirty": self.dirty,
                "actor": printable(actor, MAX_TEXT),
                "auditSeq": self.seq,
            },
        }
