"""`mosaic federation …`: the command tree, and the one place where an error becomes an exit."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.shared.command_group import LazyGroup, Room
from reconciler.cli.shared.error_report import ErrorReport, wants_json
from reconciler.cli.shared.input import require_text
from reconciler.cli.terminal.log_options import format_of_environment, use_log_format
from reconciler.cli.terminal.streams import close_output, open_streams
from reconciler.core.model.text import printable
from reconciler.core.trace import read_traceparent
from reconciler.errors import EXIT_FAILED, EXIT_OK
from reconciler.log import about

TRACEPARENT: Final = "TRACEPARENT"  # of who runs the command, such as a CI job

if TYPE_CHECKING:
    from collections.abc import Sequence

# What one needs first comes first; each verb describes itself, in the first line of its file.
ROOMS: Final = (
    Room(
        "Gateway",
        "gateway",
        (
            *("demo", "init", "up", "status", "doctor", "pause", "resume", "destroy"),
            *("prepare", "serve", "run", "authority", "health"),
        ),
    ),
    Room("Manifests", "manifests", ("validate", "fmt", "schema", "export", "rename")),
    Room("Plans", "plan", ("plan", "apply", "drift")),
    Room("Grants and peers", "", ("grant", "peer")),
    Room("Backups", "backup", ("backup", "restore")),
    Room("History", "history", ("history", "explain", "at")),
    Room("Administration", "", ("keys", "ca", "db", "audit", "trust", "notify")),
    Room("Other", "", ("completion", "version")),
)


class _Top(click.Group):
    """The group above `federation`, which knows who left that word out."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with; `version` is that of the whole program."""
        if args[:1] == ["version"]:
            args = ["federation", *args]
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            question = " (did you mean 'federation'?)" if args[0][:1] == "f" else ""
            if args[0] in federation.list_commands(ctx):
                question = f" (did you mean 'federation {args[0]}'?)"
            ctx.fail(f"there is no command {printable(args[0])!r}{question}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Top, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="mosaic-federation", prog_name="mosaic")
def mosaic() -> None:
    """Let one organisation act in another organisation's system, safely."""


@mosaic.group(cls=LazyGroup, rooms=ROOMS)
def federation() -> None:
    """Manage peers and grants.

    Git declares them, a reconciler applies them, and certificates prove them.
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    _require_utf8()
    # whatever umask was inherited: the owner can read new files, and nobody else can change them
    os.umask((os.umask(0o077) & 0o077) | 0o002)
    open_streams()
    # else pydantic looks through all that is installed, and lets it see what manifests say
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    # else `ssl` writes there what tokens are encrypted with, and fails where it cannot
    os.environ.pop("SSLKEYLOGFILE", None)
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.exit(run(arguments))


def _require_utf8() -> None:
    """Start again in Python's UTF-8 mode if the locale has another encoding.

    Paths and settings are UTF-8, and libpq is given nothing else. Python does the same for the C
    locale (PEP 540). Output stays in the encoding of the locale.
    """
    if sys.getfilesystemencoding() == "utf-8" or not sys.executable:
        return
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    os.environ.setdefault("PYTHONIOENCODING", encoding)
    words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    os.execv(sys.executable, words)  # noqa: S606 - our own words need no shell


def run(arguments: list[str]) -> int:
    """Run the command line and return the exit code. Errors are printed on standard error."""
    with about(trace=read_traceparent([os.environ.get(TRACEPARENT, "")])):
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    flags: dict[str, str | None] = {}  # the settings that the command line gives
    as_json = wants_json(arguments)
    use_log_format(format_of_environment())
    try:
        require_text(arguments, os.environ)
        result: object = mosaic.main(
            args=arguments, prog_name="mosaic", standalone_mode=False, obj=flags
        )
        sys.stdout.flush()
    except BrokenPipeError:
        close_output()  # the interpreter must not fail on it once more at its end
        return EXIT_FAILED
    except (click.Abort, KeyboardInterrupt):
        return ErrorReport(as_json=as_json).interrupted()
    except Exception as error:  # noqa: BLE001  # every error is reported
        return ErrorReport(as_json=as_json, home=flags.get("home")).of(error)
    # click returns the code of its `Exit`, or what the verb returned, which is None
    return result if isinstance(result, int) else EXIT_OK


if __name__ == "__main__":
    main()
