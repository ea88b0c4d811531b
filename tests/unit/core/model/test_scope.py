"""The lattice of scopes, against a model that lists every item that passes."""

from __future__ import annotations

from itertools import product

from hypothesis import given

from reconciler.core.canonical_json import canonical_json
from reconciler.core.model.scope import (
    RESOURCE_TYPES,
    Effect,
    Resource,
    ResourceType,
    Scope,
    Verb,
    compare_resources,
    compare_scopes,
    scope_from_json,
)
from reconciler.core.model.spec import GrantSpec
from reconciler.core.plan.diff import diff
from tests.support.manifests.strategies import NOW, TEAMS, resources, scopes

OWNERS = (*TEAMS, "a team that nobody names", "the subject")
ONE_TYPE = resources((ResourceType.TASKS,))


def let_through(resource: Resource) -> set[tuple[str, str]]:
    """Return every (verb, owner of the item) that passes."""
    passing = set()
    for verb, owner in product(resource.verbs, OWNERS):
        if owner == "the subject":
            passes = resource.personal
        else:
            passes = resource.teams is None or owner in resource.teams
        if passes:
            passing.add((str(verb), owner))
    return passing


def all_let_through(scope: Scope) -> set[tuple[str, str, str]]:
    return {(str(r.type), *item) for r in scope.resources for item in let_through(r)}


def effect_of_sets(old: set[object], new: set[object]) -> Effect:
    return Effect.of(widens=bool(new - old), narrows=bool(old - new))


@given(ONE_TYPE, ONE_TYPE)
def test_within_means_that_nothing_more_passes(one: Resource, other: Resource) -> None:
    assert one.within(other) is (let_through(one) <= let_through(other))


@given(ONE_TYPE)
def test_within_is_reflexive(one: Resource) -> None:
    assert one.within(one)
    assert compare_resources(one, one) is Effect.NEUTRAL


@given(ONE_TYPE, ONE_TYPE, ONE_TYPE)
def test_within_is_transitive(one: Resource, two: Resource, three: Resource) -> None:
    if one.within(two) and two.within(three):
        assert one.within(three)


@given(ONE_TYPE, ONE_TYPE)
def test_within_both_ways_means_the_same(one: Resource, other: Resource) -> None:
    same = let_through(one) == let_through(other)
    assert (one.within(other) and other.within(one)) is same


@given(scopes(), scopes())
def test_a_scope_widens_and_narrows_as_what_it_lets_through(old: Scope, new: Scope) -> None:
    rows = Effect.of(
        widens=new.max_rows_per_query > old.max_rows_per_query,
        narrows=new.max_rows_per_query < old.max_rows_per_query,
    )
    items = effect_of_sets(set(all_let_through(old)), set(all_let_through(new)))
    assert compare_scopes(old, new) is Effect.joined((items, rows))


@given(scopes(), scopes())
def test_the_fields_of_a_diff_together_say_what_the_scope_does(old: Scope, new: Scope) -> None:
    before, after = (GrantSpec("beta", "maria", NOW, scope) for scope in (old, new))
    fields = diff(before, after)
    assert Effect.joined(tuple(f.effect for f in fields)) is compare_scopes(old, new)
    assert bool(fields) is (old != new)


@given(scopes(), scopes())
def test_the_way_back_has_the_opposite_effect(old: Scope, new: Scope) -> None:
    opposite = {Effect.WIDENS: Effect.NARROWS, Effect.NARROWS: Effect.WIDENS}
    forth, back = compare_scopes(old, new), compare_scopes(new, old)
    assert back is opposite.get(forth, forth)


@given(scopes(RESOURCE_TYPES))
def test_the_canonical_form_reads_back(scope: Scope) -> None:
    assert scope_from_json(scope.as_json()) == scope


@given(scopes(RESOURCE_TYPES))
def test_the_canonical_form_does_not_depend_on_the_order(scope: Scope) -> None:
    turned = Scope(scope.resources[::-1], scope.max_rows_per_query)
    assert canonical_json(turned.as_json()) == canonical_json(scope.as_json())


def test_a_resource_that_lets_nothing_through_is_as_good_as_none() -> None:
    nothing = Resource(ResourceType.TASKS, frozenset(Verb), frozenset(), personal=False)
    assert compare_resources(None, nothing) is Effect.NEUTRAL
    assert compare_resources(nothing, None) is Effect.NEUTRAL
