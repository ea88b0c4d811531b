"""Write the live peers and grants as manifests.

They are written to standard output, or to DIR, which must be a new folder.
"""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.shared.context import read_settings, read_transaction, verb
from reconciler.cli.shared.summary import tallied
from reconciler.core.model.observed import ObservedGrant, ObservedPeer
from reconciler.core.model.text import counted
from reconciler.errors import Refused
from reconciler.files import unwritable
from reconciler.manifest.json_schema import SCHEMAS_URL
from reconciler.manifest.write import manifest_text, write_manifest
from reconciler.store.apply.observe import observe


@click.command(help=__doc__)
@click.argument("folder", metavar="[DIR]", required=False)
@verb
def command(folder: str | None) -> None:
    with read_transaction(read_settings(), "export") as tx:
        observed = observe(tx)
    rows: list[ObservedPeer | ObservedGrant] = [row for row in observed.peers if not row.ended]
    rows += [row for row in observed.grants if not row.ended]
    texts = [(row, manifest_text(row.name, row.spec, SCHEMAS_URL)) for row in rows]
    if folder is None:
        click.echo("---\n".join(text for _, text in texts), nl=False)
        return
    target = Path(folder)
    if target.exists():
        raise Refused("name_taken", f"{target} exists already", hint="name a new folder")
    again = f"empty {target}, then run the same command again"
    with tallied("manifest", len(texts), then=again) as tally:
        for row, text in texts:
            kind = "peers" if isinstance(row, ObservedPeer) else "grants"
            path = target / kind / f"{row.name}.yaml"
            try:
                write_manifest(path, text)
            except OSError as error:
                raise unwritable(path, error) from None
            tally.done += 1
    click.echo(f"wrote {counted(len(texts), 'manifest')} into {target}")
