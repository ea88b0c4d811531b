"""The cache of manifests: a file with a hash that is known is not parsed again.

It holds what parsed without a problem, and the version that parsed it; the rules between manifests
are applied to all of it each time. It is in the home's cache, is safe to delete, and is as trusted
as the home is.
"""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.spec import (
    Declared,
    Kind,
    PeerSpec,
    SourceLocation,
    spec_from_json,
)
from reconciler.errors import InvalidManifests
from reconciler.files import replace_file
from reconciler.manifest.consistency import Declaration, duplicates, wrong_peers
from reconciler.manifest.load import declared_in, desired_of, load, uncollected

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.model.spec import Desired, GrantSpec
    from reconciler.core.source import Source, SourceFile

    AnyDeclared = Declared[PeerSpec] | Declared[GrantSpec]

_FILE: Final = "manifests.json"
# Raise it when a file is parsed into other values, or an entry has another form: what an earlier
# build of the same version has cached is then parsed again. A test holds the digest of the entries.
FORMAT: Final = 1
VERSION: Final = f"{metadata.version('mosaic-federation')}+{FORMAT}"


@uncollected()
def load_cached(source: Source, folder: Path) -> Desired:
    """Return what a source declares, parsing only the files whose content is new.

    Raises:
        InvalidManifests: as `load` raises it, with every problem.
    """
    path = folder / _FILE
    cached = _read(path)
    objects: list[AnyDeclared] = []
    entries: dict[str, list[Any]] = {}
    try:
        for file in source.files:
            key = hashlib.sha256(file.content).hexdigest()
            known = _restored(cached.get(key), file)
            declared = declared_in(file) if known is None else known
            entries[key] = [_entry(each) for each in declared] if known is None else cached[key]
            objects += declared
    except InvalidManifests:
        return load(source)
    if source.problems or not _consistent(objects):
        return load(source)
    if entries != cached:
        _write(path, entries)
    return desired_of(source, objects)


def _consistent(objects: list[AnyDeclared]) -> bool:
    declarations = [
        Declaration(Kind.PEER, each.name, None)
        if isinstance(each.spec, PeerSpec)
        else Declaration(Kind.GRANT, each.name, each.spec.peer)
        for each in objects
    ]
    directions = {
        each.name: each.spec.direction for each in objects if isinstance(each.spec, PeerSpec)
    }
    return not any(duplicates(declarations)) and not any(wrong_peers(declarations, directions))


def _entry(declared: AnyDeclared) -> list[Any]:
    kind = Kind.PEER if isinstance(declared.spec, PeerSpec) else Kind.GRANT
    spec = declared.spec.as_json()
    return [str(kind), declared.name, declared.place.line, declared.digest, spec]


def _restored(entries: Any, file: SourceFile) -> tuple[AnyDeclared, ...] | None:
    """Return what a file is known to declare; None where that is not known."""
    try:
        return tuple(
            Declared(  # type: ignore[misc]  # either kind
                name, spec_from_json(Kind(kind), spec), SourceLocation(file.path, line), digest
            )
            for kind, name, line, digest, spec in entries
        )
    except (KeyError, TypeError, ValueError):
        return None


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        document = json.loads(path.read_bytes())
        files: dict[str, list[Any]] = document["files"]
    except (OSError, KeyError, TypeError, ValueError):
        return {}
    return files if document["version"] == VERSION and isinstance(files, dict) else {}


def _write(path: Path, files: dict[str, list[Any]]) -> None:
    text = json.dumps({"version": VERSION, "files": files}, separators=(",", ":"))
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(path, text.encode(), 0o600)
    except OSError:
        return  # it is slower without, and nothing else
