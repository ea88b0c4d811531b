"""`drift --adopt`: what was changed by hand becomes what the manifests declare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.core.drift.model import DriftKind
from reconciler.core.model.spec import Declared, GrantSpec, Kind, PeerSpec, spec_digest
from reconciler.core.source import Source, SourceFile
from reconciler.errors import InvalidManifests, Refused
from reconciler.manifest.edit import edited
from reconciler.manifest.load import load
from reconciler.manifest.write import manifest_text
from reconciler.operations.declare import file_name
from reconciler.source.read import folder_of, read_source
from reconciler.store.apply.provenance import Provenance
from reconciler.store.apply.trust import TrustOptions, judge_trust, record_trust
from reconciler.store.audit import log as audit
from reconciler.store.drift.repair import adopt
from reconciler.store.file_change import FileChange

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reconciler.core.drift.model import Drift
    from reconciler.core.model.spec import Desired
    from reconciler.core.setting_values import SourceSetting
    from reconciler.store.db import Tx

AnyDeclared = Declared[PeerSpec] | Declared[GrantSpec]


@dataclass(frozen=True, slots=True)
class Adoption:
    """A source whose files declare what drifted, valid as a whole, before anything is written."""

    folder: Path
    source: Source
    desired: Desired
    files: tuple[FileChange, ...]


def prepare(setting: SourceSetting, drifts: Sequence[Drift]) -> Adoption:
    """Return the source with what drifted declared in it, or refuse all of it.

    Raises:
        InvalidManifests: the source is not valid as it is.
        NeedsEdit: `config_invalid`: it is a repository, which cannot be written to.
        Refused: `state_conflict`: what drifted cannot be declared, or the manifest has changed
            since it was applied.
    """
    folder = folder_of(setting)
    source = read_source(setting)
    files = {file.path: file.content for file in source.files}
    changed: dict[str, bytes] = {}
    declared = _by_identity(load(source))
    for drift in drifts:
        path, text = _edit(drift, declared, files | changed)
        changed[path] = text.encode()
    joined = tuple(SourceFile(path, content) for path, content in sorted((files | changed).items()))
    try:
        desired = load(replace(source, files=joined))
    except InvalidManifests as error:
        problems = "; ".join(str(problem) for problem in error.problems[:3])
        restore = "`mosaic federation drift --revert` restores what was applied"
        raise _undeclarable(f"the manifests would not be valid: {problems}", restore) from None
    after = _by_identity(desired)
    for drift in drifts:
        assert drift.row is not None
        if after[drift.row.kind, drift.row.name].digest != spec_digest(drift.row.spec):
            raise _undeclarable(f"no manifest says what {drift.subject} is", _restore(drift))
    changes = (
        FileChange(folder, path, files.get(path), content)
        for path, content in sorted(changed.items())
    )
    return Adoption(folder, source, desired, tuple(changes))


def carry_out(
    tx: Tx, adoption: Adoption, drifts: Sequence[Drift], actor: str, trust: TrustOptions
) -> None:
    """Record in the rows what the files will declare.

    Raises:
        Refused: `trust_bypassed`.
    """
    source = adoption.source
    provenance = Provenance(actor, source.label, source.commit, dirty=True)
    overridden = judge_trust(tx, None, provenance, trust)
    declared = _by_identity(adoption.desired)
    events = []
    for drift in drifts:
        assert drift.row is not None
        place = declared[drift.row.kind, drift.row.name].place
        events.append(adopt(tx, drift, place, provenance))
    audit.append(tx, actor, events)
    record_trust(tx, provenance, overridden, trusted=False)


def _edit(
    drift: Drift, declared: dict[tuple[Kind, str], AnyDeclared], files: dict[str, bytes]
) -> tuple[str, str]:
    row = drift.row
    if row is None or not drift.declares:
        what = f"the drifted fields of {drift.subject} are not part of a manifest"
        raise _undeclarable(what, _restore(drift))
    manifest = declared.get((row.kind, row.name))
    if manifest is None and drift.kind is not DriftKind.INSERTED:
        remedy = f"write its manifest, and apply; or {_restore(drift)}"
        raise _undeclarable(f"{drift.subject} has no manifest in the source", remedy)
    if manifest is None:
        return file_name(row.name, row.kind, files), manifest_text(row.name, row.spec)
    applied = drift.row_state.digest if drift.row_state is not None else manifest.digest
    if manifest.digest != applied:
        raise Refused(
            "state_conflict",
            f"{manifest.place.path} has changed since {drift.subject} was applied",
            hint=f"apply it first, or undo that change; {_restore(drift)}",
        )
    path = manifest.place.path
    return path, edited(files[path].decode(), row.kind, row.name, row.spec, path)


def _by_identity(desired: Desired) -> dict[tuple[Kind, str], AnyDeclared]:
    peers: dict[tuple[Kind, str], AnyDeclared] = {
        (Kind.PEER, each.name): each for each in desired.peers
    }
    return peers | {(Kind.GRANT, each.name): each for each in desired.grants}


def _restore(drift: Drift) -> str:
    """Return what to type about a drift that no manifest can declare."""
    line = f"`mosaic federation drift {drift.identity} --revert`"
    if drift.row is not None and drift.names and drift.row_state is not None:
        old = drift.row.kind.subject(drift.row_state.name)
        renaming = f"`mosaic federation rename {old} {drift.row.name}`"
        return f"{line} gives it its name back; then {renaming} renames it in the source too"
    return f"{line} restores what was applied" if drift.reverts else drift.remedy


def _undeclarable(message: str, hint: str) -> Refused:
    return Refused("state_conflict", message, hint=hint)
