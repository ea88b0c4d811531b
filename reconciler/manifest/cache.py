"""What files declared, kept by their hash: a file that is as it was is not parsed again.

What is kept is what parsed without a problem, for this very code; anything else about it is judged
anew each time. It is in the home's cache, is safe to delete, and is as trusted as the home is.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import TYPE_CHECKING, Any, Final

import reconciler
from reconciler.core.model.spec import (
    Declared,
    Direction,
    Kind,
    PeerSpec,
    SourceLocation,
    spec_from_json,
)
from reconciler.errors import InvalidManifests
from reconciler.files import replace_file
from reconciler.manifest.load import declared_in, desired_of, load, uncollected

if TYPE_CHECKING:
    from reconciler.core.model.spec import Desired, GrantSpec
    from reconciler.core.source import Source, SourceFile

    AnyDeclared = Declared[PeerSpec] | Declared[GrantSpec]

_FILE: Final = "manifests.json"
_PARSING: Final = ("core", "manifest")  # the packages that decide what a file declares


@uncollected()
def load_kept(source: Source, folder: pathlib.Path) -> Desired:
    """Return what a source declares, parsing only the files whose content is new.

    Raises:
        InvalidManifests: as `load` does, which tells every problem.
    """
    path, version = folder / _FILE, _version()
    kept = _read(path, version)
    found: list[AnyDeclared] = []
    now: dict[str, list[Any]] = {}
    try:
        for file in source.files:
            key = hashlib.sha256(file.content).hexdigest()
            known = _restored(kept.get(key), file)
            declared = declared_in(file) if known is None else known
            now[key] = [_entry(each) for each in declared] if known is None else kept[key]
            found += declared
    except InvalidManifests:
        return load(source)
    if source.problems or not _consistent(found):
        return load(source)
    if now != kept:
        _write(path, version, now)
    return desired_of(source, found)


def _consistent(found: list[AnyDeclared]) -> bool:
    """Tell whether names are unique, and each grant's peer is an inbound one."""
    peers = {each.name: each.spec for each in found if isinstance(each.spec, PeerSpec)}
    grants = {each.name: each.spec for each in found if not isinstance(each.spec, PeerSpec)}
    inbound = {name for name, spec in peers.items() if spec.direction is Direction.INBOUND}
    unique = len(peers) + len(grants) == len(found)
    return unique and all(spec.peer in inbound for spec in grants.values())


def _entry(declared: AnyDeclared) -> list[Any]:
    kind = Kind.PEER if isinstance(declared.spec, PeerSpec) else Kind.GRANT
    spec = declared.spec.as_json()
    return [str(kind), declared.name, declared.place.line, declared.digest, spec]


def _restored(entries: Any, file: SourceFile) -> tuple[AnyDeclared, ...] | None:  # noqa: ANN401 - what a file holds
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


def _read(path: pathlib.Path, version: str) -> dict[str, list[Any]]:
    try:
        document = json.loads(path.read_bytes())
        files: dict[str, list[Any]] = document["files"]
    except (OSError, KeyError, TypeError, ValueError):
        return {}
    return files if document["version"] == version and isinstance(files, dict) else {}


def _write(path: pathlib.Path, version: str, files: dict[str, list[Any]]) -> None:
    text = json.dumps({"version": version, "files": files}, separators=(",", ":"))
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(path, text.encode(), 0o600)
    except OSError:
        return  # it is slower without, and nothing else


def _version() -> str:
    """Return what stands for this code: another version may read a file otherwise."""
    digest = hashlib.sha256()
    for package in _PARSING:
        for file in sorted((pathlib.Path(reconciler.__file__).parent / package).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
