"""Enroll with another gateway by its invitation.

INVITATION can be `-`, which reads it from standard input. Nothing is written before the invitation
is verified. The key is created here, sealed, and stored before the token is spent. To finish after
an interruption, run the same command again. A new invitation replaces the token and keeps the key.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.plan.options import confirmed_override
from reconciler.cli.shared.context import (
    open_database,
    print_gateway,
    read_settings,
    running_database,
    source_of,
    source_option,
    verb,
    wait_lock,
)
from reconciler.cli.shared.formatting import away
from reconciler.cli.shared.input import read_standard_input
from reconciler.cli.shared.output import output_option, print_document, show_facts
from reconciler.config import require
from reconciler.core.issuance.invitation import parse_invitation
from reconciler.core.model.text import printable
from reconciler.core.model.times import rfc3339
from reconciler.core.privileges import Role
from reconciler.crypto.keyring import KeyringFolder
from reconciler.operations.outbound_peer import PeerAddition, name_from, require_clock
from reconciler.reconcile import ApplyOptions
from reconciler.store.apply.trust import TrustOptions
from reconciler.store.views.peers import show_peer

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.clients.gateway.invitation_check import CheckReport


@click.command(help=__doc__)
@click.argument("invitation")
@click.option("--name", help="The name of the peer; by default, the host of the invitation.")
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Test the invitation; do not use it, and write nothing.",
)
@click.option("--no-write", is_flag=True, help="Do not write a manifest; commit one yourself.")
@confirmed_override
@wait_lock
@output_option
@source_option
@verb
def command(
    invitation: str,
    name: str | None,
    only_check: bool,
    no_write: bool,
    override_trust: bool,
    wait: timedelta,
    output: str,
) -> None:
    settings = read_settings()
    parsed = parse_invitation(_read_invitation() if invitation == "-" else invitation)
    keys = KeyringFolder(require(settings.keyring, "keyring"))
    if not only_check:
        print_gateway(settings)
    with (
        open_database(settings, "peer add") as database,
        running_database(settings, Role.GATEWAY) as client_keys,
    ):
        addition = PeerAddition(
            settings, database, client_keys, keys, parsed, name or name_from(parsed), _say
        )
        if only_check:
            _show_check(asyncio.run(addition.check()), output)
            return
        options = ApplyOptions(wait=wait, trust=TrustOptions(override=override_trust))
        addition.declare(source_of(settings, None), options, write=not no_write)
        asyncio.run(addition.join())
        with database.transaction() as tx:
            row = show_peer(tx, addition.name).as_json()
    if output != "table":
        print_document(row, output)
        return
    grant, certificate = row["grant"], row["certificate"]
    click.echo(f"peer/{row['name']} is {row['status']}")
    click.echo(f"  under its grant {grant['name']}, on behalf of {grant['subjectUserId']}")
    click.echo(f"  certificate {certificate['serial']}, expires {away(certificate['notAfter'])}")


def _read_invitation() -> str:
    if sys.stdin.isatty():
        _say("paste the invitation, then press Enter and Ctrl-D")
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
    require_clock(report)
