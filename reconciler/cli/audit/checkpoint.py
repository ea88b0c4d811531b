"""Verify the audit log and print its checkpoint.

With FILE, writes the checkpoint into FILE, which must be new. Keep it outside the database: `audit
verify --checkpoint` shows later whether the log is still the same.
"""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.audit.verify import refuse_break, signature_of
from reconciler.cli.shared.context import read_settings, read_transaction, verb
from reconciler.core.audit.checkpoint import Checkpoint
from reconciler.crypto.sshsig import CHECKPOINT, sign
from reconciler.errors import Refused
from reconciler.files import unwritable, write_new
from reconciler.store.audit.log import verify


@click.command(help=__doc__)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--sign-with",
    "key",
    metavar="KEY",
    type=click.Path(path_type=Path),
    help="The SSH key that signs FILE; the signature is written to FILE.sig.",
)
@verb
def command(file: Path | None, key: Path | None) -> None:
    if key is not None and file is None:
        raise click.UsageError("--sign-with: name a FILE to sign")
    if file is not None and not file.name:
        raise click.UsageError(f"FILE: expected the name of a file, got {str(file)!r}")
    with read_transaction(read_settings(), "audit checkpoint") as tx:
        verification = verify(tx)
    refuse_break(verification.chain_break)
    if verification.last.seq == 0:
        raise Refused(
            "state_conflict",
            "the audit log has no record yet",
            hint="it gets one with the first apply",
        )
    text = Checkpoint.of(verification).text()
    if file is None:
        click.echo(text, nl=False)
        return
    if key is not None:
        _write(signature_of(file), sign(text.encode(), key, CHECKPOINT))
    _write(file, text.encode())
    click.echo(f"{verification.count:,} records verified; the checkpoint is in {file}")


def _write(path: Path, content: bytes) -> None:
    try:
        written = write_new(path, content)
    except OSError as error:
        raise unwritable(path, error) from None
    if not written:
        raise Refused("name_taken", f"{path} exists already", hint="name a new file")
