"""Show who signed the commits of a range, and whether that suffices.

RANGE is BASE..TIP, or BASE for all up to the source's ref or HEAD. The rules are those of BASE, so
no database is needed; without RANGE, it begins with the commit that was applied last. The
repository is that of the source, or of the working directory. Exits with 6 if a commit would not be
trusted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.plan.options import signatures
from reconciler.cli.shared.context import open_database, read_settings, source_option, verb
from reconciler.cli.shared.input import working_directory
from reconciler.cli.shared.output import output_option, print_document, show_list
from reconciler.core.model.text import counted, printable
from reconciler.core.setting_values import SourceSetting
from reconciler.core.trust.refusal import refusal
from reconciler.errors import NeedsEdit
from reconciler.operations.trust_check import check_range
from reconciler.store.apply.provenance import last_applied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.config import Settings

COLUMNS = (
    ("COMMIT", lambda row: row["id"][:12]),
    ("SIGNED BY", lambda row: row["signer"] or "-"),
    ("SIGNED OFF BY", lambda row: ", ".join(row["signedOffBy"]) or "-"),
    ("TRUSTED", lambda row: "yes" if row["trusted"] else "no"),
    ("SUBJECT", lambda row: row["subject"]),
)


@click.command(help=__doc__)
@click.argument("commits", metavar="[RANGE]", required=False)
@output_option
@source_option
@verb
def command(commits: str | None, output: str) -> None:
    settings = read_settings()
    signed = signatures(settings, required=True)
    assert signed is not None
    source = settings.source or SourceSetting(str(working_directory()))
    chosen = commits or _not_applied(settings)
    checks = check_range(source, chosen, signed, datetime.now(UTC))
    rows = [each.as_json() for each in checks]
    faults = [fault for each in checks for fault in each.faults]
    if output != "table":
        document = {"trusted": not faults, "commits": rows}
        print_document(document, output)
    else:
        show_list(rows, COLUMNS, output, "there are no commits in that range")
        for row in rows:
            _show_faults(row)
        if rows and not faults:
            click.echo(f"Trusted: {counted(len(rows), 'commit')}.")
    if faults:
        raise refusal(faults)


def _not_applied(settings: Settings) -> str:
    """Return the range of what was not applied yet.

    Raises:
        NeedsEdit: `usage`: there is no gateway, or nothing was applied from a repository.
    """
    applied = None
    if settings.home is not None or settings.database_url is not None:
        with open_database(settings, "trust check") as database, database.transaction() as tx:
            applied = last_applied(tx).revision
    if applied is None:
        raise NeedsEdit(
            "usage",
            "it is not known which commit was applied last",
            hint="name a range, BASE..TIP: `mosaic federation trust check origin/main..HEAD`",
        )
    return f"{applied}.."


def _show_faults(row: Mapping[str, Any]) -> None:
    for fault in row["faults"]:
        click.echo(f"! {row['id'][:12]} {printable(fault['reason'], 500)}")
        click.echo(f"    {printable(fault['remedy'], 500)}")
