"""Every command line that a message, a page or a script names: the command tree has it so."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from typing import TYPE_CHECKING, Final

import click
import pytest

from reconciler.cli.main import mosaic
from reconciler.cli.shared.invocation import PROGRAM, invocation, with_home
from tests.support.commands.tree import VERBS
from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCES: Final = sorted((ROOT / "reconciler").rglob("*.py"))
PAGES: Final = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "compose").glob("*.yml")),
)
GROUPS: Final = {path[:-1] for path in VERBS if len(path) > 2}
KINDS: Final = ("grant", "peer")  # what WORD may be where a verb begins
QUOTED: Final = re.compile(rf"`({PROGRAM} [^`]+)`")
# where the shell's grammar ends a command line
END: Final = re.compile(r"\s(?:\||&&|\|\||;|#|[0-9]?>{1,2}|<|<<)(?=\s|\S|$)|[;&]\s*$|\)|\\$")


@cache
def texts(path: Path) -> tuple[str, ...]:
    """Return the texts of a module, with WORD for what is put into them, without docstrings."""
    source = path.read_text()
    return tuple(_texts_of(ast.parse(source))) if PROGRAM.split()[0] in source else ()


def _texts_of(tree: ast.Module) -> Iterator[str]:
    nodes = tuple(ast.walk(tree))
    inner = {id(v) for n in nodes if isinstance(n, ast.JoinedStr) for v in n.values}
    docs = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else "WORD" for v in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in inner | docs:
            yield str(node.value)


def in_messages() -> list[tuple[str, str]]:
    return [
        (f"{path.relative_to(ROOT)}", line)
        for path in SOURCES
        for text in texts(path)
        for line in QUOTED.findall(text)
    ]


def in_pages() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        if path.name == "commands.md":  # made of the tree itself
            continue
        name, fenced = str(path.relative_to(ROOT)), False
        text = path.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            fenced ^= line.lstrip().startswith("```")
            at = line.find(f"{PROGRAM} ") if fenced or line.startswith("    ") else -1
            if at >= 0 and not line[:at].rstrip().endswith(("Usage:", "+", "-", ".")):
                yield name, END.split(line[at:].partition("`")[0])[0]
            elif not fenced:
                yield from ((name, each) for each in QUOTED.findall(line))


def wrong(line: str) -> str:
    """Return what the command tree says against a command line; nothing where it takes it."""
    try:
        words = shlex.split(END.split(line)[0].replace("…", "WORD"))[1:]
    except ValueError as error:
        return str(error)
    spelled = [words] if words[1] != "WORD" else [["federation", g, *words[2:]] for g in KINDS]
    reports = [_wrong_words(each) for each in spelled]
    return "" if "" in reports else reports[0]


def _wrong_words(words: list[str]) -> str:
    path = next((p for n in (3, 2) if (p := tuple(words[:n])) in VERBS), None)
    if path is None:
        return "" if tuple(words) in GROUPS else f"there is no verb {words}"
    command = VERBS[path]
    context = click.Context(command, **mosaic.context_settings)  # click keeps its help option
    try:
        values, rest, _ = command.make_parser(context).parse_args(words[len(path) :])
    except click.UsageError as error:
        return error.format_message()
    missing = [
        each.name
        for each in command.params
        if isinstance(each, click.Argument)
        and each.required
        and not isinstance(values.get(each.name or ""), (str, tuple))
    ]
    return f"too many words: {rest}" if rest else f"missing: {missing}" if missing else ""


@pytest.mark.parametrize(("where", "line"), sorted(set(in_messages())))
def test_a_command_line_of_a_message_is_one_of_the_tree(where: str, line: str) -> None:
    assert wrong(line) == ""


@pytest.mark.parametrize(("where", "line"), sorted(set(in_pages())))
def test_a_command_line_of_a_page_is_one_of_the_tree(where: str, line: str) -> None:
    names_a_verb = tuple(line.split()[1:]) in VERBS  # as a sentence does
    assert names_a_verb or wrong(line) == ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_command_lines_in_messages_are_quoted_so_that_they_carry_the_home(path: Path) -> None:
    if path.parent.name == "demo":
        return  # it types them
    if path.stem in ("demo", "markdown", "invocation", "invitation_page", "plan"):
        return  # they print whole lines
    for text in texts(path):
        bare = re.sub(r"`[^`]*`", "", text)
        assert not re.search(rf"{PROGRAM} [a-z]", bare) or text.startswith(PROGRAM), text


def test_a_wrong_command_line_is_found() -> None:
    assert wrong("mosaic federation grant resume x") == ""
    assert "no verb" in wrong("mosaic federation grant delete x")
    assert "No such option" in wrong("mosaic federation plan --nope")
    assert wrong("mosaic federation grant resume") == "missing: ['name']"
    assert wrong("mosaic federation grant resume x y") == "too many words: ['y']"
    assert "requires an argument" in wrong("mosaic federation plan --save")


def test_a_home_that_was_given_is_named_in_every_quoted_line() -> None:
    text = "do `mosaic federation plan` then `mosaic federation apply -- -x`"
    assert with_home(text, None) == text
    assert with_home(text, "a b") == (
        "do `mosaic federation plan --home 'a b'` then `mosaic federation apply --home 'a b' -- -x`"
    )
    given = "`mosaic federation init --home x`"
    assert with_home(given, "y") == given


@pytest.mark.parametrize("word", ["a b", "it's", '"', "$x", "-dash", "", "\n", "`id`"])
def test_an_invocation_is_read_by_a_shell_as_it_was_meant(word: str) -> None:
    line = invocation("plan", [word], ["--ref", word])
    assert wrong(line) == ""
    words = shlex.split(line)
    assert words.count(word) == 2
