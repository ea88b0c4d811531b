"""What a grant lets its peer see, and how two scopes compare by meaning.

A scope is a point of a lattice: it is narrower than another when everything that it lets through,
the other lets through too. Comparison never looks at the text it was written in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar

from reconciler.core.canonical_json import plain_json

V = TypeVar("V")

REMEMBERED: Final = 1024  # scopes
MAX_ROWS_LIMIT: Final = 10_000  # rows a query


class ResourceType(StrEnum):
    """The closed set of resource types that can be granted."""

    TASKS = "tasks"
    PROJECTS = "projects"
    EVENTS = "events"
    NOTES = "notes"
    MEMORY = "memory"
    KNOWLEDGE = "knowledge"


class Verb(StrEnum):
    """The closed set of verbs."""

    LIST = "list"
    GET = "get"


RESOURCE_TYPES: Final = tuple(ResourceType)
NEVER_GRANTABLE: Final = ("credentials", "api_keys", "sessions")
VERBS: Final = tuple(Verb)


class Effect(StrEnum):
    """What a change does to the authority that a peer holds."""

    WIDENS = "widens"
    NARROWS = "narrows"
    MIXED = "mixed"
    NEUTRAL = "neutral"

    @classmethod
    def of(cls, *, widens: bool, narrows: bool) -> Effect:
        """Return the effect of a change that adds (`widens`) or takes (`narrows`) anything."""
        if widens and narrows:
            return cls.MIXED
        if widens:
            return cls.WIDENS
        return cls.NARROWS if narrows else cls.NEUTRAL

    @classmethod
    def joined(cls, effects: tuple[Effect, ...]) -> Effect:
        """Return the effect of several changes taken together."""
        return cls.of(
            widens=any(effect in (cls.WIDENS, cls.MIXED) for effect in effects),
            narrows=any(effect in (cls.NARROWS, cls.MIXED) for effect in effects),
        )


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource type of a scope.

    `teams` is None for all teams, and empty for none; `personal` lets the subject user's own
    items through. A resource with no team and no personal items lets nothing through.
    """

    type: ResourceType
    verbs: frozenset[Verb]
    teams: frozenset[str] | None = None
    personal: bool = True

    def lets_nothing_through(self) -> bool:
        """Tell whether no item at all is visible."""
        return not self.verbs or (not self.personal and self.teams is not None and not self.teams)

    def within(self, other: Resource) -> bool:
        """Tell whether `other` lets through all that this does."""
        if self.lets_nothing_through():
            return True
        if other.lets_nothing_through():
            return False
        teams_within = other.teams is None or (self.teams is not None and self.teams <= other.teams)
        return self.verbs <= other.verbs and teams_within and (other.personal or not self.personal)

    def as_json(self) -> dict[str, Any]:
        """Return the canonical JSON form: sorted, with defaults left out."""
        document: dict[str, Any] = {
            "type": str(self.type),
            "verbs": [str(verb) for verb in VERBS if verb in self.verbs],
        }
        narrowed: dict[str, Any] = {}
        if self.teams is not None:
            narrowed["teams"] = sorted(self.teams)
        if not self.personal:
            narrowed["personal"] = False
        if narrowed:
            document["filter"] = narrowed
        return document


@dataclass(frozen=True, slots=True)
class Scope:
    """What a grant lets through: at most one `Resource` a type, in the order of their types."""

    resources: tuple[Resource, ...]
    max_rows_per_query: int
    _document: dict[str, Any] | None = field(default=None, init=False, repr=False, compare=False)

    def resource(self, wanted: ResourceType) -> Resource | None:
        """Return the resource of the type, or None where the scope has none."""
        return next((each for each in self.resources if each.type is wanted), None)

    def all_of(self, wanted: ResourceType) -> tuple[Resource, ...]:
        """Return every resource of the type: a scope that was changed by hand may list several."""
        return tuple(each for each in self.resources if each.type is wanted)

    def as_json(self) -> dict[str, Any]:
        """Return the canonical JSON form, made once: nobody may change it.

        Equal scopes have equal forms.
        """
        if self._document is not None:
            return self._document
        ordered = sorted(self.resources, key=lambda resource: RESOURCE_TYPES.index(resource.type))
        document = {
            "resources": [resource.as_json() for resource in ordered],
            "maxRowsPerQuery": self.max_rows_per_query,
        }
        object.__setattr__(self, "_document", document)
        return document


@lru_cache(REMEMBERED)
def shared(scope: Scope) -> Scope:
    """Return one value for equal scopes: thousands of grants may have the same."""
    return scope


def scope_from_json(document: dict[str, Any]) -> Scope:
    """Return the scope of a canonical form as `Scope.as_json` writes it.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: another gateway wrote something else.
    """
    return Scope(
        resources=tuple(_resource_from_json(each) for each in document["resources"]),
        max_rows_per_query=_of_type(int, document["maxRowsPerQuery"]),
    )


def known_scope(document: dict[str, Any]) -> Scope:
    """Return the scope of a form that `Scope.as_json` wrote here, read once for equal ones."""
    return _scope_of_text(plain_json(document))


@lru_cache(REMEMBERED)
def _scope_of_text(text: str) -> Scope:
    return scope_from_json(json.loads(text))


def _resource_from_json(document: dict[str, Any]) -> Resource:
    narrowed = document.get("filter", {})
    teams = narrowed.get("teams")
    return Resource(
        type=ResourceType(document["type"]),
        verbs=frozenset(Verb(verb) for verb in document["verbs"]),
        teams=None if teams is None else frozenset(_of_type(str, each) for each in teams),
        personal=_of_type(bool, narrowed.get("personal", True)),
    )


def _of_type(kind: type[V], value: object) -> V:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}")
    return value


def compare_resources(old: Resource | None, new: Resource | None) -> Effect:
    """Return what replacing `old` by `new` (None: absent) does."""
    if old is None:
        return Effect.of(widens=new is not None and not new.lets_nothing_through(), narrows=False)
    if new is None:
        return Effect.of(widens=False, narrows=not old.lets_nothing_through())
    return Effect.of(widens=not new.within(old), narrows=not old.within(new))


def compare_numbers(old: float, new: float) -> Effect:
    """Return what moving a limit from `old` to `new` does: a higher limit widens."""
    return Effect.of(widens=new > old, narrows=new < old)


def compare_scopes(old: Scope, new: Scope) -> Effect:
    """Return what replacing `old` by `new` does as a whole."""
    by_type = tuple(
        compare_resources(old.resource(each), new.resource(each)) for each in RESOURCE_TYPES
    )
    rows = compare_numbers(old.max_rows_per_query, new.max_rows_per_query)
    return Effect.joined((*by_type, rows))
