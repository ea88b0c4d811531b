"""Declare a grant, apply it, and print its invitation once.

Everything is checked before anything is written. Until the manifest is committed and applied, the
grant is `not in git yet`, and no loop removes it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import (
    DURATION,
    database,
    say_gateway,
    settings,
    source_of,
    source_option,
    verb,
    wait_lock,
)
from reconciler.cli.shared.output import output_option, print_document, print_invitation
from reconciler.cli.shared.streams import read_standard_input, read_text_file
from reconciler.core.model.spec import Direction, GrantSpec, PeerSpec, Spec
from reconciler.core.model.states import HoldKind
from reconciler.core.model.times import parse_duration, parse_rfc3339
from reconciler.core.plan.model import Action
from reconciler.core.source import Source
from reconciler.errors import NeedsEdit, Refused
from reconciler.manifest.load import load_scope
from reconciler.operations.declare import (
    apply_drafts,
    declare,
    declared_peer,
    existing,
    live_peer,
    refuse_held_peer,
)
from reconciler.operations.invitations import inviter
from reconciler.reconcile import Judged, Options
from reconciler.store.views.grants import list_grants, show_grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.model.scope import Scope
    from reconciler.store.db import Database


@click.command(help=__doc__)
@click.argument("name")
@click.option("--peer", required=True, help="The inbound peer; declared too, where it is new.")
@click.option("--subject-user", required=True, help="The user on whose behalf it acts.")
@click.option("--scope", required=True, metavar="FILE|-|JSON", help="What it may see.")
@click.option(
    "--expires", default="90d", show_default=True, help="An RFC 3339 time, or a duration from now."
)
@click.option(
    "--lifetime",
    type=DURATION,
    default="24h",
    show_default=True,
    help="Of its certificates, 5m to 7d.",
)
@click.option("--suspended", is_flag=True, help="Declare it suspended.")
@click.option("--no-write", is_flag=True, help="Write no manifest: commit one yourself.")
@click.option("--token-life", type=DURATION, default="1h", show_default=True, help="Up to 7d.")
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
    wait: timedelta,
    output: str,
) -> None:
    found = settings()
    spec = GrantSpec(
        peer=peer,
        subject_user_id=subject_user,
        expires_at=_expires(expires),
        scope=_scope(scope),
        lifetime=lifetime,
        suspended=suspended,
    )
    inviting = inviter(found, token_life)
    setting = source_of(found, None)
    source = Source("grant create", ()) if no_write and setting.is_git else existing(setting)
    say_gateway(found)
    with database(found, "grant create") as opened:
        declaring = declare(source, _specs(opened, source, name, spec))
        _refuse_held_or_live(opened, name, peer)
        options = Options(wait=wait, inviting=inviting.inviting, also=_unless_created(name))
        done = apply_drafts(opened, declaring, options, write=not no_write)
        with opened.transaction() as tx:
            grant = show_grant(tx, name)
    document = {**grant.as_json(), "invitation": inviting.document(dict(done.invited)[name])}
    if output != "table":
        print_document(document, output)
        return
    if not no_write:
        for draft in declaring.drafts:
            click.echo(f"wrote {draft.path}", err=True)
    click.echo(f"grant/{name} is {document['status']}", err=True)
    print_invitation("invitation", document["invitation"])
    if not no_write:
        click.echo(
            "next: commit the manifest; hand the invitation to the peer, in secret", err=True
        )


def _specs(opened: Database, source: Source, name: str, spec: GrantSpec) -> list[tuple[str, Spec]]:
    """Return the grant, and before it its peer where the source does not declare that."""
    if declared_peer(source, spec.peer) is not None:
        return [(name, spec)]
    with opened.transaction() as tx:
        live = live_peer(tx, spec.peer)
    return [(spec.peer, live or PeerSpec(Direction.INBOUND, spec.peer)), (name, spec)]


def _refuse_held_or_live(opened: Database, name: str, peer: str) -> None:
    with opened.transaction() as tx:
        grants = [grant for grant in list_grants(tx) if grant.name == name]
        if live_peer(tx, peer) is None:
            refuse_held_peer(tx, peer)
    for grant in grants:
        if not grant.status.ended:
            raise _taken(name, grant.status)
        if grant.hold is not None and grant.hold.kind is HoldKind.REVOKE:
            raise Refused(
                "state_conflict",
                f"grant {name!r} was revoked by {grant.hold.by}",
                hint=f"lift that first: `mosaic federation grant resume {name}`",
            )


def _taken(name: str, status: str) -> Refused:
    return Refused(
        "name_taken",
        f"grant {name!r} is {status} already",
        hint=f"a new invitation for it: `mosaic federation grant invite {name}`",
    )


def _unless_created(name: str) -> Callable[[Judged], None]:
    """Return what refuses an apply in which the grant came to be meanwhile, by somebody else."""

    def refuse(done: Judged) -> None:
        created = {change.name for change in done.plan.grant_changes(Action.CREATE)}
        if name not in created:
            raise _taken(name, "there")

    return refuse


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
