"""Create a new invitation for a grant, and print it once.

The previous invitation becomes void. If the grant is active, its peer can enroll again with the new
one, for example after it has lost its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import (
    open_database,
    print_gateway,
    read_settings,
    token_life_option,
    verb,
)
from reconciler.cli.shared.names import name_argument
from reconciler.cli.shared.output import output_option, print_document, print_invitation
from reconciler.core.model.spec import Kind
from reconciler.operations.invitations import invitation_issuer
from reconciler.store.issuance.tokens import mint
from reconciler.store.locks import actor_of
from reconciler.store.views.grants import live_grant_id, show_grant

if TYPE_CHECKING:
    from datetime import timedelta


@click.command(help=__doc__)
@name_argument(Kind.GRANT)
@token_life_option
@output_option
@verb
def command(name: str, token_life: timedelta, output: str) -> None:
    settings = read_settings()
    issuer = invitation_issuer(settings, token_life)
    print_gateway(settings)
    with open_database(settings, "grant invite") as database, database.transaction() as tx:
        pepper = issuer.minting.pepper
        minted = mint(tx, live_grant_id(tx, name), pepper, token_life, actor_of("user"))
        grant = show_grant(tx, name)
    invitation = issuer.document(minted)
    if output != "table":
        print_document({**grant.as_json(), "invitation": invitation}, output)
        return
    print_invitation(f"invitation of {name}", invitation)
