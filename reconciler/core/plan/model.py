"""The plan as data: the two sides that it compares, its changes, its notes and its digest.

What fills it is in `plan.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from reconciler.core.canonical_json import digest_of
from reconciler.core.model.json_document import JsonDocument
from reconciler.core.model.observed import Hold, LiveCertificate, ObservedGrant, ObservedPeer
from reconciler.core.model.spec import (
    Declared,
    GrantSpec,
    Kind,
    PeerSpec,
    SourceLocation,
    spec_digest,
)
from reconciler.core.model.states import HoldKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from reconciler.core.plan.diff import FieldChange


PLAN_FORMAT_VERSION: Final = 1


class Action(StrEnum):
    """What happens to one object, in the order of application: access is narrowed first."""

    REVOKE = "revoke"
    REPLACE = "replace"
    UPDATE = "update"
    CREATE = "create"


class Impact(StrEnum):
    """What a change does to certificates that hold today; each reads after `will be`."""

    REVOKED = "revoked"
    ERASED = "erased"  # ours of another gateway, with its key: only that gateway can revoke it
    WITHHELD = "withheld"  # they stay, without authority, until the grant is resumed
    NARROWED = "narrowed"  # they stay, for less than before


_ACTION_ORDER: Final = {action: rank for rank, action in enumerate(Action)}

RowT = TypeVar("RowT", ObservedPeer, ObservedGrant)
SpecT = TypeVar("SpecT", PeerSpec, GrantSpec)


@dataclass(frozen=True, slots=True)
class Change(Generic[RowT, SpecT]):
    """One object that changes.

    `row` is what is there (None: create), `declared` what is wanted (None: revoke);
    `certificates` are the live ones that the change ends, withholds or narrows.
    """

    action: Action
    kind: Kind
    name: str
    reason: str
    row: RowT | None
    declared: Declared[SpecT] | None
    fields: tuple[FieldChange, ...] = ()
    certificates: tuple[LiveCertificate, ...] = ()

    @property
    def place(self) -> SourceLocation | None:
        """Where the manifest stands, or stood when it was last applied."""
        if self.declared is not None:
            return self.declared.place
        return self.row.place if self.row is not None else None

    @property
    def suspends(self) -> bool:
        """Whether the change withholds authority that the stored row grants."""
        return self.action is Action.UPDATE and any(
            field.path == "suspended" and field.new is True for field in self.fields
        )

    @property
    def impact(self) -> Impact | None:
        """What the change does to the live certificates that hang on its row."""
        if not self.certificates:
            return None
        if self.action is not Action.UPDATE:
            return Impact.ERASED if self.kind is Kind.PEER else Impact.REVOKED
        return Impact.WITHHELD if self.suspends else Impact.NARROWED

    @property
    def inherited_hold(self) -> Hold | None:
        """The operator's suspension, which the new row of a replacement inherits from the old.

        Git cannot lift a hold by changing a grant's peer or subject user.
        """
        hold = self.row.hold if self.row is not None else None
        if self.action is Action.REPLACE and hold is not None and hold.kind is HoldKind.SUSPEND:
            return hold
        return None

    def sort_key(self) -> tuple[int, int, str]:
        """Return the place in the plan: grants end before their peers, and begin after them."""
        grants_first = self.action is Action.REVOKE
        kind_rank = int((self.kind is Kind.PEER) == grants_first)
        return (_ACTION_ORDER[self.action], kind_rank, self.name)

    def identity(self) -> tuple[str, str, str, str | None, str | None]:
        """Return what the plan's digest covers: no place and no reason."""
        return (
            str(self.action),
            str(self.kind),
            self.name,
            spec_digest(self.row.spec) if self.row is not None else None,
            self.declared.digest if self.declared is not None else None,
        )


PeerChange = Change[ObservedPeer, PeerSpec]
GrantChange = Change[ObservedGrant, GrantSpec]
AnyChange = PeerChange | GrantChange


