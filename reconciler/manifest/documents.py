"""The documents of a file of manifests as texts: where each begins, and what it declares."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.files import SourceFile
from reconciler.core.spec import Kind, PeerSpec, Spec
from reconciler.manifest.load import declared_in

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = tuple[Kind, str]
Specs = dict[Key, Spec]

FILE: Final = "edited.yaml"
_MARKER: Final = re.compile(r"^---(?=[ \t\r\n]|$)", re.MULTILINE)
_END: Final = re.compile(r"^\.\.\.(?=[ \t\r\n]|$)", re.MULTILINE)
_HEAD: Final = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*")


@dataclass(frozen=True, slots=True)
class ManifestDocument:
    """One document's text, and which manifest it is; `before` is what stands before it.

    What stands after the last manifest, comments alone, has no key.
    """

    before: str
    text: str
    key: Key | None


def specs_of(text: str) -> Specs:
    """Return what a text declares, by kind and name; raise `InvalidManifests` else."""
    declared = declared_in(SourceFile(FILE, text.encode()))
    return {(kind_of(each.spec), each.name): each.spec for each in declared}


def kind_of(spec: Spec) -> Kind:
    """Return which kind of manifest declares a spec."""
    return Kind.PEER if isinstance(spec, PeerSpec) else Kind.GRANT


def split_documents(text: str) -> list[ManifestDocument]:
    """Return the documents of valid manifests: in those, `---` begins a line only as a marker."""
    starts = [found.start() for found in _MARKER.finditer(text)]
    edges = [0, *starts, len(text)] if not starts or starts[0] else [*starts, len(text)]
    found: list[ManifestDocument] = []
    waiting = ""
    for start, end in pairwise(edges):
        chunk = text[start:end]
        marked = chunk.startswith("---")
        marker, newline, rest = chunk.partition("\n") if marked else ("", "", chunk)
        keys = [(kind_of(each.spec), each.name) for each in _declared_in(rest)]
        if keys:
            found.append(ManifestDocument(f"{waiting}{marker}{newline}", rest, keys[0]))
            waiting = ""
        else:  # comments before the first marker
            waiting += chunk
    if waiting:
        found.append(ManifestDocument(waiting, "", None))
    return found


def content_of(text: str) -> tuple[int, int]:
    """Return where the content of one document's text begins and ends.

    Before it and after it are comments, and what follows a `...`. Those after it begin a line: an
    indented one may be text of a block scalar.
    """
    head = _HEAD.match(text)
    start = head.end() if head is not None else 0
    ended = _END.search(text, start)
    stop = end = ended.start() if ended is not None else len(text)
    for line in reversed(text[start:stop].splitlines(keepends=True)):
        if line.strip() and not line.startswith("#"):
            break
        stop -= len(line)
        end = stop if line.startswith("#") else end
    return start, end


def comments(text: str) -> Counter[str]:
    """Count the lines that are comments, wherever they are indented to."""
    return Counter(line.strip() for line in text.splitlines() if line.lstrip().startswith("#"))


def _declared_in(text: str) -> Iterator[Any]:
    """Yield what a text declares; nothing, where it holds no document."""
    start, end = content_of(text)
    if text[start:end].strip():
        yield from declared_in(SourceFile(FILE, text.encode()))
