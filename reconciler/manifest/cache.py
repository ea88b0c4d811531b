"""The cache of manifests: what is as it was is not read again, and what is known is not parsed.

It holds what parsed without a problem, and the version that parsed it; the rules between manifests
are applied to all of it each time. It is in the home's cache, is safe to delete, and is as trusted
as the home is.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.spec import (
    Declared,
    Desired,
    Direction,
    Kind,
    PeerSpec,
    SourceLocation,
)
from reconciler.core.source import FileIndex
from reconciler.errors import InvalidManifests
from reconciler.files import read_values, write_values
from reconciler.gc_pause import uncollected

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.model.spec import GrantSpec
    from reconciler.core.source import FileRecord, Source, SourceFile

    AnyDeclared = Declared[PeerSpec] | Declared[GrantSpec]

_FILE: Final = "manifests"
# Raise it when a file is parsed into other values, or an entry has another form: what an earlier
# build of the same version has cached is then parsed again. A test holds the digest of the entries.
FORMAT: Final = 4
VERSION: Final = f"{metadata.version('mosaic-federation')}+{FORMAT}"

# kind, name, line, digest of the spec, what it refers to (of a grant the peer, of a peer the
# direction), the spec as JSON, and the `row_key`
Entry = tuple[str, str, int, str, str, str, str]


class ManifestCache:
    """What is remembered in a folder of the source that was read last; nothing without a folder."""

    @uncollected()
    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        values: Any = read_values(folder / _FILE, VERSION) if folder is not None else None
        files, tree, declared = values if values is not None else ({}, None, {})
        self._files: dict[str, FileRecord] = files
        self._declared: dict[bytes, tuple[Entry, ...]] = declared
        self.index = FileIndex(files, tree)

    @uncollected()
    def load(self, source: Source) -> Desired:
        """Return what a source declares, parsing only the files whose content is new.

        Raises:
            InvalidManifests: as `load` raises it, with every problem.
        """
        if source.problems:
            return _parse(source)
        try:
            declared = {file.digest: self._entries(file) for file in source.files}
        except InvalidManifests:
            return _parse(source)
        entries = [(file.path, each) for file in source.files for each in declared[file.digest]]
        if not _consistent(entries):
            return _parse(source)
        if self._folder is not None:
            self._remember(self._folder, source, declared)
        return _desired(source, entries)

    def _entries(self, file: SourceFile) -> tuple[Entry, ...]:
        known = self._declared.get(file.digest)
        return _parse_file(file) if known is None else known

    def _remember(
        self, folder: Path, source: Source, declared: dict[bytes, tuple[Entry, ...]]
    ) -> None:
        files = {file.path: file.record for file in source.files}
        same = declared.keys() == self._declared.keys() and files == self._files
        if not same or source.tree != self.index.tree:
            write_values(folder / _FILE, VERSION, (files, source.tree, declared))


def _parse(source: Source) -> Desired:
    """Return what a source declares, by the parser alone."""
    # late, as in `_parse_file`: what is known needs neither the parser nor its models
    from reconciler.manifest.load import load  # noqa: PLC0415 - as above

    return load(source)


def _parse_file(file: SourceFile) -> tuple[Entry, ...]:
    from reconciler.manifest.load import declared_in  # noqa: PLC0415 - as above

    return tuple(map(entry_of, declared_in(file)))


def entry_of(declared: AnyDeclared) -> Entry:
    """Return what is remembered of a manifest."""
    spec = declared.spec
    kind, refers = (
        (Kind.PEER, str(spec.direction)) if isinstance(spec, PeerSpec) else (Kind.GRANT, spec.peer)
    )
    place = declared.place
    name, line, digest, text = declared.name, place.line, declared.digest, declared.text
    return (str(kind), name, line, digest, refers, text, declared.row_key)


def _consistent(entries: list[tuple[str, Entry]]) -> bool:
    """Tell whether each name is declared once, and each grant's peer is an inbound one."""
    identities = {(entry[0], entry[1]) for _, entry in entries}
    inbound = {
        entry[1] for _, entry in entries if entry[0] == Kind.PEER and entry[4] == Direction.INBOUND
    }
    peers = {entry[4] for _, entry in entries if entry[0] == Kind.GRANT}
    return len(identities) == len(entries) and peers <= inbound


def _desired(source: Source, entries: list[tuple[str, Entry]]) -> Desired:
    peers: list[Declared[Any]] = []
    grants: list[Declared[Any]] = []
    for path, entry in sorted(entries, key=lambda each: each[1][1]):
        name, line, digest, _, text, row_key = entry[1:]
        kind, of_kind = (Kind.PEER, peers) if entry[0] == Kind.PEER else (Kind.GRANT, grants)
        place = SourceLocation(path, line)
        of_kind.append(
            Declared.of_text(kind, name, place, digest=digest, row_key=row_key, text=text)
        )
    return Desired(
        peers=tuple(peers),
        grants=tuple(grants),
        commit=source.commit,
        dirty=source.dirty,
        label=source.label,
    )
