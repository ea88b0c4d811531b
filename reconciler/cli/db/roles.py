"""Create the roles of the database and grant their exact rights.

The roles are mosaic_authority, mosaic_reader, mosaic_operator, mosaic_gateway, and mosaic_cli for
people, which has the rights of the last two. If a superuser owns the tables, mosaic_owner becomes
their owner. Any other right of the roles and of PUBLIC in this database is revoked. It is safe to
run the command again; `db upgrade` repeats it for new tables.

With --login, a role can log in, and its URL is written to a file. The command needs a login that
may create roles; with --print, an administrator can run the SQL instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from reconciler.cli.shared.context import open_database, print_gateway, read_settings, verb
from reconciler.core.privileges import LOGINS
from reconciler.operations.logins import make_login
from reconciler.store.roles.catalog import other_databases, role_differences
from reconciler.store.roles.making import make_roles, role_statements

SHARED: Final = "with a login of these roles, these databases of the server can be used too"
login_option = click.option(
    "--login",
    "folders",
    metavar="DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder named after a role, for the URL by which it logs in; may be given again.",
)


@click.command(help=__doc__)
@click.option("--print", "only_print", is_flag=True, help="Print the SQL; change nothing.")
@login_option
@verb
def command(only_print: bool, folders: tuple[Path, ...]) -> None:
    settings = read_settings()
    if not only_print:
        print_gateway(settings)
    with open_database(settings, "db roles", None) as database, database.transaction() as tx:
        if only_print:
            for statement in ("BEGIN", *role_statements(tx), "COMMIT"):
                click.echo(f"{statement};")
            return
        make_roles(tx)
        for folder in folders:
            make_login(tx, database.source, folder)
        left = role_differences(tx)
        if others := other_databases(tx):
            left += (f"{SHARED}: {', '.join(others)}",)
    click.echo(f"the roles are {', '.join(LOGINS)}")
    for each in left:
        click.echo(f"  {each}", err=True)
