"""Verify the hash chain of the audit log.

Every record is checked against its hash and the record before it, from the end of the newest
archive on; with --archive, from the first record of the log on. If MOSAIC_ALLOWED_SIGNERS is set,
each checkpoint must have a valid signature in FILE.sig. It also shows which logins of the database
can replace the log, and which can only append to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import archive_option, open_database, read_settings, verb
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.core.audit.chain import broken
from reconciler.core.audit.checkpoint import MAX_CHECKPOINT, Checkpoint
from reconciler.core.model.times import rfc3339
from reconciler.core.privileges import Role
from reconciler.crypto import sshsig
from reconciler.errors import NeedsEdit, Refused
from reconciler.operations.audit.archive_files import verify_archives
from reconciler.store.audit.log import verify
from reconciler.store.roles.logins import audit_writers

if TYPE_CHECKING:
    from reconciler.core.audit.chain import ChainBreak

MAX_SIGNATURE = 64 * 1024  # octets


@click.command(help=__doc__)
@click.option(
    "--checkpoint",
    "files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file that `audit checkpoint` wrote and that the log must match; may be given again.",
)
@archive_option
@output_choice("text", "json", "yaml", about="How it is printed; json is stable.")
@verb
def command(files: tuple[Path, ...], archives: tuple[Path, ...], output: str) -> None:
    settings = read_settings()
    checkpoints = [(file, *_read(file, settings.allowed_signers)) for file in files]
    known = [head for _, each, _ in checkpoints for head in each.heads]
    with (
        open_database(settings, "audit verify", Role.READER) as database,
        database.transaction(unlimited=True) as tx,
    ):
        archived = verify_archives(tx, archives, known) if archives else 0
        verification = verify(tx, known)
        writers = audit_writers(tx)
    refuse_break(verification.chain_break)
    archive = verification.archive
    for file, each, _ in checkpoints:
        if archive is not None and not archives and 1 < each.seq < archive.last.seq:
            raise archive.refusal(f"audit verify --archive FILE... --checkpoint {file}")
    count = verification.last.seq if archives else verification.count
    if output != "text":
        documents = [
            {"file": str(file), "seq": each.seq, "at": rfc3339(each.at), "signer": signer}
            for file, each, signer in checkpoints
        ]
        document = {
            "entries": count,
            "archive": archive.as_json() if archive is not None else None,
            "checkpoints": documents,
            "logins": writers.as_json(),
        }
        print_document(document, output)
        return
    of_archives = f", {archived:,} of them in archives" if archives else ""
    click.echo(f"{count:,} records verified{of_archives}")
    if archive is not None and not archives:
        click.echo(f"{archive.fact}: --archive FILE... verifies them too")
    for file, each, signer in checkpoints:
        signed = f"signed by {signer}" if signer else "its signature was not verified"
        click.echo(f"{file}: seq {each.seq:,} is unchanged since {rfc3339(each.at)}; {signed}")
    click.echo(f"logins that can replace the log: {', '.join(writers.replacing)}")
    click.echo(f"logins that can append to it: {', '.join(writers.appending) or 'no others'}")


def refuse_break(chain_break: ChainBreak | None) -> None:
    """Raise `Refused` (`audit_broken`) where the log breaks."""
    if chain_break is not None:
        raise broken(chain_break)


def signature_of(file: Path) -> Path:
    """Return where a checkpoint's signature is, as ssh-keygen(1) names it."""
    return file.with_name(f"{file.name}.sig")


def _read(file: Path, allowed_signers: Path | None) -> tuple[Checkpoint, str | None]:
    """Return a checkpoint and who signed it, None if no signers are configured."""
    content = _content(file, MAX_CHECKPOINT)
    try:
        checkpoint = Checkpoint.parse(content)
    except ValueError as error:
        raise NeedsEdit(
            "value_invalid", f"{file}: {error}", hint="name a file that it wrote, unchanged"
        ) from None
    if allowed_signers is None:
        return checkpoint, None
    signature = _content(signature_of(file), MAX_SIGNATURE)
    try:
        return checkpoint, sshsig.verify(
            content, signature, allowed_signers, checkpoint.at, sshsig.CHECKPOINT
        )
    except Refused as error:
        raise Refused(error.code, f"{file}: {error.message}", hint=error.hint) from None


def _content(file: Path, size: int) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(size + 1)
    except OSError as error:
        raise NeedsEdit(
            "value_invalid",
            f"{file} cannot be read: {error.strerror}",
            hint="name a file of `audit checkpoint`, with its signature (.sig) beside it",
        ) from None
