"""What differs between two specs, field by field, and what each difference does to authority."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, assert_never

from reconciler.core.model.scope import (
    REMEMBERED,
    RESOURCE_TYPES,
    VERBS,
    Effect,
    Resource,
    Scope,
    compare_numbers,
    compare_resources,
)
from reconciler.core.model.spec import DEFAULT_LIFETIME, GrantSpec, PeerSpec, Spec
from reconciler.core.model.times import format_duration, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that changes: `path` relative to `spec`; `old` and `new` as JSON values.

    None stands for a value that is absent (`filter.teams`: all teams).
    """

    path: str
    old: Any
    new: Any
    effect: Effect

    def as_json(self) -> dict[str, Any]:
        """Return the form of the plan's JSON."""
        return {
            "path": self.path,
            "old": self.old,
            "new": self.new,
            "effect": str(self.effect),
        }


def diff(old: Spec, new: Spec) -> tuple[FieldChange, ...]:
    """Return the fields in which `new` differs from `old`, in the order of the manifest.

    Raises:
        TypeError: the two are not of one kind.
    """
    match old, new:
        case PeerSpec(), PeerSpec():
            return tuple(_diff_peers(old, new))
        case GrantSpec(), GrantSpec():
            return tuple(_diff_grants(old, new))
        case _:
            raise TypeError(f"got {type(old).__name__} and {type(new).__name__}")


def declared_fields(spec: Spec) -> tuple[FieldChange, ...]:
    """Return what a new object of `spec` declares, without the fields left at their defaults."""
    match spec:
        case PeerSpec():
            return tuple(_declared_by_peer(spec))
        case GrantSpec():
            return tuple(_declared_by_grant(spec))
        case _:
            assert_never(spec)


def _changed(path: str, old: object, new: object, effect: Effect) -> Iterator[FieldChange]:
    if old != new:
        yield FieldChange(path, old, new, effect)


def _diff_peers(old: PeerSpec, new: PeerSpec) -> Iterator[FieldChange]:
    before, after = old.as_json(), new.as_json()
    for path in before:
        yield from _changed(path, before[path], after[path], Effect.NEUTRAL)


def _diff_grants(old: GrantSpec, new: GrantSpec) -> Iterator[FieldChange]:
    neutral = Effect.NEUTRAL
    yield from _changed("peer", old.peer, new.peer, neutral)
    yield from _changed("subjectUserId", old.subject_user_id, new.subject_user_id, neutral)
    yield from _changed(
        "expiresAt",
        rfc3339(old.expires_at),
        rfc3339(new.expires_at),
        compare_numbers(old.expires_at.timestamp(), new.expires_at.timestamp()),
    )
    suspending = Effect.of(widens=old.suspended, narrows=new.suspended)
    yield from _changed("suspended", old.suspended, new.suspended, suspending)
    yield from _changed("protect", old.protect, new.protect, neutral)
    yield from _diff_scopes(old.scope, new.scope)
    yield from _changed(
        "certificate.lifetime",
        format_duration(old.lifetime),
        format_duration(new.lifetime),
        compare_numbers(old.lifetime.total_seconds(), new.lifetime.total_seconds()),
    )


def _diff_scopes(old: Scope, new: Scope) -> Iterator[FieldChange]:
    for each in RESOURCE_TYPES:
        path = f"scope.resources[{each}]"
        all_before, all_after = old.all_of(each), new.all_of(each)
        if all_before == all_after:
            continue
        if len(all_before) > 1 or len(all_after) > 1:  # by hand: no manifest lists a type twice
            yield _diff_lists(path, all_before, all_after)
            continue
        before, after = old.resource(each), new.resource(each)
        if (
            before is None
            or after is None
            or before.lets_nothing_through()
            or after.lets_nothing_through()
        ):
            effect = compare_resources(before, after)
            yield from _changed(
                path, before and before.as_json(), after and after.as_json(), effect
            )
        else:
            yield from _diff_resources(path, before, after)
    yield from _changed(
        "scope.maxRowsPerQuery",
        old.max_rows_per_query,
        new.max_rows_per_query,
        compare_numbers(old.max_rows_per_query, new.max_rows_per_query),
    )


def _diff_lists(path: str, old: tuple[Resource, ...], new: tuple[Resource, ...]) -> FieldChange:
    def within(narrow: tuple[Resource, ...], wide: tuple[Resource, ...]) -> bool:
        return all(
            each.lets_nothing_through() or any(each.within(other) for other in wide)
            for each in narrow
        )

    def listed(resources: tuple[Resource, ...]) -> Any:
        forms = [each.as_json() for each in resources]
        return forms if len(forms) > 1 else next(iter(forms), None)

    effect = Effect.of(widens=not within(new, old), narrows=not within(old, new))
    return FieldChange(path, listed(old), listed(new), effect)


def _diff_resources(path: str, old: Resource, new: Resource) -> Iterator[FieldChange]:
    yield from _changed(
        f"{path}.verbs",
        [str(verb) for verb in VERBS if verb in old.verbs],
        [str(verb) for verb in VERBS if verb in new.verbs],
        Effect.of(widens=not new.verbs <= old.verbs, narrows=not old.verbs <= new.verbs),
    )
    yield from _changed(
        f"{path}.filter.teams",
        None if old.teams is None else sorted(old.teams),
        None if new.teams is None else sorted(new.teams),
        Effect.of(
            widens=not _teams_within(new.teams, old.teams),
            narrows=not _teams_within(old.teams, new.teams),
        ),
    )
    yield from _changed(
        f"{path}.filter.personal",
        old.personal,
        new.personal,
        Effect.of(widens=new.personal, narrows=old.personal),
    )


def _teams_within(narrow: frozenset[str] | None, wide: frozenset[str] | None) -> bool:
    return wide is None or (narrow is not None and narrow <= wide)


def _declared_by_peer(spec: PeerSpec) -> Iterator[FieldChange]:
    for path, value in spec.as_json().items():
        if value:
            yield FieldChange(path, None, value, Effect.NEUTRAL)


def _declared_by_grant(spec: GrantSpec) -> Iterator[FieldChange]:
    yield FieldChange("peer", None, spec.peer, Effect.NEUTRAL)
    yield FieldChange("subjectUserId", None, spec.subject_user_id, Effect.NEUTRAL)
    yield FieldChange("expiresAt", None, rfc3339(spec.expires_at), Effect.NEUTRAL)
    if spec.suspended:
        yield FieldChange("suspended", None, True, Effect.NARROWS)
    if spec.protect:
        yield FieldChange("protect", None, True, Effect.NEUTRAL)
    yield from _declared_by_scope(spec.scope)
    if spec.lifetime != DEFAULT_LIFETIME:
        lifetime = format_duration(spec.lifetime)
        yield FieldChange("certificate.lifetime", None, lifetime, Effect.NEUTRAL)


@lru_cache(REMEMBERED)
def _declared_by_scope(scope: Scope) -> tuple[FieldChange, ...]:
    resources = [
        FieldChange(
            f"scope.resources[{each.type}]", None, each.as_json(), compare_resources(None, each)
        )
        for each in scope.resources
    ]
    rows = scope.max_rows_per_query
    return (*resources, FieldChange("scope.maxRowsPerQuery", None, rows, Effect.WIDENS))
