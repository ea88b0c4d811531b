"""`mosaic federation …`: the command tree, and the one place where an error becomes an exit.

A verb's module is imported when the verb is run, so `--help` loads none of what the verbs need.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import traceback
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from reconciler.core.text import printable
from reconciler.core.words import nearest
from reconciler.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    InvalidManifests,
    MosaicError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

# verb: (module below reconciler.cli, one line for --help)
FEDERATION: Final = {
    "init": ("init", "Make an embedded gateway here."),
    "up": ("up", "Run the gateway of this home, all of it, in this terminal."),
    "demo": ("demo", "Two gateways on this machine, from manifest to certificate."),
    "doctor": ("doctor", "Look at all that a gateway needs; say what is wrong, and what to do."),
    "validate": ("validate", "Check manifests; report every problem at once."),
    "plan": ("plan", "Show what an apply would do."),
    "apply": ("apply", "Make the database what the manifests declare."),
    "run": ("run", "Reconcile again and again, as the source changes."),
    "pause": ("pause", "Keep the loops from applying, on every machine."),
    "resume": ("resume", "Let the loops go on."),
    "status": ("status", "What was applied, what fails, what is paused, what ends soon."),
    "drift": ("drift", "Show what was changed in the database by hand; put it back."),
    "history": ("history", "What happened, to one object or at all."),
    "explain": ("explain", "Why a grant, a peer or a certificate is as it is."),
    "at": ("at", "What was granted to whom at a moment."),
    "fmt": ("fmt", "Lay out manifests."),
    "completion": ("completion", "Print what a shell needs to complete this command line."),
    "rename": ("rename", "Give a peer or a grant another name; nothing of it ends."),
    "export": ("export", "Write the rows as manifests."),
    "schema": ("schema", "Print the JSON Schema of a kind."),
    "grant": ("grant", "Grants: create, list, show, invite, suspend, resume, revoke."),
    "peer": ("peer", "Peers: add, list, show, revoke."),
    "serve": ("serve", "Run the HTTPS endpoint and its workers."),
    "prepare": ("prepare", "Make the keys, CA and schema that `serve` needs without a home."),
    "health": ("health", "Tell whether the endpoint of this machine is ready."),
    "ca": ("ca", "The certificate authority: init, install, status."),
    "db": ("db", "The database: upgrade, current, check, url."),
    "keys": ("keys", "The sealing keys: status, add, rotate, rewrap, retire."),
    "audit": ("audit", "The audit log: list, verify, checkpoint."),
}
INTERNAL_HINT: Final = "run it again with --log-level debug for the traceback"


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
            close = nearest(args[0], self._verbs, cutoff=0.5)
            meant = f" (did you mean {close!r}?)" if close else ""
            ctx.fail(f"there is no command {printable(args[0])!r}{meant}")
        return super().resolve_command(ctx, args)

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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mosaic-federation", prog_name="mosaic")
def mosaic() -> None:
    """Mosaic: letting one organisation act in another's system, safely."""


@mosaic.group(cls=LazyGroup, verbs=FEDERATION)
def federation() -> None:
    """Peers and grants: declared in git, applied by a reconciler, proven by certificates."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run the command line; return the exit code. Errors are told on standard error."""
    as_json = _wants_json(arguments)
    try:
        ended: object = mosaic.main(args=arguments, prog_name="mosaic", standalone_mode=False)
    except click.ClickException as error:
        return _usage(error, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        _tell("interrupted", "interrupted", "", EXIT_INTERRUPTED, as_json=as_json)
        return EXIT_INTERRUPTED
    except MosaicError as error:
        return _failed(error, as_json=as_json)
    except BrokenPipeError:
        # who read our output has gone; the interpreter must not fail on it once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001  # the last place where it can be told
        return _internal(error, as_json=as_json)
    # click returns the code of its `Exit`, and else what the verb returned: nothing
    return ended if isinstance(ended, int) else EXIT_OK


def _failed(error: MosaicError, *, as_json: bool) -> int:
    message, hint = error.message, error.hint
    if isinstance(error, InvalidManifests) and as_json:
        if error.code == "manifest_invalid":
            hint = "`mosaic federation validate --output json` lists them; nothing was changed"
        else:  # nothing that is on disk, so nothing that `validate` would list
            message = "; ".join(str(problem) for problem in error.problems)
    elif isinstance(error, InvalidManifests):
        for problem in error.problems:
            click.echo(str(problem), err=True)
    _trace(error)
    _tell(error.code, message, hint, error.exit_code, as_json=as_json)
    return error.exit_code


def _internal(error: Exception, *, as_json: bool) -> int:
    # the first line alone: those after it are details, and a database's print the row
    told = str(error).strip().partition("\n")[0]
    message = f"internal error: {type(error).__name__}: {printable(told, 500)}"
    _trace(error)
    _tell("internal", message, INTERNAL_HINT, EXIT_FAILED, as_json=as_json)
    return EXIT_FAILED


def _trace(error: Exception) -> None:
    """Print the traceback where `--log-level debug` asked for it."""
    if logging.getLogger("reconciler").isEnabledFor(logging.DEBUG):
        click.echo("".join(traceback.format_exception(error)), nl=False, err=True)


def _usage(error: click.ClickException, *, as_json: bool) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not as_json:
        click.echo(error.format_message(), err=True)
        return EXIT_USAGE
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"see `{error.ctx.command_path} --help`"
    _tell("usage", error.format_message(), hint, EXIT_USAGE, as_json=as_json)
    return EXIT_USAGE


def _tell(code: str, message: str, hint: str, exit_code: int, *, as_json: bool) -> None:
    if as_json:
        error = {"code": code, "message": message, "hint": hint, "exitCode": exit_code}
        click.echo(json.dumps({"error": error}, ensure_ascii=False), err=True)
        return
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)


def _wants_json(arguments: list[str]) -> bool:
    """Tell whether `--output json` stands in the arguments, whatever else is wrong with them."""
    return "--output=json" in arguments or ("--output", "json") in pairwise(arguments)


if __name__ == "__main__":
    main()
