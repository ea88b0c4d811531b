"""`grant create`: a grant with its manifest, its rows and its token, in one step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from reconciler.core.model.spec import Direction, GrantSpec, Kind, PeerSpec, Spec, spec_digest
from reconciler.errors import Refused
from reconciler.operations.declare import (
    apply_new_manifests,
    declare,
    declared_peer,
    grant_taken,
    refuse_held_peer,
    source_for_new,
)
from reconciler.reconcile import ApplyOptions, TokenMinting
from reconciler.source.read import folder_of
from reconciler.store.apply.trust import TrustOptions
from reconciler.store.issuance.tokens import mint
from reconciler.store.locks import actor_of
from reconciler.store.lookup import find_row, live_peer
from reconciler.store.rollback_journal import recover_source
from reconciler.store.views.grants import live_grant_id

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from reconciler.core.setting_values import SourceSetting
    from reconciler.core.source import Source
    from reconciler.store.db import Database, Tx
    from reconciler.store.issuance.tokens import Minted

NO_TIME: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """A grant to create: `expires` is its end as it was typed, a time or a duration from now."""

    name: str
    spec: GrantSpec
    expires: str
    write: bool
    wait: timedelta
    override_trust: bool = False

    @property
    def operation(self) -> str:
        """What two runs of the same command have in common, and others have not."""
        digest = spec_digest(replace(self.spec, expires_at=NO_TIME))
        return f"grant create {self.name} --expires {self.expires} {digest}"


def create_grant(
    database: Database, setting: SourceSetting, request: GrantRequest, minting: TokenMinting
) -> tuple[Minted, list[Path]]:
    """Create a grant, and its peer where it is new; return its token and the new manifests.

    If a killed run of the same command has created it, it gets a new token instead of the lost one.

    Raises:
        Retry: `lock_held`. InvalidManifests: those of the source.
        NeedsEdit: `config_invalid`: the source is a repository.
        Refused: `name_taken`, `state_conflict`, `trust_bypassed`, or the guard's.
    """
    name, spec = request.name, request.spec
    for finished in recover_source(database, setting, request.wait):
        if finished.operation == request.operation:
            paths = [folder_of(setting) / each for each in finished.paths]
            with database.transaction() as tx:
                return _mint_again(tx, name, minting), paths
    source = source_for_new(setting, "grant create", write=request.write)
    with database.transaction() as tx:
        _refuse_held_or_live(tx, name)
    new = declare(source, _specs(database, source, name, spec))
    with database.transaction() as tx:
        refuse_held_peer(tx, spec.peer)
    trust = TrustOptions(override=request.override_trust)
    options = ApplyOptions(
        wait=request.wait, minting=minting, trust=trust, operation=request.operation
    )
    result = apply_new_manifests(database, new, options, write=request.write)
    paths = [new.folder / manifest.path for manifest in new.manifests]
    return dict(result.minted)[name], paths if request.write else []


def _mint_again(tx: Tx, name: str, minting: TokenMinting) -> Minted:
    grant = live_grant_id(tx, name)
    return mint(tx, grant, minting.pepper, minting.life, actor_of("user"))


def _specs(
    database: Database, source: Source, name: str, spec: GrantSpec
) -> list[tuple[str, Spec]]:
    """Return the grant, and before it its peer where the source does not declare that."""
    if declared_peer(source, spec.peer) is not None:
        return [(name, spec)]
    with database.transaction() as tx:
        live = live_peer(tx, spec.peer)
    return [(spec.peer, live or PeerSpec(Direction.INBOUND, spec.peer)), (name, spec)]


def _refuse_held_or_live(tx: Tx, name: str) -> None:
    row = find_row(tx, Kind.GRANT, name)
    if row is None:
        return
    if not row.ended:
        raise grant_taken(name, row.status)
    if row.held_revoked and row.hold is not None:
        raise Refused(
            "state_conflict",
            f"grant {name!r} was revoked by {row.hold.by}",
            hint=f"lift that first: `mosaic federation grant resume {name}`",
        )
