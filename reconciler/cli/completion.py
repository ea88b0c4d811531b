"""Print the completion script of a shell.

For bash, run: source <(mosaic federation completion bash)
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from reconciler.cli.shared.context import verb

VARIABLE = "_MOSAIC_COMPLETE"  # click's: `_<PROGRAM>_COMPLETE`


@click.command(help=__doc__)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@verb
def command(shell: str) -> None:
    complete_class = get_completion_class(shell)
    assert complete_class is not None
    root = click.get_current_context().find_root().command
    click.echo(complete_class(root, {}, "mosaic", VARIABLE).source())
