"""Outbound peers: one is added and enrolls with its gateway, or asks what became of its grant."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reconciler.clients.gateway.client import GatewayConnector
from reconciler.clients.gateway.invitation_check import CheckReport, check_invitation, present_used
from reconciler.config import require
from reconciler.core.model.spec import Direction, Kind, PeerSpec
from reconciler.core.plan.selection import Selection
from reconciler.crypto.keyring import KeyringFolder
from reconciler.errors import NeedsEdit, Refused
from reconciler.join import Joiner, join
from reconciler.manifest.load import load
from reconciler.operations.declare import (
    apply_new_manifests,
    declare,
    declared_peer,
    refuse_held_peer,
    source_for_new,
)
from reconciler.reconcile import ApplyOptions, apply
from reconciler.renew import Renewer, refresh_grant
from reconciler.store.apply.provenance import Provenance
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.locks import actor_of, application_name
from reconciler.store.lookup import live_peer
from reconciler.store.outbound.peers import certified
from reconciler.store.rollback_journal import recover_source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from reconciler.config import Settings
    from reconciler.core.issuance.invitation import Invitation
    from reconciler.core.setting_values import SourceSetting
    from reconciler.crypto.seal import KeyWrapper
    from reconciler.store.connection.conninfo import ConninfoSource
    from reconciler.store.db import Database

MAX_LABEL: Final = 63  # RFC 1123 2.1


@dataclass(frozen=True, slots=True)
class PeerAddition:
    """An invitation, the name that its gateway gets here, and what using it needs."""

    settings: Settings
    database: Database
    client_keys: ConninfoSource  # a database of a login that may write and read them
    keys: KeyWrapper = field(repr=False)
    invitation: Invitation = field(repr=False)
    name: str
    report: Callable[[str], None]

    def declare(self, setting: SourceSetting, options: ApplyOptions, *, write: bool) -> None:
        """Make sure that the outbound peer's row is there, and its manifest if it is written.

        A peer that is new is declared only once its invitation has proved itself.

        Raises:
            Refused: `name_taken`, `state_conflict`, `trust_bypassed`.
            InvalidManifests: those of the source.
        """
        self._refuse_own()
        recover_source(self.database, setting, options.wait)
        source = source_for_new(setting, "peer add", write=write)
        declared = declared_peer(source, self.name)
        with self.database.transaction() as tx:
            live = live_peer(tx, self.name)
            refuse_held_peer(tx, self.name)
        for spec in (live, declared.spec if declared is not None else None):
            if spec is not None and spec.direction is Direction.INBOUND:
                raise Refused(
                    "name_taken",
                    f"peer {self.name!r} is an inbound one",
                    hint="choose another: --name NAME",
                )
        if declared is None and (live is None or write):
            spec = live or PeerSpec(Direction.OUTBOUND, self.name)
            spec = replace(spec, endpoint=self.invitation.base_url)
            new = declare(source, [(self.name, spec)])
            if live is None:
                self._require_useful_invitation()
            apply_new_manifests(self.database, new, options, write=write)
            if write:
                self.report(f"wrote {new.folder / new.manifests[0].path}")
        elif live is None:
            self._require_useful_invitation()
            provenance = Provenance(actor_of("user"), source.label, managed=False)
            selection = Selection(only=frozenset({(Kind.PEER, self.name)}))
            options = replace(options, selection=selection)
            apply(self.database, load(source), provenance, options)

    async def join(self) -> None:
        """Enroll, or finish an enrollment that was begun."""
        async with self._joiner("peer add") as joiner:
            await join(joiner, self.name, self.invitation)

    async def check(self) -> CheckReport:
        """Test the invitation; nothing is spent or written."""
        invitation = self.invitation
        async with (
            self._joiner("peer add --check") as joiner,
            joiner.connector.connect(invitation.base_url, invitation.pin) as client,
        ):
            return await check_invitation(client, invitation, joiner.connector.clock())

    def _refuse_own(self) -> None:
        """Raise if the invitation is one of this gateway's: its peer could not use it any more."""
        if self.invitation.base_url == self.settings.public_url:
            raise Refused(
                "state_conflict",
                "this gateway has made the invitation itself, for one of its own peers",
                hint="send it to that peer, whose gateway uses it; nothing was changed",
            )

    def _require_useful_invitation(self) -> None:
        """Raise if the invitation of a new peer is of no use, so that nothing is left behind."""
        try:
            report = asyncio.run(self.check())
            require_clock(report)
            if report.token.status != "claimed":
                return
        except Refused as error:
            if error.code != "token_spent":
                raise
        with self.database.transaction() as tx:
            if live_peer(tx, self.name) is not None:
                return  # the same command, run at the same time, is using it
        asyncio.run(self._present_used())

    async def _present_used(self) -> None:
        invitation = self.invitation
        async with (
            self._joiner("peer add") as joiner,
            joiner.connector.connect(invitation.base_url, invitation.pin) as client,
        ):
            await present_used(client, invitation)

    @asynccontextmanager
    async def _joiner(self, command: str) -> AsyncIterator[Joiner]:
        async with _opened_rows(self.client_keys, command) as database:
            yield Joiner(
                database=database,
                keys=self.keys,
                connector=_connector(self.settings),
                actor=actor_of("user"),
                report=self.report,
            )


def refresh_peer(settings: Settings, database: Database, name: str) -> None:
    """Ask the gateway of an outbound peer what became of its grant, and store what it says.

    Raises:
        MosaicError: `name_unknown`, `state_conflict`; what `refresh_grant` raises.
    """
    keys = KeyringFolder(require(settings.keyring, "keyring"))

    async def ask() -> None:
        async with _opened_rows(database.source, "peer show") as rows:
            peer = await rows.run(certified, name)
            renewer = Renewer(rows, keys, _connector(settings), actor_of("user"))
            await refresh_grant(renewer, peer)

    asyncio.run(ask())


def _connector(settings: Settings) -> GatewayConnector:
    return GatewayConnector(settings.allow_addresses, settings.oid_arc, settings.peer_proxy)


@asynccontextmanager
async def _opened_rows(source: ConninfoSource, command: str) -> AsyncIterator[AsyncDatabase]:
    database = AsyncDatabase(source, application_name(command), pool_size=2, lasting=False)
    try:
        yield database
    finally:
        await database.close()


def require_clock(report: CheckReport) -> None:
    """Raise `Refused` (`state_conflict`) if the two clocks are too far apart for proofs."""
    if not report.clock_ok:
        raise Refused(
            "state_conflict",
            "the two clocks differ by more than 60 seconds: the other gateway would refuse"
            " our proofs",
            hint="set the clock here, or tell the other gateway's operator",
        )


def name_from(invitation: Invitation) -> str:
    """Return a peer's name made from the host of an invitation, as a DNS label.

    Raises:
        NeedsEdit: `value_invalid`.
    """
    host = urlsplit(invitation.base_url).hostname or ""
    label = re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")[:MAX_LABEL].rstrip("-")
    if not label:
        raise NeedsEdit(
            "value_invalid", f"no name can be made from the host {host!r}", hint="give --name NAME"
        )
    return label
