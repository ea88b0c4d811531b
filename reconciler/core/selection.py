"""A plan of some objects only: the same plan, over the part of both sides that has their names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.spec import Kind

if TYPE_CHECKING:
    from reconciler.core.observed import Observed
    from reconciler.core.spec import Desired

Identity = tuple[Kind, str]


def select(
    desired: Desired, observed: Observed, wanted: frozenset[Identity]
) -> tuple[Desired, Observed]:
    """Return the two sides without the objects that are not `wanted`: those stay as they are."""
    peers = frozenset(name for kind, name in wanted if kind is Kind.PEER)
    grants = frozenset(name for kind, name in wanted if kind is Kind.GRANT)
    return (
        replace(
            desired,
            peers=tuple(each for each in desired.peers if each.name in peers),
            grants=tuple(each for each in desired.grants if each.name in grants),
        ),
        replace(
            observed,
            peers=tuple(row for row in observed.peers if row.name in peers),
            grants=tuple(row for row in observed.grants if row.name in grants),
        ),
    )
