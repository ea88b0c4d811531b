"""`mosaic federation …`: the command tree, and the one place where an error becomes an exit.

A verb's module is imported when the verb is run, so `--help` loads none of what the verbs need.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from reconciler.cli.shared.errors import Failure, wants_json
from reconciler.cli.shared.streams import close_output, open_streams, require_text
from reconciler.cli.shared.suggestions import suggestion
from reconciler.core.model.text import printable
from reconciler.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Sequence

# verb: (module below reconciler.cli, one line for --help)
FEDERATION: Final = {
    "init": ("gateway.init", "Make an embedded gateway here."),
    "up": ("gateway.up", "Run the gateway of this home, all of it, in this terminal."),
    "destroy": ("gateway.destroy", "Remove this gateway, all of it."),
    "demo": ("gateway.demo", "Two gateways on this machine, from manifest to certificate."),
    "doctor": (
        "gateway.doctor",
        "Look at all that a gateway needs; say what is wrong, and what to do.",
    ),
    "validate": ("manifests.validate", "Check manifests; report every problem at once."),
    "plan": ("plan.plan", "Show what an apply would do."),
    "apply": ("plan.apply", "Make the database what the manifests declare."),
    "run": ("gateway.run", "Reconcile again and again, as the source changes."),
    "pause": ("gateway.pause", "Keep the loops from applying, on every machine."),
    "resume": ("gateway.resume", "Let the loops go on."),
    "status": ("gateway.status", "What was applied, what fails, what is paused, what ends soon."),
    "drift": ("plan.drift", "Show what was changed in the database by hand; put it back."),
    "history": ("history.history", "What happened, to one object or at all."),
    "explain": ("history.explain", "Why a grant, a peer or a certificate is as it is."),
    "at": ("history.at", "What was granted to whom at a moment."),
    "fmt": ("manifests.fmt", "Lay out manifests."),
    "completion": ("completion", "Print what a shell needs to complete this command line."),
    "rename": ("manifests.rename", "Give a peer or a grant another name; nothing of it ends."),
    "export": ("manifests.export", "Write the rows as manifests."),
    "schema": ("manifests.schema", "Print the JSON Schema of a kind."),
    "grant": ("grant", "Grants: create, list, show, invite, suspend, resume, revoke."),
    "peer": ("peer", "Peers: add, list, show, revoke."),
    "serve": ("gateway.serve", "Run the HTTPS endpoint and its workers."),
    "prepare": (
        "gateway.prepare",
        "Make the keys, CA and schema that `serve` needs without a home.",
    ),
    "health": ("gateway.health", "Tell whether the endpoint of this machine is ready."),
    "ca": ("ca", "The certificate authority: init, install, move, status."),
    "db": ("db", "The database: upgrade, current, check, url."),
    "keys": ("keys", "The sealing keys: status, add, rotate, rewrap, retire."),
    "audit": ("audit", "The audit log: list, verify, checkpoint."),
    "version": ("version", "Print the version of this program."),
}
GROUPS: Final = ("grant", "peer", "ca", "db", "keys", "audit")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run."""

    def __init__(self, *args: Any, verbs: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the table."""
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's module and return its command."""
        if cmd_name not in self._verbs:
            return None
        module = importlib.import_module(f"reconciler.cli.{self._verbs[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with; a mistyped one is told the nearest verb."""
        if args and args[0] not in self._verbs and not args[0].startswith("-"):
            close = suggestion(args[0], self._verbs, self._below(ctx))
            meant = f" (did you mean {close!r}?)" if close else ""
            ctx.fail(f"there is no command {printable(args[0])!r}{meant}")
        return super().resolve_command(ctx, args)

    def _below(self, ctx: click.Context) -> dict[str, list[str]]:
        """Return the verbs of each group in here."""
        commands = ((verb, self.get_command(ctx, verb)) for verb in self._verbs if verb in GROUPS)
        return {
            verb: each.list_commands(ctx)
            for verb, each in commands
            if isinstance(each, click.Group)
        }

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete verbs from the table, without importing them."""
        verbs = [
            CompletionItem(verb, help=line)
            for verb, (_, line) in self._verbs.items()
            if verb.startswith(incomplete)
        ]
        return verbs or super().shell_complete(ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of the verbs from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in self._verbs.items()])


class _Top(click.Group):
    """The group above `federation`, which knows who left that word out."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            meant = " (did you mean 'federation'?)" if args[0][:1] == "f" else ""
            if args[0] in FEDERATION:
                meant = f" (did you mean 'federation {args[0]}'?)"
            ctx.fail(f"there is no command {printable(args[0])!r}{meant}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Top, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="mosaic-federation", prog_name="mosaic")
def mosaic() -> None:
    """Mosaic: letting one organisation act in another's system, safely."""


@mosaic.group(cls=LazyGroup, verbs=FEDERATION)
def federation() -> None:
    """Peers and grants: declared in git, applied by a reconciler, proven by certificates."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    # whatever was inherited, we can read what we write, and nobody else can change it
    os.umask((os.umask(0o077) & 0o077) | 0o002)
    open_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run the command line; return the exit code. Errors are told on standard error."""
    flags: dict[str, str | None] = {}  # what the verb was given of the settings
    as_json = wants_json(arguments)
    try:
        require_text(arguments, os.environ)
        ended: object = mosaic.main(
            args=arguments, prog_name="mosaic", standalone_mode=False, obj=flags
        )
        sys.stdout.flush()
    except BrokenPipeError:
        close_output()  # the interpreter must not fail on it once more at its end
        return EXIT_FAILED
    except (click.Abort, KeyboardInterrupt):
        return Failure(as_json=as_json).interrupted()
    except Exception as error:  # noqa: BLE001  # the last place where it can be told
        return Failure(as_json=as_json, home=flags.get("home")).of(error)
    # click returns the code of its `Exit`, and else what the verb returned: nothing
    return ended if isinstance(ended, int) else EXIT_OK


if __name__ == "__main__":
    main()
