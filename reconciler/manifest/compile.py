"""From validated models to the core's values."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from reconciler.core.model.scope import (
    REMEMBERED,
    RESOURCE_TYPES,
    Resource,
    ResourceType,
    Scope,
    Verb,
    shared,
)
from reconciler.core.model.spec import (
    Declared,
    Direction,
    GrantSpec,
    Kind,
    PeerSpec,
    SourceLocation,
)
from reconciler.core.model.times import parse_duration, parse_rfc3339

if TYPE_CHECKING:
    from reconciler.manifest.models import GrantManifest, PeerManifest, ResourceModel, ScopeModel
    from reconciler.manifest.yaml.reader import Document

    # type, verbs, teams (None: all), personal
    _ResourceKey = tuple[str, tuple[str, ...], tuple[str, ...] | None, bool]


def peer_of(manifest: PeerManifest, document: Document) -> Declared[PeerSpec]:
    """Return the peer that a manifest declares."""
    name, declared = manifest.metadata.name, manifest.spec
    spec = PeerSpec(
        direction=Direction(declared.direction),
        display_name=declared.display_name or name,
        endpoint=declared.endpoint.rstrip("/") or None,
        labels=tuple(sorted(manifest.metadata.labels.items())),
        protect=declared.protect,
    )
    return Declared.of_spec(Kind.PEER, name, spec, _place(document))


def grant_of(manifest: GrantManifest, document: Document) -> Declared[GrantSpec]:
    """Return the grant that a manifest declares."""
    name, declared = manifest.metadata.name, manifest.spec
    spec = GrantSpec(
        peer=declared.peer,
        subject_user_id=declared.subject_user_id,
        expires_at=parse_rfc3339(declared.expires_at),
        scope=scope_of(declared.scope),
        lifetime=parse_duration(declared.certificate.lifetime),
        suspended=declared.suspended,
        protect=declared.protect,
    )
    return Declared.of_spec(Kind.GRANT, name, spec, _place(document))


def scope_of(model: ScopeModel) -> Scope:
    """Return the scope of a model, its resources in the order of their types.

    Many grants have the same few scopes, and equal models have one value.
    """
    return _scope(tuple(map(_resource_key, model.resources)), model.max_rows_per_query)


def _resource_key(model: ResourceModel) -> _ResourceKey:
    row_filter = model.filter
    teams = tuple(row_filter.teams) if "teams" in row_filter.model_fields_set else None
    return (model.type, tuple(model.verbs), teams, row_filter.personal)


@lru_cache(REMEMBERED)
def _scope(resources: tuple[_ResourceKey, ...], max_rows: int) -> Scope:
    compiled = [
        Resource(
            type=ResourceType(resource_type),
            verbs=frozenset(map(Verb, verbs)),
            teams=None if teams is None else frozenset(teams),
            personal=personal,
        )
        for resource_type, verbs, teams, personal in resources
    ]
    compiled.sort(key=lambda each: RESOURCE_TYPES.index(each.type))
    return shared(Scope(tuple(compiled), max_rows))


def _place(document: Document) -> SourceLocation:
    line, _ = document.mark(("metadata", "name"))
    return SourceLocation(document.file, line)
