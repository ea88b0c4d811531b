"""`db`: the database's schema, and how to reach it."""

from __future__ import annotations

import click

from reconciler.cli.main import LazyGroup

VERBS = {
    "upgrade": ("db.upgrade", "Run the migrations that are missing."),
    "current": ("db.current", "Show the migration that the database is at."),
    "check": ("db.check", "Check that schema and invariants are in force."),
    "url": ("db.url", "Print the URL of the owner's role; it holds the password."),
}


@click.group(cls=LazyGroup, verbs=VERBS)
def command() -> None:
    """The database: its schema, and how to reach it."""
