"""Manifests that a command writes beside those of the source, and applies alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.model.spec import Kind, PeerSpec, Spec, kind_of
from reconciler.core.plan.model import Action
from reconciler.core.plan.selection import Selection
from reconciler.core.setting_values import folder_options
from reconciler.core.source import Source, SourceFile
from reconciler.errors import InvalidManifests, NeedsEdit, Refused
from reconciler.manifest.json_schema import SCHEMAS_URL
from reconciler.manifest.load import load
from reconciler.manifest.write import manifest_text
from reconciler.reconcile import ApplyOptions, PlanResult, applying
from reconciler.source.read import folder_of, read_source
from reconciler.store.apply.provenance import Provenance
from reconciler.store.file_change import FileChange
from reconciler.store.locks import actor_of
from reconciler.store.lookup import find_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.core.model.spec import Declared, Desired
    from reconciler.core.setting_values import SourceSetting
    from reconciler.store.db import Database, Tx


@dataclass(frozen=True, slots=True)
class NewManifest:
    """A manifest to be written: `path` is below the source's folder."""

    kind: Kind
    name: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class NewManifests:
    """A source with the manifests in it, valid as a whole, before anything is written."""

    folder: Path
    desired: Desired
    manifests: tuple[NewManifest, ...]

    @property
    def selection(self) -> Selection:
        """The identities to apply: a grant brings its peer where that is new.

        A peer that is named brings all of its grants, and this source may not declare them.
        """
        added_identities = frozenset((manifest.kind, manifest.name) for manifest in self.manifests)
        grants = frozenset(each for each in added_identities if each[0] is Kind.GRANT)
        return Selection(only=grants or added_identities)


def source_for_new(setting: SourceSetting, command: str, *, write: bool) -> Source:
    """Return the source that a command adds manifests to; an absent folder is an empty one.

    A repository counts as empty where nothing is to be written.

    Raises:
        NeedsEdit: `config_invalid`: it is a git repository, which cannot be written to.
    """
    if setting.is_git and not write:
        return Source(command, ())
    refuse_repository(setting)
    folder = folder_of(setting)
    return read_source(setting) if folder.exists() else Source(str(folder), ())


def refuse_repository(setting: SourceSetting) -> None:
    """Raise `NeedsEdit` (`config_invalid`) if the source is a git repository."""
    if setting.is_git:
        raise NeedsEdit(
            "config_invalid",
            "the source is a git repository: a manifest cannot be written into it",
            hint="pass --no-write and commit the manifest yourself, or name a folder: "
            f"{folder_options(setting)}",
        )


def declare(source: Source, specs: Sequence[tuple[str, Spec]]) -> NewManifests:
    """Return the source with these objects in it, once all of it is valid.

    Raises:
        InvalidManifests: with every problem, those of the source included.
        NeedsEdit: `manifest_invalid`: only these objects are invalid.
        Refused: `name_taken`: the source declares one of them already.
    """
    root = Path(source.label)
    taken = {file.path for file in source.files}
    manifests: list[NewManifest] = []
    added: list[SourceFile] = []
    for name, spec in specs:
        kind = kind_of(spec)
        path = file_name(name, kind, taken)
        taken.add(path)
        schemas = "../schemas" if (root.parent / "schemas").is_dir() else SCHEMAS_URL
        text = manifest_text(name, spec, schemas)
        manifests.append(NewManifest(kind, name, path, text))
        added.append(SourceFile(path, text.encode()))
    before = load(source)
    for manifest in manifests:
        _refuse_taken(before, manifest)
    joined = replace(source, files=(*source.files, *added))
    try:
        return NewManifests(root, load(joined), tuple(manifests))
    except InvalidManifests as error:
        if {problem.file for problem in error.problems} - {file.path for file in added}:
            raise
        raise _of_arguments(error) from None


def _of_arguments(error: InvalidManifests) -> NeedsEdit:
    """Return what is wrong with manifests that are in no file: it came with the command."""
    faults = "; ".join(
        f"{problem.path}: {problem.message}" + (f" ({problem.hint})" if problem.hint else "")
        for problem in error.problems
    )
    hint = "correct the arguments of the command; nothing was changed"
    return NeedsEdit(error.code, faults, hint=hint)


def apply_new_manifests(
    database: Database, new: NewManifests, options: ApplyOptions, *, write: bool
) -> PlanResult:
    """Apply the manifests alone, as rows that git has not seen yet, and write them with the rows.

    Raises:
        Retry: `lock_held`.
        Refused: by the guard; `name_taken`: a file is there, or a grant came to be meanwhile.
    """
    by = Provenance(actor_of("user"), new.desired.label, managed=False)
    folders = (new.folder,) if write else ()
    chosen = replace(options, selection=new.selection, folders=folders)
    with applying(database, new.desired, by, chosen) as (done, files):
        created = {change.name for change in done.plan.grant_changes(Action.CREATE)}
        for manifest in new.manifests:
            if manifest.kind is Kind.GRANT and manifest.name not in created:
                raise grant_taken(manifest.name, "there")
        if write:
            files.extend(
                FileChange(new.folder, manifest.path, None, manifest.text.encode())
                for manifest in new.manifests
            )
    return done


def grant_taken(name: str, status: str) -> Refused:
    """Return the refusal of a grant whose name a live one has."""
    return Refused(
        "name_taken",
        f"grant {name!r} is {status} already",
        hint=f"a new invitation for it: `mosaic federation grant invite {name}`",
    )


def declared_peer(source: Source, name: str) -> Declared[PeerSpec] | None:
    """Return the peer of a name that a source declares, or None."""
    return next((each for each in load(source).peers if each.name == name), None)


def refuse_held_peer(tx: Tx, name: str) -> None:
    """Raise where an operator has revoked the peer of a name: git cannot create it again so far.

    Raises:
        Refused: `state_conflict`.
    """
    row = find_row(tx, Kind.PEER, name)
    if row is not None and row.held_revoked and row.hold is not None:
        reason = f": {row.hold.reason}" if row.hold.reason else ""
        free = "remove its manifest, and apply: `mosaic federation apply`"
        if not row.managed:
            free = f"apply with its manifest once, then {free}"
        raise Refused(
            "state_conflict",
            f"peer {name!r} was revoked by {row.hold.by}{reason}",
            hint=f"to use the name again, {free}; or choose another name",
        )


def file_name(name: str, kind: Kind, taken: Iterable[str]) -> str:
    """Return the path of a new manifest below its source, beside those that are taken."""
    plain = f"{name}.yaml"
    lower = {path.lower() for path in taken}  # names that differ only in case are refused
    return plain if plain not in lower else f"{name}-{str(kind).lower()}.yaml"


def _refuse_taken(before: Desired, manifest: NewManifest) -> None:
    declared = before.peers if manifest.kind is Kind.PEER else before.grants
    for each in declared:
        if each.name == manifest.name:
            location = f"{each.place.path}:{each.place.line}"
            raise Refused(
                "name_taken",
                f"{manifest.kind} {manifest.name!r} is declared at {location}",
                hint="choose another name, or edit that manifest and apply",
            )
