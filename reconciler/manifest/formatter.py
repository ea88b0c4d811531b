"""The one layout of manifests: two spaces, dashes indented, no trailing space, lines ended by LF.

Only the space between tokens is written again. Lines stay lines: blank ones, and those of a
collection in braces; comments, quotes, scalars and the order of keys are as they were written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.errors import Refused
from reconciler.manifest.load import FILE, specs_of
from reconciler.manifest.yaml.reader import BREAK, read_documents
from reconciler.manifest.yaml.syntax import Mapping, Node, Scalar, Sequence, Syntax, parse_syntax

if TYPE_CHECKING:
    from reconciler.manifest.yaml.syntax import SyntaxToken

STEP: Final = 2  # columns of one level


def formatted(text: str, file: str = FILE) -> str:
    """Return the text of a file of manifests in the one layout; `file` names it in an error.

    Raises:
        InvalidManifests: with every problem: what is invalid is not laid out.
        Refused: `state_conflict`: it would not say the same, or lose a comment.
    """
    specs_of(text, file)
    plain = text.removeprefix("\ufeff")
    try:
        before = parse_syntax(plain)
        made = _Layout(before).text()
        after = parse_syntax(made)
    except ValueError as error:
        raise _refused(file, 1, str(error)) from None
    values, again = _values(file, plain), _values(file, made)
    for root, value, value_again in zip(before.roots, values, again, strict=False):
        if value != value_again:
            raise _refused(file, before.line(root.start), "its meaning would change")
    if len(values) != len(again) or before.comments() != after.comments():
        raise _refused(file, 1, "a comment or a document would be lost")
    return made


def _values(file: str, text: str) -> list[object]:
    return [document.value for document in read_documents(file, text.encode())]


def _refused(file: str, line: int, why: str) -> Refused:
    return Refused(
        "state_conflict",
        f"{file}:{line}: cannot be formatted: {why}",
        hint="format it by hand; nothing was changed",
    )


@dataclass(slots=True)
class _Level:
    """A collection in lines: where it is, the column it had, and the one it gets."""

    start: int
    end: int
    was: int
    now: int


@dataclass(slots=True)
class _Span:
    """A value of several lines whose lines move with its first one."""

    start: int
    end: int
    least: int  # the smallest column of its other lines
    was: int = 0
    now: int = 0
    shift: int = 0  # of the line on which it begins

    def column(self, was: int) -> int:
        """Return the column of a later line: what was aligned with its first character stays so."""
        moved = was + (self.now - self.was if was >= self.was else self.shift)
        return max(moved, self.least)


@dataclass(slots=True)
class _Layout:
    """The text of a syntax in the one layout, as it grows."""

    syntax: Syntax
    columns: dict[int, int] = field(default_factory=dict)  # of what begins a line, by its place
    bodies: dict[int, int] = field(default_factory=dict)  # of the lines of a block scalar
    levels: list[_Level] = field(default_factory=list)  # those to come, the next one last
    open: list[_Level] = field(default_factory=list)
    spans: dict[int, _Span] = field(default_factory=dict)
    span: _Span | None = None
    out: list[str] = field(default_factory=list)
    column: int = 0
    shift: int = 0

    def text(self) -> str:
        """Return all of it."""
        for root in self.syntax.roots:
            self._place(root, 0, 0)
        self.levels.sort(key=lambda level: (level.start, level.now), reverse=True)
        return self._written()

    def _place(self, node: Node, column: int, parent: int) -> None:
        """Note the column of what begins a line below `node`, which gets `column`."""
        if isinstance(node, Scalar):
            if node.style in ("|", ">"):
                self.bodies[node.start] = parent
            self._move(node, parent + STEP, column)
        elif isinstance(node, Mapping) and not node.flow:
            self._level(node, column)
            for entry in node.entries:
                self.columns[entry.start] = column
                self._move(entry.key, column + STEP, column)
                if entry.start != entry.key.start:  # `? key`, and the colon on a line of its own
                    self.columns[self._colon(entry.key.end)] = column
                self._place(entry.value, column + STEP, column)
        elif isinstance(node, Sequence) and not node.flow:
            self._level(node, column)
            for start, item in zip(node.starts, node.items, strict=True):
                self._place(item, column + STEP, column)
                self.columns[start] = column
        else:
            self._move(node, parent, column)

    def _colon(self, at: int) -> int:
        """Return where the colon of a `? key` is, or what follows where it has none."""
        later = self.syntax.tokens[self.syntax.index(at) :]
        return next((token.start for token in later if token.kind != "comment"), at)

    def _level(self, node: Node, column: int) -> None:
        self.levels.append(_Level(node.start, node.end, self.syntax.column(node.start), column))

    def _move(self, node: Node, least: int, column: int) -> None:
        self.columns.setdefault(node.start, column)
        self.spans[node.start] = _Span(node.start, node.end, least)

    def _written(self) -> str:
        header, previous, end = None, None, 0
        for index, token in enumerate(self.syntax.tokens):
            gap = self.syntax.text[end : token.start]
            breaks = len(BREAK.findall(gap))
            self._enter(token)
            if token.kind == "body":
                self._body(token, header)
            elif breaks or previous is None:
                self._new_line(token, index, breaks)
            else:
                self._write(_space(previous, token, gap))
            if token.kind != "body":
                self._token(token)
            header = header if token.kind == "comment" else token
            end, previous = token.end, token
        if previous is None or previous.kind != "body" or end < len(self.syntax.text):
            self.out.append("\n")
        return "".join(self.out)

    def _enter(self, token: SyntaxToken) -> None:
        """Note what a token is in: a value of several lines, and collections in lines.

        A comment is in those of the token before it.
        """
        if self.span is not None and token.start >= self.span.end:
            self.span = None
        if token.kind in ("comment", "body"):
            return
        while self.open and (token.kind == "marker" or self.open[-1].end <= token.start):
            self.open.pop()
        while self.levels and self.levels[-1].start <= token.start:
            self.open.append(self.levels.pop())

    def _new_line(self, token: SyntaxToken, index: int, breaks: int) -> None:
        was = self.syntax.column(token.start)
        if self.span is not None:
            now = self.span.column(was)
        elif token.kind == "comment":
            now = self._comment_column(index, was)
        else:
            now = self.columns.get(token.start, 0)
        self.out.append("\n" * breaks)
        self.column = 0
        self.shift = now - was
        self._write(" " * now)

    def _comment_column(self, index: int, was: int) -> int:
        """Return the column of a comment: it stays with what it was aligned with."""
        after = next((t for t in self.syntax.tokens[index:] if t.kind != "comment"), None)
        known = [(level.was, level.now) for level in self.open]
        if after is not None and after.start in self.columns:
            known.append((self.syntax.column(after.start), self.columns[after.start]))
        same = [now for column, now in known if column == was]
        if same:
            return same[-1]
        return max((now for column, now in known if column < was), default=0)

    def _token(self, token: SyntaxToken) -> None:
        if self.span is None and token.start in self.spans:
            self.span = self.spans[token.start]
            self.span.was, self.span.now = self.syntax.column(token.start), self.column
            self.span.shift = self.shift
        text = self.syntax.text[token.start : token.end]
        if token.kind != "scalar":
            self._write(text.rstrip())
            return
        *lines, last = BREAK.split(text)
        first, *rest = [*map(_trimmed, lines), last]
        self._write(first)
        for line in rest:
            content = line.lstrip(" \t")
            self.out.append("\n")
            self.column = 0
            if content:
                assert self.span is not None
                self._write(" " * self.span.column(len(line) - len(content)) + content)

    def _body(self, token: SyntaxToken, header: SyntaxToken | None) -> None:
        """Write the lines of a block scalar, moved as one; their space belongs to the value."""
        assert header is not None
        lines = BREAK.split(self.syntax.text[token.start : token.end])
        parent = self.bodies[header.start]
        first = next((line for line in lines if line.strip(" ")), "")
        indent = len(first) - len(first.lstrip(" "))
        explicit = re.search("[0-9]", self.syntax.text[header.start : header.end])
        wanted = parent + (int(explicit[0]) if explicit else STEP)
        if explicit:
            indent = self.open[-1].was + int(explicit[0])
        for line in lines:
            content = line[indent:] if not line[:indent].strip(" ") else line.lstrip(" ")
            self.out.append("\n" + (" " * wanted + content if content else ""))
        self.column = 0

    def _write(self, text: str) -> None:
        self.out.append(text)
        self.column += len(text)


def _trimmed(line: str) -> str:
    """Return a line within a scalar without the space at its end, which folding drops."""
    trimmed = line.rstrip(" \t")
    return line if trimmed.endswith("\\") else trimmed  # an escaped space is part of the value


def _space(previous: SyntaxToken | None, token: SyntaxToken, gap: str) -> str:
    """Return the space between two tokens of one line."""
    before = previous.kind if previous is not None else ""
    if token.kind == "comment":
        return gap.replace("\t", " ") or " "
    if before == ":":
        return " "
    if token.kind in (":", ",", "]", "}") or before in ("[", "{"):
        return ""
    return " "
