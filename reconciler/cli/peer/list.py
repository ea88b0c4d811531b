"""List peers of every status, live ones first."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import database, settings, verb
from reconciler.cli.shared.formatting import Row, away, ended, held, state
from reconciler.cli.shared.output import output_option, show_list
from reconciler.core.model.states import PeerStatus
from reconciler.store.views.peers import list_peers


def _certificate_ends(row: Row) -> str:
    """Return when the certificate ends that counts today, or `-`."""
    ours = row.get("certificate")
    return away(ours["notAfter"]) if ours is not None and ours["status"] == "issued" else "-"


def _grants(row: Row) -> list[str]:
    """Return our grants to an inbound peer, or the one that an outbound peer gave us."""
    told = row.get("grant")
    return [str(told["name"])] if told is not None else list(row["grants"])


COLUMNS = (
    ("NAME", lambda row: row["name"]),
    ("STATUS", state),
    ("DIRECTION", lambda row: row["direction"]),
    ("ENDPOINT", lambda row: row["endpoint"] or "-"),
    ("GRANTS", lambda row: ", ".join(_grants(row)) or "-"),
    ("CERTIFICATE ENDS", _certificate_ends),
    ("HELD", held),
)


@click.command(help=__doc__)
@click.option(
    "--status",
    "statuses",
    type=click.Choice([str(each) for each in PeerStatus]),
    multiple=True,
    help="Only peers of this status; may be given again.",
)
@click.option("--live", is_flag=True, help="Only those that have not ended.")
@output_option
@verb
def command(statuses: tuple[str, ...], live: bool, output: str) -> None:
    found = settings()
    with database(found, "peer list") as opened, opened.transaction() as tx:
        rows = list_peers(tx, statuses)
    if live:
        rows = [row for row in rows if not ended(row)]
    elif output == "table":
        rows.sort(key=ended)  # what lives first; else by name and age
    narrowed = " or ".join(statuses) or ("live" if live else "")
    none = f"no peer is {narrowed}" if narrowed else "there are no peers"
    show_list(rows, COLUMNS, output, none)
