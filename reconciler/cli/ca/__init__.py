"""`ca`: the certificate authority's files, its program, and whether it is what it should be."""

from __future__ import annotations

import click

from reconciler.cli.main import LazyGroup

VERBS = {
    "init": ("ca.init", "Write the files of a certificate authority, once."),
    "install": ("ca.install", "Find a step-ca, or build the pinned one."),
    "move": ("ca.move", "Give the gateway another public URL; every certificate stays valid."),
    "status": ("ca.status", "Show version, health, pin and provisioners."),
}


@click.group(cls=LazyGroup, verbs=VERBS)
def command() -> None:
    """The certificate authority: its files, its program, its state."""
