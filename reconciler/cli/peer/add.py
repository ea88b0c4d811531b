"""Enroll with another gateway by its invitation.

INVITATION can be `-`, which reads it from standard input. Nothing is written before the invitation
is verified. The key is created here, sealed, and stored before the token is spent. To finish after
an interruption, run the same command again. A new invitation replaces the token and keeps the key.
"""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from reconciler.cli.shared.context import (
    database,
    say_gateway,
    settings,
    source_of,
    source_option,
    verb,
    wait_lock,
)
from reconciler.cli.shared.formatting import away
from reconciler.cli.shared.output import output_option, print_document, show_facts
from reconciler.cli.shared.streams import read_standard_input
from reconciler.clients.gateway.client import Connector
from reconciler.clients.gateway.invitation_check import CheckReport, check_invitation, present_used
from reconciler.config import Settings, require
from reconciler.core.issuance.invitation import Invitation, parse_invitation
from reconciler.core.model.spec import Direction, Kind, PeerSpec
from reconciler.core.model.text import printable
from reconciler.core.model.times import rfc3339
from reconciler.core.plan.selection import Selection
from reconciler.core.source import Source
from reconciler.crypto.keyring import FileKeyring
from reconciler.errors import NeedsEdit, Refused
from reconciler.join import Joiner, join
from reconciler.manifest.load import load
from reconciler.operations.declare import (
    apply_drafts,
    declare,
    declared_peer,
    existing,
    live_peer,
    refuse_held_peer,
)
from reconciler.reconcile import Options, apply
from reconciler.store.apply.provenance import Provenance
from reconciler.store.db import AsyncDatabase
from reconciler.store.locks import actor_name, application_name
from reconciler.store.views.peers import show_peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    from reconciler.store.db import Database

MAX_LABEL = 63  # RFC 1123 2.1


@click.command(help=__doc__)
@click.argument("invitation")
@click.option("--name", help="What to call the peer; by default after the invitation's host.")
@click.option("--check", "only_check", is_flag=True, help="Test it; spend and write nothing.")
@click.option("--no-write", is_flag=True, help="Write no manifest: commit one yourself.")
@wait_lock
@output_option
@source_option
@verb
def command(
    invitation: str,
    name: str | None,
    only_check: bool,
    no_write: bool,
    wait: timedelta,
    output: str,
) -> None:
    found = settings()
    parsed = parse_invitation(_read_invitation() if invitation == "-" else invitation)
    keys = FileKeyring.load(require(found.keyring, "keyring"))
    if not only_check:
        say_gateway(found)
    with database(found, "peer add") as opened:
        adding = _Adding(found, opened, keys, parsed, name or _name_of(parsed), wait)
        if only_check:
            _show_check(asyncio.run(adding.check()), output)
            return
        adding.declare(write=not no_write)
        asyncio.run(adding.join())
        with opened.transaction() as tx:
            row = show_peer(tx, adding.name).as_json()
    if output != "table":
        print_document(row, output)
        return
    grant, certificate = row["grant"], row["certificate"]
    click.echo(f"peer/{row['name']} is {row['status']}")
    click.echo(f"  under its grant {grant['name']}, on behalf of {grant['subjectUserId']}")
    click.echo(f"  certificate {certificate['serial']}, ends {away(certificate['notAfter'])}")


@dataclass(frozen=True, slots=True)
class _Adding:
    """An invitation, the name that its gateway gets here, and what using it needs."""

    found: Settings
    opened: Database
    keys: FileKeyring = field(repr=False)
    invitation: Invitation = field(repr=False)
    name: str
    wait: timedelta

    def declare(self, *, write: bool) -> None:
        """Make sure that the outbound peer's row is there, and its manifest where one is wanted.

        A peer that is new is declared only once its invitation has proved itself.

        Raises:
            Refused: `name_taken`, `state_conflict`. InvalidManifests: those of the source.
        """
        setting = source_of(self.found, None)
        source = existing(setting) if write or not setting.is_git else Source("peer add", ())
        declared = declared_peer(source, self.name)
        with self.opened.transaction() as tx:
            live = live_peer(tx, self.name)
            if live is None:
                refuse_held_peer(tx, self.name)
        for spec in (live, declared.spec if declared is not None else None):
            if spec is not None and spec.direction is Direction.INBOUND:
                raise Refused(
                    "name_taken",
                    f"peer {self.name!r} is an inbound one",
                    hint="choose another: --name NAME",
                )
        options = Options(wait=self.wait)
        if declared is None and (live is None or write):
            fresh = PeerSpec(Direction.OUTBOUND, self.name)
            spec = replace(live or fresh, endpoint=self.invitation.base_url)
            declaring = declare(source, [(self.name, spec)])
            if live is None:
                self._prove()
            apply_drafts(self.opened, declaring, options, write=write)
            if write:
                click.echo(f"wrote {declaring.drafts[0].path}", err=True)
        elif live is None:
            self._prove()
            by = Provenance(f"user:{actor_name()}", source.label, managed=False)
            alone = Selection(only=frozenset({(Kind.PEER, self.name)}))
            apply(self.opened, load(source), by, replace(options, selection=alone))

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

    def _prove(self) -> None:
        """Raise where the invitation of a new peer is of no use, so that nothing is left behind."""
        try:
            report = asyncio.run(self.check())
            _require_clock(report)
            if report.token.status != "claimed":
                return
        except Refused as error:
            if error.code != "token_spent":
                raise
        with self.opened.transaction() as tx:
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
        opened = AsyncDatabase(
            self.opened.source, application_name(command), pool_size=2, lasting=False
        )
        try:
            yield Joiner(
                database=opened,
                keys=self.keys,
                connector=Connector(
                    self.found.allow_addresses, self.found.oid_arc, self.found.peer_proxy
                ),
                actor=f"user:{actor_name()}",
                report=_say,
            )
        finally:
            await opened.close()


def _read_invitation() -> str:
    if sys.stdin.isatty():
        _say("paste the invitation, then Enter and Ctrl-D")
    return read_standard_input("INVITATION")


def _say(line: str) -> None:
    click.echo(printable(line, 500), err=True)


def _show_check(report: CheckReport, output: str) -> None:
    facts: dict[str, Any] = {
        "gateway": report.base_url,
        "addresses": list(report.addresses),
        "proxy": report.proxy,
        "pin": report.pin,
        "tokenStatus": report.token.status,
        "tokenExpiresAt": rfc3339(report.token.expires_at),
        "clockSkewSeconds": None if report.skew is None else round(report.skew.total_seconds(), 1),
        "clockOk": report.clock_ok,
    }
    show_facts(facts, output)
    _require_clock(report)


def _require_clock(report: CheckReport) -> None:
    if not report.clock_ok:
        raise Refused(
            "state_conflict",
            "the two clocks differ by more than 60 seconds: the other gateway would refuse"
            " our proofs",
            hint="set the clock here, or tell the other gateway's operator",
        )


def _name_of(invitation: Invitation) -> str:
    """Return a peer's name made from the host of an invitation, as a DNS label."""
    host = urlsplit(invitation.base_url).hostname or ""
    label = re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")[:MAX_LABEL].rstrip("-")
    if not label:
        raise NeedsEdit(
            "value_invalid", f"no name can be made from the host {host!r}", hint="give --name NAME"
        )
    return label
