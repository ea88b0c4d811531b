"""`ca init`: the files of a certificate authority, for a step-ca that runs elsewhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from reconciler.cli.context import settings, verb
from reconciler.config import require
from reconciler.core.values import read_listen
from reconciler.crypto.certificates import fingerprint_of
from reconciler.embedded.ca_files import CaPlan, write_ca
from reconciler.errors import NeedsEdit


@click.command()
@click.option("--dir", "folder", metavar="DIR", help="Where step-ca's files go (a home: its ca/).")
@click.option("--root-key", metavar="FILE", help="Where the root's key goes, alone in a folder.")
@click.option("--provisioners", metavar="DIR", help="Where the provisioners' keys go.")
@click.option("--seen-as", metavar="DIR", help="DIR as step-ca sees it, in a container say.")
@click.option("--address", metavar="HOST:PORT", help="What step-ca listens on.")
@click.option("--dns", metavar="NAME", multiple=True, help="A name of step-ca's own certificate.")
@click.option("--public-url", metavar="URL", help="The URL under which peers reach the gateway.")
@verb
def command(
    folder: str | None,
    root_key: str | None,
    provisioners: str | None,
    seen_as: str | None,
    address: str | None,
    dns: tuple[str, ...],
    public_url: str | None,
) -> None:
    """Write root, intermediate, provisioner keys, ca.json and templates; change nothing there is.

    Inside a home all of it has been done by `init`. The root's key may be taken offline afterwards:
    nothing here needs it.
    """
    found = settings(public_url=public_url)
    if folder is None and found.home is None:
        raise NeedsEdit("usage", "there is no home here", hint="name a folder: --dir DIR")
    target = Path(folder) if folder is not None else found.home.ca  # type: ignore[union-attr]  # checked above
    ca_url = urlsplit(found.ca_url or "https://127.0.0.1:9000")
    listen = address or ca_url.netloc
    try:
        read_listen(listen if not listen.startswith(":") else f"localhost{listen}")
    except ValueError as error:
        raise NeedsEdit("usage", f"--address: {error}", hint="correct it") from None
    plan = CaPlan(
        folder=target.absolute(),
        root_key=Path(root_key or target.parent / "root-key" / "root_ca_key").absolute(),
        provisioners=Path(provisioners or target.parent / "provisioners").absolute(),
        public_url=require(found.public_url, "public_url"),
        address=listen,
        dns_names=dns or (ca_url.hostname or "127.0.0.1", "localhost"),
        oid_arc=found.oid_arc,
        seen_as=seen_as,
    )
    made = write_ca(plan)
    pin = fingerprint_of((plan.folder / "root_ca.crt").read_text())
    if not made:
        click.echo(f"{plan.folder} is complete already; nothing was changed")
    else:
        click.echo(f"wrote the certificate authority into {plan.folder}")
        click.echo(f"  the root's key, which can be taken offline: {plan.root_key}")
    click.echo(f"root pin: {pin}")
