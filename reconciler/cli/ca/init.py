"""Write the files of a certificate authority.

Writes the root, the intermediate, the provisioners' keys, ca.json and the templates, and changes
nothing that exists. Inside a home, `init` has done this already. The root's key can be taken
offline afterwards, because nothing here needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.shared.context import option_group, read_settings, verb
from reconciler.config import require
from reconciler.core.model.origin import address_of, address_text
from reconciler.core.setting_values import read_listen
from reconciler.crypto.certificates import fingerprint_of
from reconciler.embedded.stepca.ca_files import CONFIG, CaPlan, write_ca
from reconciler.embedded.stepca.config import read_ca_config
from reconciler.embedded.stepca.install import find_step_ca
from reconciler.embedded.stepca.trial import try_settings
from reconciler.embedded.stepca.upgrade import upgrade_ca
from reconciler.errors import NeedsEdit
from reconciler.operations.placement import check_places

if TYPE_CHECKING:
    from reconciler.config import Settings


DEFAULT_URL: Final = "https://127.0.0.1:9000"


@dataclass(frozen=True, slots=True)
class CaOptions:
    """Where the root's key goes, and where step-ca is to be found."""

    root_key: str | None
    seen_as: str | None
    address: str | None
    dns: tuple[str, ...]


ca_options: Final = option_group(
    "ca",
    CaOptions,
    click.option(
        "--root-key",
        metavar="FILE",
        help="The file for the root's key, in a folder that holds nothing else.",
    ),
    click.option(
        "--seen-as",
        metavar="DIR",
        help="The path of DIR as step-ca sees it, for example in a container.",
    ),
    click.option("--address", metavar="HOST:PORT", help="The address that step-ca listens on."),
    click.option(
        "--dns", metavar="NAME", multiple=True, help="A name of step-ca's own certificate."
    ),
)


@click.command(help=__doc__)
@click.option(
    "--dir", "folder", metavar="DIR", help="The folder for step-ca's files; in a home, its ca/."
)
@click.option("--provisioners", metavar="DIR", help="The folder for the provisioners' keys.")
@ca_options
@click.option("--public-url", metavar="URL", help="The URL under which peers reach the gateway.")
@click.option(
    "--oid-arc",
    metavar="OID",
    help="The arc of the OIDs in certificates. It cannot be changed later.",
)
@verb
def command(
    folder: str | None,
    provisioners: str | None,
    ca: CaOptions,
    public_url: str | None,
    oid_arc: str | None,
) -> None:
    settings = read_settings(public_url=public_url, oid_arc=oid_arc)
    if folder is None:
        if settings.home is None:
            hint = "pass the CA's folder: --dir DIR"
            raise NeedsEdit("usage", "there is no gateway here", hint=hint)
        folder = str(settings.home.ca)
    target, listen = Path(folder).absolute(), address_of(settings.ca_url or DEFAULT_URL)
    provisioners_folder = provisioners or settings.ca_provisioners or target.parent / "provisioners"
    plan = CaPlan(
        folder=target,
        root_key=Path(ca.root_key or target.parent / "root-key" / "root_ca_key").absolute(),
        provisioners=Path(provisioners_folder).absolute(),
        public_url=require(settings.public_url, "public_url"),
        address=ca.address or address_text(listen),
        dns_names=ca.dns or (listen[0], "localhost"),
        oid_arc=settings.oid_arc,
        seen_as=ca.seen_as,
    )
    _check_address(plan.address)
    made = _write(plan, settings)
    pin = fingerprint_of((plan.folder / "root_ca.crt").read_text())
    if not made:
        click.echo(f"{plan.folder} is complete already; nothing was changed")
    else:
        click.echo(f"wrote the certificate authority into {plan.folder}")
        click.echo(f"  the root's key, which can be taken offline: {plan.root_key}")
    click.echo(f"root pin: {pin}")


def _write(plan: CaPlan, settings: Settings) -> bool:
    """Write the files, once what is fixed in them was tried; return False where they are there.

    Raises:
        NeedsEdit: `config_invalid`: they are there for another URL or arc, no certificate can be
            made for these, or a folder cannot be written to.
    """
    try:
        if (plan.folder / CONFIG).exists():
            check_places(settings, read_ca_config(plan.folder)[1])
        elif step_ca := find_step_ca():
            trial = plan.folder / ".trial"
            try_settings(trial, step_ca, plan.public_url, plan.oid_arc, settings.listen)
        made = write_ca(plan)
        if not made and upgrade_ca(plan.folder, plan.provisioners):
            click.echo("upgraded to this version; restart step-ca before `serve`")
    except OSError as error:
        raise NeedsEdit(
            "config_invalid",
            f"the certificate authority cannot be written: {error.filename}: {error.strerror}",
            hint="check that its folders are writable: --dir, --root-key, --provisioners",
        ) from error
    return made


def _check_address(address: str) -> None:
    try:
        read_listen(address if not address.startswith(":") else f"localhost{address}")
    except ValueError as error:
        raise NeedsEdit("usage", f"--address: {error}", hint="correct it") from None
