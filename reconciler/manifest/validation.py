"""The report of `validate`: the problems of manifests, and warnings of probable mistakes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.core.model.spec import Direction, Kind
from reconciler.core.model.text import shown
from reconciler.core.model.times import parse_rfc3339
from reconciler.manifest.load import ParsedSource, read, references
from reconciler.manifest.trust import rules_problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from reconciler.core.source import Source, SourceFile
    from reconciler.errors import Problem


@dataclass(frozen=True, slots=True)
class Validation:
    """How many peers and grants are valid, and every problem and warning, sorted."""

    peers: int
    grants: int
    problems: tuple[Problem, ...]

    def strict(self) -> Validation:
        """Return the same with every warning an error."""
        return replace(self, problems=tuple(replace(p, severity="error") for p in self.problems))

    def count(self, severity: str) -> int:
        """Return how many problems have a severity."""
        return sum(each.severity == severity for each in self.problems)


def validate(
    source: Source,
    now: datetime,
    *,
    others: Mapping[str, Direction] | None = None,
    rules: Iterable[SourceFile] = (),
) -> Validation:
    """Return what is wrong with a source and with rules of trust, and what may be.

    `others` are the peers of other files, where `source` is not all of it.
    """
    reading = read(source)
    problems = [*reading.problems, *references(reading, others=others), *_expired(reading, now)]
    for file in rules:
        problems += rules_problems(file.path, file.content)
    peers, grants = len(reading.desired.peers), len(reading.desired.grants)
    return Validation(peers, grants, tuple(sorted(problems)))


def declared_peers(source: Source) -> dict[str, Direction]:
    """Return the peers that the valid manifests of a source declare."""
    return {each.name: each.spec.direction for each in read(source).desired.peers}


def _expired(reading: ParsedSource, now: datetime) -> Iterator[Problem]:
    """Yield a warning for each grant that is not created, or ends, because its time is over."""
    for each in reading.declarations:
        if each.kind != Kind.GRANT:
            continue
        spec = each.document.value.get("spec")
        text = spec.get("expiresAt") if isinstance(spec, dict) else None
        try:
            passed = isinstance(text, str) and parse_rfc3339(text) <= now
        except ValueError:
            continue  # that is a problem of its own
        if passed:
            message = f"{shown(text)} has passed: the grant will not be created"
            hint = "write a later time, or remove the manifest"
            path = ("spec", "expiresAt")
            yield each.document.problem(path, "grant.expired", message, hint, "warning")
