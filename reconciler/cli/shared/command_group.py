"""A group of verbs: each is described by the first line of its file and imported when it runs.

So `--help` and completion load nothing that the verbs need.
"""

from __future__ import annotations

import gc
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
from click.shell_completion import CompletionItem

from reconciler.core.model.text import printable
from reconciler.gc_pause import uncollected

if TYPE_CHECKING:
    from collections.abc import Iterable

CLI: Final = Path(__file__).parents[1]


class Room(NamedTuple):
    """Verbs that the help lists under one heading; their modules lie in one package of `cli`."""

    heading: str
    package: str  # empty: in `cli` itself
    verbs: tuple[str, ...]


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run."""

    def __init__(self, *args: Any, rooms: Iterable[Room], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rooms = tuple(rooms)
        self._packages = {verb: room.package for room in self.rooms for verb in room.verbs}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the rooms."""
        return list(self._packages)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's module and return its command."""
        if cmd_name not in self._packages:
            return None
        words = ("reconciler.cli", self._packages[cmd_name], cmd_name)
        with uncollected():
            module = importlib.import_module(".".join(filter(None, words)))
            gc.freeze()  # modules are there until the end
        command: click.Command = module.command
        return command

    def description(self, verb: str) -> str:
        """Return the first line of a verb's file, which is that of its docstring."""
        path = self._path(verb)
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        with path.open(encoding="utf-8") as file:
            return file.readline().strip().strip('"')

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with; suggest a verb for a mistyped one."""
        if args and args[0] not in self._packages and not args[0].startswith("-"):
            from reconciler.cli.shared.suggestions import suggestion

            verb = suggestion(args[0], self._packages, self.verbs_of_groups(ctx))
            question = f" (did you mean {verb!r}?)" if verb else ""
            ctx.fail(f"there is no command {printable(args[0])!r}{question}")
        return super().resolve_command(ctx, args)

    def verbs_of_groups(self, ctx: click.Context) -> dict[str, list[str]]:
        """Return the verbs of each group among the commands."""
        groups = {
            verb: self.get_command(ctx, verb)
            for verb in self._packages
            if self._path(verb).is_dir()
        }
        return {
            verb: group.list_commands(ctx)
            for verb, group in groups.items()
            if isinstance(group, click.Group)
        }

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete verbs without importing them."""
        verbs = [
            CompletionItem(verb, help=self.description(verb))
            for verb in self._packages
            if verb.startswith(incomplete)
        ]
        return verbs or super().shell_complete(ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs of each room below its heading, without importing them."""
        width = max(map(len, self._packages))
        for room in self.rooms:
            with formatter.section(room.heading):
                formatter.write_dl(
                    [(verb.ljust(width), self.description(verb)) for verb in room.verbs]
                )

    def _path(self, verb: str) -> Path:
        return CLI / self._packages[verb] / verb


def verb_group(package: str, verbs: tuple[str, ...], about: str | None) -> LazyGroup:
    """Return the group of the verbs of a package; `about` is its help."""
    return LazyGroup(package, rooms=(Room("Commands", package, verbs),), help=about)
