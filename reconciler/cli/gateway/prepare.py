"""Create the keys, CA files and schema of a gateway with no home.

Creates the sealing keys, the token pepper and the CA's files in the places that the settings of
`serve` name, then runs the migrations, and makes the roles of the database if a --login is given.
It is safe to run the command again: it completes what was
interrupted and changes nothing that exists.

The migrations run last. If the database has them and the keys are missing, the keys are lost, and
the command creates no new ones.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from reconciler.cli.ca import init as ca_init
from reconciler.cli.db import roles as db_roles
from reconciler.cli.db import upgrade as db_upgrade
from reconciler.cli.shared.context import read_settings, running_database, verb
from reconciler.config import Settings, require
from reconciler.core.issuance.tokens import PEPPER_BYTES
from reconciler.crypto.keyring import FileKeyring
from reconciler.embedded.stepca.authority_files import CONFIG
from reconciler.errors import NeedsEdit
from reconciler.files import private_folder, write_new
from reconciler.operations.secrets import read_pepper
from reconciler.store.db import Database
from reconciler.store.locks import application_name
from reconciler.store.schema import revisions


@click.command(help=__doc__)
@click.option("--ca-dir", metavar="DIR", required=True, help="The folder for step-ca's files.")
@click.option(
    "--root-key", metavar="FILE", help="The folder for the root's key, which holds nothing else."
)
@click.option(
    "--seen-as",
    metavar="DIR",
    help="The path of DIR as step-ca sees it, for example in a container.",
)
@click.option("--address", metavar="HOST:PORT", help="The address that step-ca listens on.")
@click.option("--dns", metavar="NAME", multiple=True, help="A name of step-ca's own certificate.")
@db_roles.login_option
@verb
def command(
    ca_dir: str,
    root_key: str | None,
    seen_as: str | None,
    address: str | None,
    dns: tuple[str, ...],
    folders: tuple[Path, ...],
) -> None:
    settings = read_settings()
    places = _places(settings, Path(ca_dir))
    _refuse_lost(settings, places)
    FileKeyring.create(places["sealing keys"].parent)
    pepper = places["token pepper"]
    private_folder(pepper.parent)
    write_new(pepper, secrets.token_hex(PEPPER_BYTES).encode(), 0o400)
    read_pepper(pepper)
    click.get_current_context().invoke(
        ca_init.command,
        folder=ca_dir,
        root_key=root_key,
        provisioners=str(places["provisioners' keys"].parent),
        seen_as=seen_as,
        address=address,
        dns=dns,
    )
    write_new(places["CA's root"], (Path(ca_dir) / "root_ca.crt").read_bytes(), 0o444)
    click.get_current_context().invoke(db_upgrade.command)
    if folders:
        click.get_current_context().invoke(db_roles.command, folders=folders)


def _places(settings: Settings, ca_dir: Path) -> dict[str, Path]:
    """Return a file of each thing that is made, and check what only `serve` would miss.

    Raises:
        NeedsEdit: `config_invalid`, naming the setting that is missing.
    """
    require(settings.public_url, "public_url")
    require(settings.ca_url, "ca_url")
    require(settings.database_url, "database_url")
    return {
        "sealing keys": require(settings.keyring, "keyring") / "primary",
        "token pepper": require(settings.token_pepper, "token_pepper_file"),
        "provisioners' keys": require(settings.ca_provisioners, "ca_provisioners") / "peers.json",
        "CA's root": require(settings.ca_root, "ca_root"),
        "CA": ca_dir / CONFIG,
    }


def _refuse_lost(settings: Settings, places: dict[str, Path]) -> None:
    missing = [f"the {what} ({path})" for what, path in places.items() if not path.exists()]
    if not missing:
        return
    with (
        running_database(settings) as source,
        Database(source, application_name("prepare")).transaction() as tx,
    ):
        used = revisions(tx).current is not None
    if used:
        raise NeedsEdit(
            "config_invalid",
            f"the database is in use, but {', '.join(missing)} cannot be found",
            hint="restore it from its backup: a new one cannot replace it",
        )
