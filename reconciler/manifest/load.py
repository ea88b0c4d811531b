"""From the files of a source to what they declare: every problem, or the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from reconciler.core.model.spec import Desired, Identity, PeerSpec, Spec, kind_of
from reconciler.core.model.text import shown
from reconciler.core.source import SourceFile
from reconciler.errors import InvalidManifests, Problem
from reconciler.gc_pause import uncollected
from reconciler.manifest.compile import grant_of, peer_of, scope_of
from reconciler.manifest.consistency import Declaration, duplicate_problems, peer_problems
from reconciler.manifest.models import API_VERSION, MANIFESTS, PeerManifest, ScopeModel
from reconciler.manifest.validation_errors import explain, named_type, suggestion
from reconciler.manifest.yaml.plain_reader import read_plain_documents
from reconciler.manifest.yaml.reader import Document, Path, read_documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reconciler.core.model.scope import Scope
    from reconciler.core.model.spec import AnyDeclared, Declared, Direction, GrantSpec
    from reconciler.core.source import Source


EMPTY_HINT: Final = (
    "a file that an editor cut short must revoke nothing; delete the file to remove it"
)
FILE: Final = "manifest.yaml"  # what a text is called that has no file

Specs = dict[Identity, Spec]  # what a text declares, by kind and name


@dataclass(frozen=True, slots=True)
class ParsedSource:
    """What the files of a source declare if valid, and every problem but those of references."""

    desired: Desired
    declarations: tuple[Declaration, ...]
    problems: tuple[Problem, ...]


def load(source: Source) -> Desired:
    """Return what a source declares.

    Raises:
        InvalidManifests: with every problem of every file: invalid is not absent.
    """
    reading = read(source)
    problems = [*reading.problems, *references(reading)]
    if problems:
        raise InvalidManifests(problems)
    return reading.desired


@uncollected()
def read(source: Source) -> ParsedSource:
    """Return what the files of a source declare, and the problems of each."""
    problems: list[Problem] = list(source.problems)
    objects: list[AnyDeclared] = []
    declarations: list[Declaration] = []
    for file in source.files:
        documents = read_documents(file.path, file.content)
        for document in _valid_documents(file, documents, problems):
            declared = _declared(document, problems)
            declarations.extend(_declarations(document))
            if declared is not None:
                objects.append(declared)
    problems.extend(duplicate_problems(declarations))
    return ParsedSource(_desired(source, objects), tuple(declarations), tuple(problems))


def _desired(source: Source, objects: Iterable[AnyDeclared]) -> Desired:
    """Return what the files of a source declare together, by name."""
    peers: list[Declared[PeerSpec]] = []
    grants: list[Declared[GrantSpec]] = []
    for each in sorted(objects, key=lambda each: each.name):
        if isinstance(each.spec, PeerSpec):
            peers.append(each)
        else:
            grants.append(each)
    return Desired(
        peers=tuple(peers),
        grants=tuple(grants),
        commit=source.commit,
        dirty=source.dirty,
        label=source.label,
    )


def declared_in(file: SourceFile) -> tuple[AnyDeclared, ...]:
    """Return what one file declares, in its order; what it refers to is not looked for.

    Raises:
        InvalidManifests: with every problem of the file.
    """
    for read_file in (read_plain_documents, read_documents):
        problems: list[Problem] = []
        documents = _valid_documents(file, read_file(file.path, file.content), problems)
        objects = [_declared(document, problems) for document in documents]
        if not problems:
            return tuple(each for each in objects if each is not None)
    raise InvalidManifests(problems)


def specs_of(text: str, file: str = FILE) -> Specs:
    """Return what a text declares, in its order; raise `InvalidManifests` else."""
    declared = declared_in(SourceFile(file, text.encode()))
    return {(kind_of(each.spec), each.name): each.spec for each in declared}


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
        problems.extend(_duplicate_types(document, ()))
    if problems or model is None:
        raise InvalidManifests(problems, code="scope_invalid")
    return scope_of(model)


def _valid_documents(
    file: SourceFile, documents: list[Document], problems: list[Problem]
) -> Iterator[Document]:
    """Yield the documents whose values are worth judging."""
    if not documents:
        message = "the file holds no manifest"
        problems.append(Problem(file.path, 1, 1, "file.empty", "", message, EMPTY_HINT))
    for document in documents:
        problems.extend(document.problems)
        if () not in document.broken:
            yield document


def _declarations(document: Document) -> Iterator[Declaration]:
    """Yield what a document says it declares, whatever else is wrong with it."""
    kind = _text_at(document.value, "kind")
    name = _text_at(document.value, "metadata", "name")
    if kind in MANIFESTS and name is not None:
        peer = _text_at(document.value, "spec", "peer")
        yield Declaration(kind, name, peer, document)


def _text_at(value: Any, *path: str) -> str | None:
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def _declared(document: Document, problems: list[Problem]) -> AnyDeclared | None:
    kind = document.value.get("kind") if isinstance(document.value, dict) else None
    model = MANIFESTS.get(kind) if isinstance(kind, str) else None
    if model is None:
        problems.append(_unknown_kind(document, kind))
        return None
    try:
        manifest = model.model_validate(document.value)
    except ValidationError as error:
        problems.extend(explain(error, model, document))
        problems.extend(_duplicate_types(document, ("spec", "scope")))
        return None
    if isinstance(manifest, PeerManifest):
        if manifest.spec.direction == "outbound" and not manifest.spec.endpoint:
            message, hint = "an outbound peer needs an endpoint", "add endpoint: https://…"
            problem = document.problem(("spec", "endpoint"), "peer.endpoint", message, hint)
            problems.append(problem)
        return peer_of(manifest, document)
    problems.extend(_duplicate_types(document, ("spec", "scope")))
    return grant_of(manifest, document)


def _unknown_kind(document: Document, kind: object) -> Problem:
    if not isinstance(document.value, dict):
        message = f"got {named_type(document.value)}, expected a manifest"
        hint = f"begin with apiVersion: {API_VERSION} and kind: Peer or Grant"
        return document.problem((), "field.type", message, hint)
    if kind is None:
        at = document.mark(())
        return Problem(document.file, *at, "field.missing", "kind", '"kind" is required', "add it")
    if isinstance(kind, dict | list):
        message, hint = f"got {named_type(kind)}, expected one of {', '.join(MANIFESTS)}", ""
    else:
        word = kind if isinstance(kind, str) else document.written(("kind",))
        message = f"{shown(word)} is not one of {', '.join(MANIFESTS)}"
        hint = suggestion(word, MANIFESTS)
    return document.problem(("kind",), "field.value", message, hint)


def _duplicate_types(document: Document, scope: tuple[str, ...]) -> Iterator[Problem]:
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
            message = f"the type {shown(kind)} is listed twice"
            yield document.problem(path, "scope.duplicate_type", message, "merge the two")
        seen.add(kind)


def references(
    reading: ParsedSource, *, others: Mapping[str, Direction] | None = None
) -> list[Problem]:
    """Return a problem for each grant whose peer is not an inbound one of this source.

    Where only some files of a source were read, `others` are the peers that the rest declares as
    far as that is known: what is not known is a warning.
    """
    directions = {each.name: each.spec.direction for each in reading.desired.peers}
    known = {**(others or {}), **directions}
    return list(peer_problems(reading.declarations, known, complete=others is None))
