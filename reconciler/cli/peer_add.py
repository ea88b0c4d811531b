"""`peer add`: use an invitation, so that we can call another gateway under its grant."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from reconciler.cli.context import (
    database,
    say_gateway,
    settings,
    source_of,
    source_option,
    verb,
    wait_lock,
)
from reconciler.cli.declaring import apply_drafts, declare, declared_peer, existing, live_peer
from reconciler.cli.output import output_option, print_document, show_facts
from reconciler.cli.people import away
from reconciler.config import Settings, require
from reconciler.core.files import Source
from reconciler.core.invitation import Invitation, parse_invitation
from reconciler.core.spec import Direction, Kind, PeerSpec
from reconciler.core.times import rfc3339
from reconciler.crypto.keyring import FileKeyring
from reconciler.errors import NeedsEdit, Refused
from reconciler.join import CheckReport, Joiner, check, join
from reconciler.reconcile import Options, apply
from reconciler.store.apply import Provenance
from reconciler.store.locks import actor_name, application_name
from reconciler.store.peers import show_peer
from reconciler.store.tx import AsyncDatabase

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.store.tx import Database

MAX_LABEL = 63  # RFC 1123 2.1


@click.command()
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
    """Enroll with another gateway by INVITATION, or `-` to read it from standard input.

    The key is made here, sealed and stored before the token is spent. The same command again
    finishes what was interrupted; a new invitation replaces the token and keeps the key.
    """
    found = settings()
    parsed = parse_invitation(sys.stdin.read() if invitation == "-" else invitation)
    keys = FileKeyring.load(require(found.keyring, "keyring"))
    chosen = name or _name_of(parsed)
    if not only_check:
        say_gateway(found)
    with database(found, "peer add") as opened:
        if only_check:
            _show_check(asyncio.run(_check(found, opened.url, keys, parsed)), output)
            return
        _declare(found, opened, chosen, parsed, wait, no_write=no_write)
        asyncio.run(_join(found, opened.url, keys, chosen, parsed))
        with opened.transaction() as tx:
            row = show_peer(tx, chosen)
    if output != "table":
        print_document(row, output)
        return
    grant, certificate = row["grant"], row["certificate"]
    click.echo(f"peer/{row['name']} is {row['status']}")
    click.echo(f"  under its grant {grant['name']}, on behalf of {grant['subjectUserId']}")
    click.echo(f"  certificate {certificate['serial']}, ends {away(certificate['notAfter'])}")


def _declare(
    found: Settings,
    opened: Database,
    name: str,
    invitation: Invitation,
    wait: timedelta,
    *,
    no_write: bool,
) -> None:
    """Make sure that the outbound peer's row is there, and its manifest where one is wanted."""
    setting = source_of(found, None)
    source = Source("peer add", ()) if no_write and setting.is_git else existing(setting)
    with opened.transaction() as tx:
        live = live_peer(tx, name)
    declared = declared_peer(source, name)
    specs = [live, declared.spec if declared is not None else None]
    if any(each.direction is Direction.INBOUND for each in specs if each is not None):
        raise Refused(
            "name_taken", f"peer {name!r} is an inbound one", hint="choose another: --name NAME"
        )
    if live is not None and (declared is not None or no_write):
        return
    if declared is not None:
        from reconciler.manifest.load import load

        by = Provenance(f"user:{actor_name()}", source.label, managed=False)
        only = frozenset({(Kind.PEER, name)})
        apply(opened, load(source), by, Options(wait=wait, only=only))
        return
    fresh = PeerSpec(Direction.OUTBOUND, name)
    spec = replace(live or fresh, endpoint=invitation.base_url)
    declaring = declare(source, [(name, spec)])
    apply_drafts(opened, declaring, Options(wait=wait), write=not no_write)
    if not no_write:
        click.echo(f"wrote {declaring.drafts[0].path}", err=True)


async def _join(
    found: Settings, url: str, keys: FileKeyring, name: str, invitation: Invitation
) -> None:
    opened = AsyncDatabase(url, application_name("peer add"), pool_size=2)
    try:
        await join(_joiner(found, opened, keys), name, invitation)
    finally:
        await opened.close()


async def _check(
    found: Settings, url: str, keys: FileKeyring, invitation: Invitation
) -> CheckReport:
    opened = AsyncDatabase(url, application_name("peer add --check"), pool_size=1)
    try:
        return await check(_joiner(found, opened, keys), invitation)
    finally:
        await opened.close()


def _joiner(found: Settings, opened: AsyncDatabase, keys: FileKeyring) -> Joiner:
    return Joiner(
        database=opened,
        keys=keys,
        allow_addresses=found.allow_addresses,
        actor=f"user:{actor_name()}",
        oid_arc=found.oid_arc,
    )


def _show_check(report: CheckReport, output: str) -> None:
    facts: dict[str, Any] = {
        "gateway": report.base_url,
        "addresses": list(report.addresses),
        "pin": report.pin,
        "tokenStatus": report.token.status,
        "tokenExpiresAt": rfc3339(report.token.expires_at),
        "clockSkewSeconds": None if report.skew is None else round(report.skew.total_seconds(), 1),
        "clockOk": report.clock_ok,
    }
    show_facts(facts, output)
    if not report.clock_ok:
        raise Refused(
            "state_conflict",
            "the two clocks differ by more than 60 s: the other gateway would refuse our proofs",
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
