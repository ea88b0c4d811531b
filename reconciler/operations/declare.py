"""Manifests that a command writes beside those of the source, and applies alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.model.spec import Kind, PeerSpec, Spec
from reconciler.core.plan.selection import Selection
from reconciler.core.settings import folder_options
from reconciler.core.source import Source, SourceFile
from reconciler.errors import NeedsEdit, Refused
from reconciler.manifest.load import load
from reconciler.manifest.schema import SCHEMAS_URL
from reconciler.manifest.write import manifest_text, write_manifest
from reconciler.reconcile import Judged, Options, apply
from reconciler.source.read import folder_of, read_source
from reconciler.store.apply.observe import observe
from reconciler.store.apply.provenance import Provenance
from reconciler.store.locks import actor_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.model.spec import Declared, Desired
    from reconciler.core.settings import SourceSetting
    from reconciler.store.db import Database, Tx


@dataclass(frozen=True, slots=True)
class Draft:
    """A manifest to be written: `path` is absolute."""

    kind: Kind
    name: str
    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Declaring:
    """A source with the drafts in it, valid as a whole, before anything is written."""

    desired: Desired
    drafts: tuple[Draft, ...]

    @property
    def selection(self) -> Selection:
        """The identities to apply: a grant brings its peer where that is new.

        A peer that is named brings all of its grants, and this source may not declare them.
        """
        drafted = frozenset((draft.kind, draft.name) for draft in self.drafts)
        grants = frozenset(each for each in drafted if each[0] is Kind.GRANT)
        return Selection(only=grants or drafted)

    def write(self) -> None:
        """Write the drafts; where one cannot be, none is left."""
        written: list[Path] = []
        try:
            for draft in self.drafts:
                write_manifest(draft.path, draft.text)
                written.append(draft.path)
        except BaseException:
            _remove(written)
            raise

    def remove(self) -> None:
        """Take the drafts away again, because what they declare could not be applied."""
        _remove([draft.path for draft in self.drafts])


def existing(setting: SourceSetting) -> Source:
    """Return the source as it is; an absent folder is an empty one.

    Raises:
        NeedsEdit: `config_invalid`: it is a git repository, which cannot be written to.
    """
    if setting.is_git:
        raise NeedsEdit(
            "config_invalid",
            "the source is a git repository: a manifest cannot be written into it",
            hint="pass --no-write and commit the manifest yourself, or name a folder: "
            f"{folder_options(setting)}",
        )
    folder = folder_of(setting)
    return read_source(setting) if folder.exists() else Source(str(folder), ())


def declare(
    source: Source, specs: Sequence[tuple[str, Spec]], *, folder: Path | None = None
) -> Declaring:
    """Return the source with these objects in it, once all of it is valid.

    Raises:
        InvalidManifests: with every problem, those of the source included.
        Refused: `name_taken`: the source declares one of them already.
    """
    root = folder or Path(source.label)
    taken = {file.path for file in source.files}
    drafts: list[Draft] = []
    added: list[SourceFile] = []
    for name, spec in specs:
        kind = Kind.PEER if isinstance(spec, PeerSpec) else Kind.GRANT
        path = _file_name(name, kind, taken)
        taken.add(path)
        schemas = "../schemas" if (root.parent / "schemas").is_dir() else SCHEMAS_URL
        text = manifest_text(name, spec, schemas)
        drafts.append(Draft(kind, name, root / path, text))
        added.append(SourceFile(path, text.encode()))
    before = load(source)
    for draft in drafts:
        _refuse_taken(before, draft)
    joined = replace(source, files=(*source.files, *added))
    return Declaring(load(joined), tuple(drafts))


def apply_drafts(
    opened: Database, declaring: Declaring, options: Options, *, write: bool
) -> Judged:
    """Apply the drafts alone, as rows that git has not seen yet.

    Their files are written last in the same transaction: no loop sees a manifest before its rows
    are there, and what fails leaves neither.

    Raises:
        Retry: `lock_held`. Refused: by the guard, by `options.also`, or `name_taken`.
    """
    by = Provenance(f"user:{actor_name()}", declaring.desired.label, managed=False)
    written = False

    def also(done: Judged) -> None:
        nonlocal written
        if options.also is not None:
            options.also(done)
        if write:
            declaring.write()
            written = True

    try:
        chosen = replace(options, selection=declaring.selection, also=also)
        return apply(opened, declaring.desired, by, chosen)
    except BaseException:
        if written:
            declaring.remove()
        raise


def declared_peer(source: Source, name: str) -> Declared[PeerSpec] | None:
    """Return the peer of a name that a source declares, or None."""
    return next((each for each in load(source).peers if each.name == name), None)


def live_peer(tx: Tx, name: str) -> PeerSpec | None:
    """Return the spec of the live row of a peer, or None."""
    rows = (row for row in observe(tx).peers if row.name == name and not row.ended)
    return next((row.spec for row in rows), None)


def refuse_held_peer(tx: Tx, name: str) -> None:
    """Raise where an operator has revoked the peer of a name: git cannot create it anew so far.

    Raises:
        Refused: `state_conflict`.
    """
    for row in observe(tx).peers:
        if row.name == name and row.ended and row.hold is not None and row.held_revoked:
            reason = f": {row.hold.reason}" if row.hold.reason else ""
            raise Refused(
                "state_conflict",
                f"peer {name!r} was revoked by {row.hold.by}{reason}",
                hint="apply with its manifest, then without it, and the name is free again; "
                "or choose another name",
            )


def _file_name(name: str, kind: Kind, taken: set[str]) -> str:
    plain = f"{name}.yaml"
    lower = {path.lower() for path in taken}  # names that differ only in case are refused
    return plain if plain not in lower else f"{name}-{str(kind).lower()}.yaml"


def _refuse_taken(before: Desired, draft: Draft) -> None:
    declared = before.peers if draft.kind is Kind.PEER else before.grants
    for each in declared:
        if each.name == draft.name:
            raise Refused(
                "name_taken",
                f"{draft.kind} {draft.name!r} is declared at {each.place.path}:{each.place.line}",
                hint="choose another name, or edit that manifest and apply",
            )


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
