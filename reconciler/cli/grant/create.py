"""Declare a grant, apply it, and print its invitation once.

Everything is checked before anything is written. Until the manifest is committed and applied, the
grant is `not in git yet`, and no loop removes it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.plan.options import confirmed_override
from reconciler.cli.shared.context import (
    open_database,
    print_gateway,
    read_settings,
    source_of,
    source_option,
    token_life_option,
    verb,
    wait_lock,
)
from reconciler.cli.shared.input import read_standard_input, read_text_file
from reconciler.cli.shared.moments import DURATION
from reconciler.cli.shared.names import completing
from reconciler.cli.shared.output import output_option, print_document, print_invitation
from reconciler.core.model.spec import GrantSpec, Kind
from reconciler.core.model.times import parse_duration, parse_rfc3339
from reconciler.errors import NeedsEdit
from reconciler.manifest.load import load_scope
from reconciler.operations.create_grant import GrantRequest, create_grant
from reconciler.operations.declare import refuse_repository
from reconciler.operations.invitations import invitation_issuer
from reconciler.store.views.grants import show_grant

if TYPE_CHECKING:
    from reconciler.core.model.scope import Scope


@click.command(help=__doc__)
@click.argument("name")
@click.option(
    "--peer",
    required=True,
    shell_complete=completing(Kind.PEER),
    help="The inbound peer, which is declared as well if it is new.",
)
@click.option("--subject-user", required=True, help="The user on whose behalf the peer acts.")
@click.option("--scope", required=True, metavar="FILE|-|JSON", help="The scope of the grant.")
@click.option(
    "--expires", default="90d", show_default=True, help="An RFC 3339 time, or a duration from now."
)
@click.option(
    "--lifetime",
    type=DURATION,
    default="24h",
    show_default=True,
    help="The lifetime of its certificates, from 5m to 7d.",
)
@click.option("--suspended", is_flag=True, help="Declare the grant as suspended.")
@click.option("--no-write", is_flag=True, help="Do not write a manifest; commit one yourself.")
@token_life_option
@confirmed_override
@wait_lock
@output_option
@source_option
@verb
def command(
    name: str,
    peer: str,
    subject_user: str,
    scope: str,
    expires: str,
    lifetime: timedelta,
    suspended: bool,
    no_write: bool,
    token_life: timedelta,
    override_trust: bool,
    wait: timedelta,
    output: str,
) -> None:
    settings = read_settings()
    spec = GrantSpec(
        peer=peer,
        subject_user_id=subject_user,
        expires_at=_expires(expires),
        scope=_scope(scope),
        lifetime=lifetime,
        suspended=suspended,
    )
    issuer = invitation_issuer(settings, token_life)
    setting = source_of(settings, None)
    if not no_write:
        refuse_repository(setting)
    print_gateway(settings)
    request = GrantRequest(name, spec, expires, not no_write, wait, override_trust)
    with open_database(settings, "grant create") as database:
        minted, manifests = create_grant(database, setting, request, issuer.minting)
        with database.transaction() as tx:
            grant = show_grant(tx, name)
    document = {**grant.as_json(), "invitation": issuer.document(minted)}
    if output != "table":
        print_document(document, output)
        return
    for path in manifests:
        click.echo(f"wrote {path}", err=True)
    click.echo(f"grant/{name} is {document['status']}", err=True)
    print_invitation("invitation", document["invitation"])
    if not no_write:
        click.echo(
            "next: commit the manifest; send the invitation to the peer over a secure channel",
            err=True,
        )


def _expires(text: str) -> datetime:
    now = datetime.now(UTC)
    try:
        at = parse_rfc3339(text) if "T" in text.upper() else now + parse_duration(text)
    except (ValueError, OverflowError):
        raise NeedsEdit(
            "value_invalid",
            f"--expires: got {text!r}, expected an RFC 3339 time or a duration",
            hint="write 2027-06-30T00:00:00Z, or 90d",
        ) from None
    if at <= now:
        raise NeedsEdit(
            "value_invalid", f"--expires: {text!r} has passed", hint="choose a later time"
        )
    return at.replace(microsecond=0)


def _scope(text: str) -> Scope:
    """Return the scope of a file, of standard input (`-`) or of JSON itself."""
    if text == "-":
        return load_scope(read_standard_input("--scope"), "stdin")
    if text.lstrip().startswith("{"):
        return load_scope(text, "--scope")
    path = Path(text)
    try:
        return load_scope(read_text_file("--scope", path), text)
    except OSError as error:
        raise NeedsEdit(
            "value_invalid",
            f"--scope: {text!r} cannot be read: {error.strerror}",
            hint='name a file, or write JSON such as {"resources": […], "maxRowsPerQuery": 500}',
        ) from None