class NoteKind(StrEnum):
    """What a plan has to say of an object beside its changes."""

    NOT_IN_GIT_YET = "not_in_git_yet"
    HELD_SUSPENDED = "held_suspended"
    HELD_REVOKED = "held_revoked"
    ENDED = "ended"
    CHANGED_BY_HAND = "changed_by_hand"  # the plan restores what git declares


@dataclass(frozen=True, slots=True, order=True)
class Note(JsonDocument):
    """An object that the plan leaves alone, or that was changed by hand; why, and the command."""

    kind: Kind
    name: str
    note: NoteKind
    detail: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Bookkeeping(Generic[RowT, SpecT]):
    """A row whose declaration means the same: it becomes managed, or its digest is corrected."""

    row: RowT
    declared: Declared[SpecT]

    @property
    def digest(self) -> str:
        """What the row's digest has to be; one that has ended keeps what it ended with."""
        return self.row.digest if self.row.ended else self.declared.digest

    @property
    def corrects_digest(self) -> bool:
        """Whether the stored digest was changed by hand: the columns say what is declared."""
        return self.row.digest != self.digest


@dataclass(frozen=True, slots=True)
class Summary(JsonDocument):
    """The counts of a plan; `total` is all managed before, plus what is added."""

    create: int
    update: int
    replace: int
    revoke: int
    unchanged: int

    @property
    def total(self) -> int:
        """The number of objects that the counts are out of."""
        return self.create + self.update + self.replace + self.revoke + self.unchanged


@dataclass(frozen=True, slots=True)
class Plan:
    """What an apply would do, as data.

    `bookkeeping` and `released` (ended rows whose manifest has left git, so that their hold is
    over) are carried out with an apply, and are no changes.
    """

    changes: tuple[AnyChange, ...]
    notes: tuple[Note, ...]
    summary: Summary
    managed_before: int
    source_empty: bool
    adopted_peers: tuple[Bookkeeping[ObservedPeer, PeerSpec], ...] = ()
    adopted_grants: tuple[Bookkeeping[ObservedGrant, GrantSpec], ...] = ()
    released_peers: tuple[ObservedPeer, ...] = ()
    released_grants: tuple[ObservedGrant, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not self.changes

    @property
    def digest(self) -> str:
        """`sha256:…` over actions, kinds, names and spec digests, in order."""
        return digest_of([PLAN_FORMAT_VERSION, [change.identity() for change in self.changes]])

    @property
    def created(self) -> tuple[tuple[Kind, str], ...]:
        """The objects that get a row of their own."""
        new = (Action.CREATE, Action.REPLACE)
        return tuple((c.kind, c.name) for c in self.changes if c.action in new)

    def peer_changes(self, *actions: Action) -> tuple[PeerChange, ...]:
        """Return the changes to peers of these actions, in order."""
        wanted = [c for c in self.changes if c.kind is Kind.PEER and c.action in actions]
        return cast("tuple[PeerChange, ...]", tuple(wanted))

    def grant_changes(self, *actions: Action) -> tuple[GrantChange, ...]:
        """Return the changes to grants of these actions, in order."""
        wanted = [c for c in self.changes if c.kind is Kind.GRANT and c.action in actions]
        return cast("tuple[GrantChange, ...]", tuple(wanted))


class Side(Generic[RowT, SpecT]):
    """The rows and the manifests of one kind, by name, without those that are `equal`."""

    def __init__(
        self,
        rows: Iterable[RowT],
        declared: Iterable[Declared[SpecT]],
        equal: Collection[str] = frozenset(),
    ) -> None:
        self.live: dict[str, RowT] = {row.name: row for row in rows if not row.ended}
        self.held: dict[str, RowT] = {
            row.name: row for row in rows if row.ended and row.held_revoked
        }
        self.declared: dict[str, Declared[SpecT]] = {
            each.name: each for each in declared if each.name not in equal
        }
        self._equal = len(equal)

    def managed_live(self) -> int:
        """Return how many live rows git manages."""
        return self._equal + sum(row.managed for row in self.live.values())

    def released(self) -> Iterator[RowT]:
        """Yield the rows whose hold ends, because their manifest has left git."""
        for name, row in sorted(self.held.items()):
            if row.managed and name not in self.declared:
                yield row
