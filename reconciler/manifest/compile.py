"""From validated models to the core's values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.model.scope import (
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
        scope=shared(scope_of(declared.scope)),
        lifetime=parse_duration(declared.certificate.lifetime),
        suspended=declared.suspended,
        protect=declared.protect,
    )
    return Declared.of_spec(Kind.GRANT, name, spec, _place(document))


def scope_of(model: ScopeModel) -> Scope:
    """Return the scope of a model, its resources in the order of their types."""
    resources = sorted(
        map(_resource_of, model.resources), key=lambda each: RESOURCE_TYPES.index(each.type)
    )
    return Scope(tuple(resources), model.max_rows_per_query)


def _resource_of(model: ResourceModel) -> Resource:
    all_teams = "teams" not in model.filter.model_fields_set
    return Resource(
        type=ResourceType(model.type),
        verbs=frozenset(Verb(verb) for verb in model.verbs),
        teams=None if all_teams else frozenset(model.filter.teams),
        personal=model.filter.personal,
    )


def _place(document: Document) -> SourceLocation:
    line, _ = document.mark(("metadata", "name"))
    return SourceLocation(document.file, line)
