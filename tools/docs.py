"""Write the generated parts of the documentation, and the help that is printed without click.

With --check, they are only compared. A part stands between `<!-- made by make docs: NAME -->` and
`<!-- end -->` in a Markdown file, and NAME is the function of `PARTS` that generates it. People
write everything around it.
"""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.main import ROOMS, mosaic
from reconciler.config import SETTINGS
from reconciler.config.definitions import NOT_IN_HOME
from reconciler.errors import EXIT_MEANINGS, OUTCOMES
from reconciler.web.metrics.definitions import DEFINITIONS
from reconciler.web.metrics.definitions import PARTS as VERB_PARTS
from reconciler.web.openapi import CALLS
from reconciler.web.private.problems import PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
FILES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
HELP: Final = ROOT / "reconciler" / "cli" / "group_help.py"
WIDTH: Final = 100  # columns of the help, as on a terminal that is wide enough

_PART: Final = re.compile(r"(<!-- made by make docs: ([a-z]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_PROGRAM: Final = "mosaic federation"


def commands() -> str:
    """Return the help of every command as it is printed."""
    return "\n".join(
        f"## {context.command_path}\n\n```text\n{context.get_help()}\n```\n"
        for context in _contexts()
    )


def verbs() -> str:
    """Return the table of the verbs, below the headings of the help."""
    federation = next(_contexts())
    rows = []
    for room in ROOMS:
        rows.append((f"**{room.heading}**", ""))
        rows += [
            (f"`{_verb(context)}`", context.command.get_short_help_str(limit=200))
            for name in room.verbs
            for context in _below(federation, name)
            if not isinstance(context.command, click.Group)
        ]
    return _table(("command", "does"), rows)


def exits() -> str:
    """Return the table of exit codes."""
    return _table(("code", "meaning"), [(str(code), text) for code, text in EXIT_MEANINGS.items()])


def settings() -> str:
    """Return the table of settings."""
    rows = []
    for setting in SETTINGS:
        variable = f"`{setting.variable}`"
        if setting.secret:
            variable += f", `{setting.variable}_FILE`"
        # the file is in the home, so it cannot name the home
        name = "" if setting.name in NOT_IN_HOME else f"`{setting.name}`"
        rows.append((variable, name, setting.meaning))
    return _table(("variable", "in `mosaic.toml`", "meaning"), rows)


def problems() -> str:
    """Return the table of the problems that the endpoint answers."""
    rows = [
        (str(outcome.status), f"`{code}`", outcome.title)
        for code, outcome in OUTCOMES.items()
        if outcome.status is not None
    ]
    return _table(("status", "code", "title"), sorted(rows))


def denials() -> str:
    """Return the table of the problems that the private listener alone answers."""
    rows = [(str(status), f"`{code}`", title) for code, (status, title) in PROBLEMS.items()]
    return _table(("status", "code", "title"), rows)


def calls() -> str:
    """Return the table of the HTTP calls."""
    rows = [
        (f"`{call.method.upper()} {call.path}`", call.summary, ", ".join(call.answers))
        for call in CALLS
    ]
    return _table(("call", "what it is for", "answer"), rows)


def metrics() -> str:
    """Return the table of the metrics, and which verbs have each."""
    rows = []
    for each in DEFINITIONS:
        labels = f"{{{','.join(each.labels)}}}" if each.labels else ""
        verbs = [f"`{verb}`" for verb, parts in VERB_PARTS.items() if each.part in parts]
        rows.append((f"`{each.name}{labels}`", each.kind, each.meaning, ", ".join(verbs)))
    return _table(("metric", "type", "meaning", "shown by"), rows)


PARTS: Final[dict[str, Callable[[], str]]] = {
    part.__name__: part
    for part in (commands, verbs, exits, settings, problems, denials, calls, metrics)
}


def renewed(text: str) -> str:
    """Return a document with its parts generated again.

    Raises:
        KeyError: no part has that name.
    """
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n{part[4]}", text)


def group_help() -> str:
    """Return the module that has the help of the two groups above all others."""
    root = _root()
    federation = next(_below(root, "federation"))
    entries = "".join(
        f'    "{path}": """\\\n{context.get_help()}\n""",\n'
        for path, context in (("", root), ("federation", federation))
    )
    return (
        '"""The help of groups as click prints it; `make docs` writes this file."""\n\n'
        f"GROUPS = {{\n{entries}}}\n"
    )


def generated() -> Iterator[tuple[Path, str, str]]:
    """Yield each file with its text as it is and as it must be."""
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        yield path, text, renewed(text)
    yield HELP, HELP.read_text(encoding="utf-8") if HELP.exists() else "", group_help()


def stale() -> Iterator[str]:
    """Yield the differences of each file that is out of date."""
    for path, text, right in generated():
        name = str(path.relative_to(ROOT))
        lines = text.splitlines(), right.splitlines()
        if difference := list(difflib.unified_diff(*lines, name, f"{name} as it must be", "", "")):
            yield "\n".join(difference)


def _contexts() -> Iterator[click.Context]:
    return _below(_root(), "federation")


def _root() -> click.Context:
    return mosaic.make_context("mosaic", [], resilient_parsing=True, terminal_width=WIDTH)


def _below(parent: click.Context, name: str) -> Iterator[click.Context]:
    assert isinstance(parent.command, click.Group)
    command = parent.command.get_command(parent, name)
    assert command is not None
    context = command.make_context(
        name, [], parent=parent, resilient_parsing=True, terminal_width=WIDTH
    )
    yield context
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            yield from _below(context, verb)


def _verb(context: click.Context) -> str:
    """Return a command and its arguments, without the program's name and `[OPTIONS]`."""
    usage = " ".join(context.command.collect_usage_pieces(context)[1:])
    path = context.command_path.removeprefix(f"{_PROGRAM} ")
    return f"{path} {usage}".strip()


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def main() -> int:
    """Write the files or compare them; return the exit code."""
    if sys.argv[1:] == ["--check"]:
        differences = list(stale())
        for difference in differences:
            sys.stderr.write(f"{difference}\n")
        if differences:
            sys.stderr.write("the documentation differs from the code; run: make docs\n")
        return 1 if differences else 0
    for path, _, right in generated():
        path.write_text(right, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
