"""`grant invite`: a new invitation for a grant that has not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import DURATION, database, say_gateway, settings, verb
from reconciler.cli.shared.output import output_option, print_document, print_invitation
from reconciler.operations.invitations import inviter
from reconciler.store.issuance.tokens import mint
from reconciler.store.locks import actor_name
from reconciler.store.views.grants import live_grant_id, show_grant

if TYPE_CHECKING:
    from datetime import timedelta


@click.command()
@click.argument("name")
@click.option("--token-life", type=DURATION, default="1h", show_default=True, help="Up to 7d.")
@output_option
@verb
def command(name: str, token_life: timedelta, output: str) -> None:
    """Mint a new invitation for the grant NAME, and print it once; the one before is void.

    For an active grant it is how a peer that lost its key enrolls again.
    """
    found = settings()
    inviting = inviter(found, token_life)
    say_gateway(found)
    with database(found, "grant invite") as opened, opened.transaction() as tx:
        pepper = inviting.inviting.pepper
        minted = mint(tx, live_grant_id(tx, name), pepper, token_life, f"user:{actor_name()}")
        row = show_grant(tx, name)
    invitation = inviting.document(minted)
    if output != "table":
        print_document({**row, "invitation": invitation}, output)
        return
    print_invitation(f"invitation of {name}", invitation)
