"""Acknowledge the theft signal of an audit record.

`status` and `doctor` show a signal until it is acknowledged, with the number SEQ of its record. The
acknowledgement is recorded too, and suspends or resumes nothing: see `grant suspend`.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import open_database, print_gateway, read_settings, verb
from reconciler.store.issuance.thefts import acknowledge
from reconciler.store.locks import actor_of


@click.command(help=__doc__)
@click.argument("seq", type=click.IntRange(1, 2**63 - 1))
@verb
def command(seq: int) -> None:
    settings = read_settings()
    print_gateway(settings)
    with open_database(settings, "audit ack") as database, database.transaction() as tx:
        changed = acknowledge(tx, seq, actor_of("user"))
    click.echo(f"record {seq} is acknowledged" if changed else f"record {seq} was already")
