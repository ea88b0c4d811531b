"""The rows and the manifests of one kind, by name: the two sides that a plan compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from reconciler.core.plan.model import RowT, SpecT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from reconciler.core.model.spec import Declared


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
