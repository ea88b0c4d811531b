"""From the files of a source to what they declare: every problem, or the values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from reconciler.core.spec import Declared, Desired, Direction, GrantSpec, Kind, PeerSpec
from reconciler.core.text import shown
from reconciler.errors import InvalidManifests, Problem
from reconciler.manifest.compile import grant_of, peer_of, scope_of
from reconciler.manifest.explain import explain, named_type, nearest
from reconciler.manifest.models import API_VERSION, MANIFESTS, PeerManifest, ScopeModel
from reconciler.manifest.reader import Document, Path, path_text, read_documents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.files import Source, SourceFile
    from reconciler.core.scope import Scope

_Found = tuple[Document, Declared[PeerSpec] | Declared[GrantSpec]]

EMPTY_HINT: Final = (
    "a file that an editor cut short must revoke nothing; delete the file to remove it"
)


def load(source: Source) -> Desired:
    """Return what a source declares.

    Raises:
        InvalidManifests: with every problem of every file: invalid is not absent.
    """
    problems: list[Problem] = list(source.problems)
    found: list[_Found] = []
    broken_peers: set[str] = set()
    for file in source.files:
        found.extend(_read_file(file, problems, broken_peers))
    peers = _by_name(found, Kind.PEER, problems)
    grants = _by_name(found, Kind.GRANT, problems)
    for document, grant in grants.values():
        if grant.spec.peer not in broken_peers:  # its own problems are told, and explain this one
            problems.extend(_check_peer(document, grant, peers))
    if problems:
        raise InvalidManifests(problems)
    return Desired(
        peers=tuple(declared for _, (_, declared) in sorted(peers.items())),
        grants=tuple(declared for _, (_, declared) in sorted(grants.items())),
        revision=source.revision,
        dirty=source.dirty,
        label=source.label,
    )


def load_scope(text: str, label: str) -> Scope:
    """Return the scope of a YAML or JSON text.

    Raises:
        InvalidManifests: `scope_invalid`, with every problem.
    """
    documents = read_documents(label, text.encode())
    if len(documents) != 1:
        message = f"got {len(documents)} documents, expected one scope"
        problem = Problem(label, 1, 1, "file.empty", "", message)
        raise InvalidManifests([problem], code="scope_invalid")
    document = documents[0]
    problems = list(document.problems)
    model = None
    try:
        model = ScopeModel.model_validate(document.value)
    except ValidationError as error:
        problems.extend(explain(error, ScopeModel, document))
    if model is not None:
        problems.extend(_doubled_types(document, ()))
    if problems or model is None:
        raise InvalidManifests(problems, code="scope_invalid")
    return scope_of(model)


def _read_file(
    file: SourceFile, problems: list[Problem], broken_peers: set[str]
) -> Iterator[_Found]:
    documents = read_documents(file.path, file.content)
    if not documents:
        message = "the file holds no manifest"
        problems.append(Problem(file.path, 1, 1, "file.empty", "", message, EMPTY_HINT))
    for document in documents:
        problems.extend(document.problems)
        if () in document.broken:
            continue
        declared = _declared(document, problems)
        if declared is not None:
            yield document, declared
        else:
            broken_peers.update(_peer_named_by(document.value))


def _peer_named_by(value: Any) -> Iterator[str]:  # noqa: ANN401 - any YAML value
    metadata = value.get("metadata") if isinstance(value, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if isinstance(name, str) and value.get("kind") == Kind.PEER:
        yield name


def _declared(
    document: Document, problems: list[Problem]
) -> Declared[PeerSpec] | Declared[GrantSpec] | None:
    kind = document.value.get("kind") if isinstance(document.value, dict) else None
    model = MANIFESTS.get(kind) if isinstance(kind, str) else None
    if model is None:
        problems.append(_unknown_kind(document, kind))
        return None
    try:
        manifest = model.model_validate(document.value)
    except ValidationError as error:
        problems.extend(explain(error, model, document))
        problems.extend(_doubled_types(document, ("spec", "scope")))
        return None
    if isinstance(manifest, PeerManifest):
        if manifest.spec.direction == "outbound" and not manifest.spec.endpoint:
            at = document.mark(("spec",))
            message = "an outbound peer needs an endpoint"
            hint = "add endpoint: https://…"
            problems.append(
                Problem(document.file, *at, "peer.endpoint", "spec.endpoint", message, hint)
            )
        return peer_of(manifest, document)
    problems.extend(_doubled_types(document, ("spec", "scope")))
    return grant_of(manifest, document)


def _unknown_kind(document: Document, kind: object) -> Problem:
    if not isinstance(document.value, dict):
        at = document.mark(())
        message = f"got {named_type(document.value)}, expected a manifest"
        hint = f"begin with apiVersion: {API_VERSION} and kind: Peer or Grant"
        return Problem(document.file, *at, "field.type", "", message, hint)
    if kind is None:
        at = document.mark(())
        return Problem(document.file, *at, "field.missing", "kind", '"kind" is required', "add it")
    at = document.mark(("kind",))
    message = f"{shown(kind)} is not one of {', '.join(MANIFESTS)}"
    hint = nearest(str(kind), MANIFESTS)
    return Problem(document.file, *at, "field.value", "kind", message, hint)


def _doubled_types(document: Document, scope: tuple[str, ...]) -> Iterator[Problem]:
    at: Any = document.value
    for part in (*scope, "resources"):
        at = at.get(part) if isinstance(at, dict) else None
    seen: set[str] = set()
    for index, resource in enumerate(at if isinstance(at, list) else ()):
        kind = resource.get("type") if isinstance(resource, dict) else None
        if not isinstance(kind, str):
            continue
        if kind in seen:
            path: Path = (*scope, "resources", index, "type")
            yield Problem(
                document.file,
                *document.mark(path),
                "scope.duplicate_type",
                path_text(path),
                f"the type {shown(kind)} stands here twice",
                "join the two",
            )
        seen.add(kind)


def _by_name(found: list[_Found], kind: Kind, problems: list[Problem]) -> dict[str, Any]:
    by_name: dict[str, _Found] = {}
    for document, declared in found:
        if (declared.spec.__class__ is PeerSpec) != (kind is Kind.PEER):
            continue
        if declared.name in by_name:
            first = by_name[declared.name][1].place
            message = f'{kind} "{declared.name}" is declared already, at {first.path}:{first.line}'
            at = document.mark(("metadata", "name"))
            problems.append(
                Problem(document.file, *at, "name.duplicate", "metadata.name", message, "rename it")
            )
        else:
            by_name[declared.name] = (document, declared)
    return by_name


def _check_peer(
    document: Document, grant: Declared[GrantSpec], peers: dict[str, Any]
) -> Iterator[Problem]:
    at = document.mark(("spec", "peer"))
    name = grant.spec.peer
    if name not in peers:
        message = f'there is no Peer "{name}" in this source'
        hint = nearest(name, peers) or "declare it, with direction: inbound"
    elif peers[name][1].spec.direction is not Direction.INBOUND:
        message = f'the Peer "{name}" is outbound'
        hint = "a grant is for a peer that calls us: direction: inbound"
    else:
        return
    yield Problem(document.file, *at, "grant.peer", "spec.peer", message, hint)
