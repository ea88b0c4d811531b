"""Write the certificate and the key of an outbound peer to files.

With `--dir`, DIR holds tls.crt (the certificate, then its intermediates), tls.key, ca.crt (the
other gateway's roots) and grant.json. They are replaced together: read them through DIR/..data.
If nothing is new, nothing is written. With `--output k8s-secret`, a Kubernetes Secret is printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.shared.context import open_database, print_gateway, read_settings, verb
from reconciler.cli.shared.formatting import away
from reconciler.cli.shared.input import working_directory
from reconciler.cli.shared.names import name_argument
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.config import require
from reconciler.core.model.spec import Kind
from reconciler.core.privileges import Role
from reconciler.core.setting_values import read_command
from reconciler.credentials.bundle import secret_document
from reconciler.crypto.keyring import KeyringFolder
from reconciler.errors import Refused
from reconciler.release import Released, Releaser, release_files, release_to_folder
from reconciler.store.locks import actor_of

if TYPE_CHECKING:
    from pathlib import Path

KUBERNETES: Final = "k8s-secret"


def _words(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[str, ...] | None:
    """Return the words of `--exec`."""
    try:
        return read_command(text) if text is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(help=__doc__)
@name_argument(Kind.PEER)
@click.option("--dir", "folder", metavar="DIR", help="The folder to write; created with mode 0700.")
@click.option(
    "--exec",
    "hook",
    callback=_words,
    metavar="COMMAND",
    help="Run this command after a change, without a shell, for at most 30 s. It gets MOSAIC_PEER"
    " and MOSAIC_CREDENTIALS.",
)
@output_choice(
    "table", "json", "yaml", KUBERNETES, about="How it is printed; only k8s-secret prints the key."
)
@click.option("--secret-name", metavar="NAME", help="The Secret's name; by default, mosaic-NAME.")
@click.option("--namespace", metavar="NAME", help="The Secret's namespace.")
@verb
def command(
    name: str,
    folder: str | None,
    hook: tuple[str, ...] | None,
    output: str,
    secret_name: str | None,
    namespace: str | None,
) -> None:
    if output == KUBERNETES and (folder, hook) != (None, None):
        raise click.UsageError("--output k8s-secret prints a Secret: it takes no --dir or --exec")
    if output != KUBERNETES and (secret_name, namespace) != (None, None):
        raise click.UsageError("--secret-name and --namespace are for --output k8s-secret")
    if output != KUBERNETES and not folder:
        raise click.UsageError("name a folder with --dir DIR, or use --output k8s-secret")
    settings = read_settings()
    keys = KeyringFolder(require(settings.keyring, "keyring"))
    print_gateway(settings)
    with open_database(settings, "peer credentials", Role.GATEWAY) as database:
        releaser = Releaser(database, keys, actor_of("user"), hook)
        if not folder:
            files = release_files(releaser, name, KUBERNETES)
            print_document(
                secret_document(files, secret_name or f"mosaic-{name}", namespace), "yaml"
            )
            return
        destination = (working_directory() / folder).resolve()
        released = release_to_folder(releaser, name, destination)
    _print(name, destination, released, output)
    if released.hook_error is not None:
        raise Refused(
            "hook_failed",
            f"the files are in {destination}, but the hook failed: {released.hook_error}",
            hint="correct the command and run it yourself: an unchanged run does not repeat it",
        )


def _print(name: str, folder: Path, released: Released, output: str) -> None:
    certificate = released.document["certificate"]
    if output != "table":
        facts = {"peer": name, "directory": str(folder), "changed": released.changed}
        print_document(facts | {"certificate": certificate}, output)
        return
    ends = f"certificate {certificate['serial']}, expires {away(certificate['notAfter'])}"
    if released.changed:
        click.echo(f"peer/{name}: wrote {folder} ({ends})")
    else:
        click.echo(f"peer/{name}: nothing new: {folder} has it already ({ends})")
