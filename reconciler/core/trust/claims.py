"""What grants more than a row does, or leaves its rules, and the commits in which it came to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from reconciler.core.model.scope import Effect
from reconciler.core.model.spec import GrantSpec, Kind, Spec, spec_digest
from reconciler.core.plan.diff import diff

if TYPE_CHECKING:
    from reconciler.core.model.commits import ReadCommit
    from reconciler.core.trust.rules import Rules

Parse = Callable[[str, bytes], Iterable[tuple[Kind, str, Spec]]]  # of a file, all it declares


@dataclass(frozen=True, slots=True)
class State:
    """What a commit declares of an object, and by which path of the repository."""

    path: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class Claim:
    """An object that a plan widens or moves: what is declared, and what the row holds, if it does.

    `held_digest` is that of what was applied last, which a change by hand may have narrowed.
    """

    kind: Kind
    name: str
    declared: State
    held: State | None
    held_digest: str
    rules: Rules

    def covers(self, state: State) -> bool:
        """Tell whether the row grants as much as a state of its manifest, below the same rules."""
        if self.held is None or self.leaves(self.held.path, state.path):
            return False
        same = spec_digest(state.spec) == self.held_digest
        return same or not grants_more(self.held.spec, state.spec)

    def is_step(self, before: State | None, after: State) -> bool:
        """Tell whether a commit between the two states needs the quorum."""
        if before is None:
            return True
        return grants_more(before.spec, after.spec) or self.leaves(before.path, after.path)

    def leaves(self, old: str, new: str) -> bool:
        """Tell whether a rule matches an old path, and not the new one."""
        return old != new and not self.rules.of(old) <= self.rules.of(new)


@dataclass(frozen=True, slots=True)
class Step:
    """A commit in which a claim came to be; `signers` are who signed it, or signed it off."""

    commit: ReadCommit
    paths: frozenset[str]
    signers: frozenset[str]


def grants_more(old: Spec, new: Spec) -> bool:
    """Tell whether a spec grants what another does not, or to somebody else."""
    if not (isinstance(old, GrantSpec) and isinstance(new, GrantSpec)):
        return False
    if (old.peer, old.subject_user_id) != (new.peer, new.subject_user_id):
        return True
    return any(each.effect in (Effect.WIDENS, Effect.MIXED) for each in diff(old, new))


class Lineage(Protocol):
    """The commits of a repository, as far back as one is asked for."""

    def trace(self, claim: Claim, since: str | None, parse: Parse) -> tuple[Step, ...]:
        """Return the commits after `since` in which a claim came to be."""
