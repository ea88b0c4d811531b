"""Create the keys, CA files and schema of a gateway with no home.

Creates the sealing keys, the key of saved plans, the token pepper and the CA's files in the places
that the settings of `serve` name, then runs the migrations, and makes the roles of the database if
a --login is given. It is safe to run the command again: it completes what was interrupted and
changes nothing that exists.

The migrations run last. If the database has them and the keys are missing, the keys are lost, and
the command creates no new ones.

With `--output k8s-secrets`, it prints what it made as Kubernetes Secrets, without the root's key.
Nothing is written to the database: the migration Job of deploy/kubernetes does that. Keep the
folders: the same command prints the same Secrets from them.
"""

from __future__ import annotations

import secrets
import sys
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import click

from reconciler.cli.ca import init as ca_init
from reconciler.cli.db import roles as db_roles
from reconciler.cli.db import upgrade as db_upgrade
from reconciler.cli.shared.context import read_settings, running_database, verb
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.config import Settings, database_source, require
from reconciler.core.issuance.tokens import PEPPER_BYTES
from reconciler.core.privileges import COMMAND_LINE, Role
from reconciler.credentials.gateway_secrets import PreparedFiles
from reconciler.crypto.keyring import FileKeyring
from reconciler.crypto.plan_seal import make_key
from reconciler.embedded.stepca.ca_files import CONFIG
from reconciler.errors import MosaicError, NeedsEdit
from reconciler.files import make_folder, private_folder, write_new
from reconciler.operations.gateway_files import read_pepper
from reconciler.operations.logins import write_login
from reconciler.store.db import Database
from reconciler.store.locks import application_name
from reconciler.store.schema import revisions

KUBERNETES: Final = "k8s-secrets"
# of the pods in deploy/kubernetes
PODS_LOGINS: Final = (Role.GATEWAY, Role.OPERATOR, COMMAND_LINE)
PRIVATE_TOKEN_BYTES: Final = 32
PODS_CA_FOLDER, PODS_CA_ADDRESS = "/home/step", ":9000"


@click.command(help=__doc__)
@click.option("--ca-dir", metavar="DIR", required=True, help="The folder for step-ca's files.")
@ca_init.ca_options
@db_roles.login_option
@output_choice("text", KUBERNETES, about="What is printed; k8s-secrets prints every key.")
@verb
def command(
    ca_dir: str,
    ca: ca_init.CaOptions,
    folders: tuple[Path, ...],
    output: str,
) -> None:
    settings = read_settings()
    places = _places(settings, Path(ca_dir))
    as_secrets = output == KUBERNETES
    if as_secrets:
        ca = replace(
            ca, seen_as=ca.seen_as or PODS_CA_FOLDER, address=ca.address or PODS_CA_ADDRESS
        )
        folders = folders or tuple(Path(ca_dir).parent / "logins" / each for each in PODS_LOGINS)
    _refuse_lost(settings, places, may_be_away=as_secrets)
    with redirect_stdout(sys.stderr if as_secrets else sys.stdout):
        _make_keys(settings, places)
        click.get_current_context().invoke(
            ca_init.command,
            folder=ca_dir,
            provisioners=str(places["provisioners' keys"].parent),
            **asdict(ca),
        )
        make_folder(places["CA's root"].parent)
        write_new(places["CA's root"], (Path(ca_dir) / "root_ca.crt").read_bytes(), 0o444)
    if as_secrets:
        _print_secrets(settings, places, Path(ca_dir), folders)
        return
    click.get_current_context().invoke(db_upgrade.command)
    if folders:
        click.get_current_context().invoke(db_roles.command, folders=folders)


def _make_keys(settings: Settings, places: dict[str, Path]) -> None:
    FileKeyring.create(places["sealing keys"].parent)
    make_key(_plan_key(settings))
    pepper = places["token pepper"]
    private_folder(pepper.parent)
    write_new(pepper, secrets.token_hex(PEPPER_BYTES).encode(), 0o400)
    read_pepper(pepper)


def _print_secrets(
    settings: Settings, places: dict[str, Path], ca_dir: Path, logins: tuple[Path, ...]
) -> None:
    source = database_source(settings)
    assert source is not None  # `_places` requires it
    owner_url = source if isinstance(source, str) else source()
    for folder in logins:
        write_login(owner_url, folder)
    private_token = settings.private_token or ca_dir.parent / "private-token"
    write_new(private_token, secrets.token_hex(PRIVATE_TOKEN_BYTES).encode(), 0o400)
    files = PreparedFiles(
        ca=ca_dir,
        keyring=places["sealing keys"].parent,
        plan_key=_plan_key(settings),
        token_pepper=places["token pepper"],
        private_token=private_token,
        provisioners=places["provisioners' keys"].parent,
        logins=logins,
        owner_url=owner_url,
    )
    for document in files.secrets():
        click.echo("---")
        print_document(document, "yaml")


def _plan_key(settings: Settings) -> Path:
    return require(settings.plan_key_file, "plan_key_file")


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


def _refuse_lost(settings: Settings, places: dict[str, Path], *, may_be_away: bool) -> None:
    missing = {what: path for what, path in places.items() if not path.exists()}
    if not missing:
        return
    evidence = "the database is in use"
    try:
        with (
            running_database(settings) as source,
            Database(source, application_name("prepare")).transaction() as tx,
        ):
            used = revisions(tx).current is not None
    except MosaicError as error:
        if not may_be_away:
            raise
        click.echo(f"it is not known whether the database is in use: {error.message}", err=True)
        evidence = "the CA exists"  # it is made after all but its root
        used = "CA" not in missing and missing.keys() != {"CA's root"}
    if used:
        named = ", ".join(f"the {what} ({path})" for what, path in missing.items())
        raise NeedsEdit(
            "config_invalid",
            f"{evidence}, but {named} cannot be found",
            hint="restore it from its backup: a new one cannot replace it",
        )
