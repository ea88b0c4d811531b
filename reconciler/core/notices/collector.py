"""The notices of one transaction: one of each kind, however many objects it is about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import counted
from reconciler.core.notices.derive import contribution_of
from reconciler.core.notices.model import MAX_ITEMS, Item, Notice, NoticeEvent, NoticeState
from reconciler.core.notices.wording import condition_title, shown_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.core.audit.event_base import Json
    from reconciler.core.audit.events import Event
    from reconciler.core.notices.derive import Contribution

_VERBS: Final = ("added", "changed", "replaced", "removed", "reverted", "adopted")
_EFFECTS: Final = ("widens", "narrows")
_TITLES: Final[dict[tuple[NoticeEvent, NoticeState], str]] = {
    (NoticeEvent.ENROLLED, NoticeState.ONCE): "Enrolled",
    (NoticeEvent.THEFT, NoticeState.BEGUN): "Theft suspected",
    (NoticeEvent.THEFT, NoticeState.OVER): "Theft signal acknowledged",
    (NoticeEvent.REVOKED, NoticeState.ONCE): "Revoked",
    (NoticeEvent.WITHDRAWN, NoticeState.BEGUN): "Withdrawn by the other side",
    (NoticeEvent.WITHDRAWN, NoticeState.OVER): "Restored by the other side",
}


def notices_of(events: Iterable[Event], first_seq: int) -> list[Notice]:
    """Return the notices of the events of one transaction, whose records begin with `first_seq`."""
    collector = NoticeCollector()
    for seq, event in enumerate(events, first_seq):
        collector.add(seq, event)
    return collector.notices()


class NoticeCollector:
    """The notices of the events of one transaction; of a large one only the first are kept."""

    def __init__(self) -> None:
        self._groups: dict[tuple[NoticeEvent, NoticeState, str], _Group] = {}

    def add(self, seq: int, event: Event) -> None:
        """Take the event of the next record."""
        part = contribution_of(event)
        if part is not None:
            group = self._groups.setdefault((part.event, part.state, part.commit), _Group())
            group.add(seq, part)

    def notices(self) -> list[Notice]:
        """Return the notices. Each is of the last record that it tells of, so no two are of one."""
        notices = [
            _notice(event, state, group) for (event, state, _), group in self._groups.items()
        ]
        return sorted(notices, key=lambda notice: notice.seq)


@dataclass(slots=True)
class _Group:
    """The parts of one notice: all are counted, and the first `MAX_ITEMS` of each rank kept."""

    seq: int = 0
    count: int = 0
    verbs: Counter[str] = field(default_factory=Counter)
    effects: Counter[str | None] = field(default_factory=Counter)
    origin: Json | None = None
    ranks: tuple[list[Contribution], ...] = field(default_factory=lambda: ([], [], []))

    def add(self, seq: int, part: Contribution) -> None:
        self.seq = seq
        self.count += part.count
        self.verbs[part.verb] += 1
        self.effects[part.effect] += 1
        if self.origin is None:
            self.origin = part.origin
        rank = self.ranks[_rank(part)]
        if len(rank) < MAX_ITEMS:
            rank.append(part)

    def items(self) -> tuple[Item, ...]:
        """Return the first items: what widens comes first, as a long list is cut."""
        parts = [part for rank in self.ranks for part in rank]
        return tuple(item for part in parts[:MAX_ITEMS] for item in part.items())[:MAX_ITEMS]

    def summary(self) -> dict[str, int]:
        return {verb: self.verbs[verb] for verb in _VERBS} | {
            "widens": self.effects["widens"] + self.effects["mixed"],
            "narrows": self.effects["narrows"] + self.effects["mixed"],
        }


def _notice(event: NoticeEvent, state: NoticeState, group: _Group) -> Notice:
    items = group.items()
    summary = group.summary() if event is NoticeEvent.APPLIED else {}
    origin = group.origin or {}
    return Notice(
        event,
        state,
        _title(event, state, items, group.count, summary),
        group.seq,
        items,
        group.count,
        summary,
        _commit(origin.get("commit")),
        shown_text(origin["source"]) if origin.get("source") else None,
        bool(origin.get("dirty")),
    )


def _rank(part: Contribution) -> int:
    return {"widens": 0, "mixed": 0, "narrows": 1}.get(part.effect or "", 2)


def _title(
    event: NoticeEvent,
    state: NoticeState,
    items: Sequence[Item],
    count: int,
    summary: dict[str, int],
) -> str:
    if event is NoticeEvent.APPLIED:
        sums = [f"{summary[verb]:,} {verb}" for verb in _VERBS if summary[verb]]
        effects = [f"{summary[each]:,} {each.upper()}" for each in _EFFECTS if summary[each]]
        return f"Applied: {', '.join(sums)}" + (f" ({', '.join(effects)})" if effects else "")
    named = items[0].subject if count == 1 and items else counted(count, "object")
    return _TITLES.get((event, state)) or condition_title(event, state, named, count)


def _commit(commit: Json | None) -> Json | None:
    if commit is None:
        return None
    return {name: shown_text(value) if value else None for name, value in commit.items()}
