"""A file of valid manifests as its author wrote it: every token, and every value with its place.

The events of the parser that `reader` reads with give the places of scalars and collections; what
stands between those are indicators, comments, markers and directives. Nothing is lost: tokens and
the space between them are the text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml.error import YAMLError

from reconciler.manifest.yaml import events
from reconciler.manifest.yaml.reader import BREAK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COMMENT: Final = re.compile(r"#[^\n\r\x85\u2028\u2029]*")
_MARKER: Final = re.compile(r"(?:---|\.\.\.)(?=\s|\Z)")
_DIRECTIVE: Final = re.compile(r"%[^\n\r#]*[^\s#]")
_HEADER: Final = re.compile(r"[|>][-+0-9]*")
_EMPTY_LINES: Final = re.compile(r"(?:\r\n|[\n\r\x85\u2028\u2029])+\Z")


@dataclass(frozen=True, slots=True)
class SyntaxToken:
    """A piece of text that no space divides.

    `kind` is `comment`, `marker` (`---`, `...`), `directive`, `scalar`, `body` (the lines of a
    block scalar, whose header is its `scalar`), or an indicator: one of `-?:,[]{}`.
    """

    kind: str
    start: int
    end: int


@dataclass(slots=True)
class Node:
    """A value and the text that it takes; an absent one takes none."""

    start: int
    end: int


@dataclass(slots=True)
class Scalar(Node):
    """A scalar; `style` is empty for a plain one, else its first character."""

    value: str
    style: str


@dataclass(slots=True)
class MappingEntry:
    """A key and its value; `start` is where the key's `?` or the key itself begins."""

    start: int
    key: Scalar
    value: Node


@dataclass(slots=True)
class Mapping(Node):
    """A mapping, in braces (`flow`) or in lines."""

    flow: bool
    entries: list[MappingEntry] = field(default_factory=list)

    def entry(self, name: str) -> MappingEntry | None:
        """Return the entry of a key."""
        return next((each for each in self.entries if each.key.value == name), None)

    def get(self, *path: str) -> Node | None:
        """Return the value below some keys."""
        node: Node | None = self
        for name in path:
            entry = node.entry(name) if isinstance(node, Mapping) else None
            node = entry.value if entry is not None else None
        return node


@dataclass(slots=True)
class Sequence(Node):
    """A sequence, in brackets (`flow`) or in lines; `starts` are where its items' dashes are."""

    flow: bool
    items: list[Node] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Syntax:
    """The text of a file, its tokens in order, and the root of each document that has one."""

    text: str
    tokens: list[SyntaxToken]
    roots: list[Node]

    def column(self, at: int) -> int:
        """Return how many characters stand before a place on its line."""
        return at - self.line_start(at)

    def line_start(self, at: int) -> int:
        """Return where the line of a place begins."""
        return max(self.text.rfind(each, 0, at) for each in "\n\r\x85\u2028\u2029") + 1

    def line_end(self, at: int) -> int:
        """Return where the line of a place ends, before its break."""
        match = BREAK.search(self.text, at)
        return match.start() if match is not None else len(self.text)

    def line(self, at: int) -> int:
        """Return the number of the line of a place, from 1."""
        return len(BREAK.findall(self.text, 0, at)) + 1

    def index(self, at: int) -> int:
        """Return the index of the first token that begins at a place or behind it."""
        return bisect_left(self.tokens, at, key=lambda token: token.start)

    def comments(self) -> list[str]:
        """Return the comments in order, without space behind them."""
        return [
            self.text[token.start : token.end].rstrip()
            for token in self.tokens
            if token.kind == "comment"
        ]


def parse_syntax(text: str) -> Syntax:
    """Return the syntax of a text that `read_documents` has no problem with.

    Raises:
        ValueError: it has an anchor, an alias or a tag, or is not YAML.
    """
    try:
        composer = _Composer(text, _events(events.c_events(text)))
    except YAMLError:  # as `reader` does: the C parser is of YAML 1.1
        try:
            composer = _Composer(text, _events(events.pure_events(text)))
        except YAMLError as error:
            raise ValueError(str(getattr(error, "problem", error))) from None
    syntax = Syntax(text, list(_tokens(text, composer.scalars)), composer.roots)
    for sequence in composer.sequences:
        sequence.starts = [_dash(syntax, item.start) for item in sequence.items]
    for mapping in composer.mappings:
        for entry in mapping.entries:
            entry.start = _key_start(syntax, entry.key.start)
    return syntax


def _events(next_event: Callable[[], Any]) -> Iterator[Any]:
    while True:
        event = next_event()
        yield event
        if isinstance(event, events.StreamEndEvent):
            return


class _Composer:
    """The nodes of a stream of events."""

    def __init__(self, text: str, stream: Iterator[Any]) -> None:
        self._text = text
        self._events = stream
        self.roots: list[Node] = []
        self.scalars: list[Scalar] = []
        self.mappings: list[Mapping] = []
        self.sequences: list[Sequence] = []
        for event in self._events:
            if isinstance(event, events.DocumentStartEvent):
                root = self._node(next(self._events))
                if root.end > root.start:
                    self.roots.append(root)

    def _node(self, event: Any) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise ValueError("an anchor or a tag cannot be edited")
        if isinstance(event, events.ScalarEvent):
            return self._scalar(event, start, end)
        if isinstance(event, events.SequenceStartEvent):
            sequence = Sequence(start, end, bool(event.flow_style))
            self.sequences.append(sequence)
            while not isinstance(inner := next(self._events), events.SequenceEndEvent):
                sequence.items.append(self._node(inner))
            last = sequence.items[-1].end if sequence.items else end
            sequence.end = inner.end_mark.index if sequence.flow else last
            return sequence
        if not isinstance(event, events.MappingStartEvent):  # an alias
            raise ValueError("an alias cannot be edited")  # noqa: TRY004 - of what is written
        mapping = Mapping(start, end, bool(event.flow_style))
        self.mappings.append(mapping)
        while not isinstance(inner := next(self._events), events.MappingEndEvent):
            key, value = self._node(inner), self._node(next(self._events))
            if not isinstance(key, Scalar):
                raise ValueError("a key must be text")  # noqa: TRY004 - of what is written
            mapping.entries.append(MappingEntry(key.start, key, value))
            mapping.end = max(key.end, value.end)
        mapping.end = inner.end_mark.index if mapping.flow else mapping.end
        return mapping

    def _scalar(self, event: Any, start: int, end: int) -> Scalar:
        style = self._text[start] if end > start and self._text[start] in "'\"|>" else ""
        if style in ("|", ">"):
            header = _HEADER.match(self._text, start)
            empty = _EMPTY_LINES.search(self._text, start, end)
            if empty is not None and header is not None:
                keeps = "+" in header[0]
                last = re.compile(f"(?:{BREAK.pattern})\\Z").search(self._text, start, end)
                assert last is not None
                end = last.start() if keeps else empty.start()
        scalar = Scalar(start, end, event.value, style)
        if end > start:
            self.scalars.append(scalar)
        return scalar


def _tokens(text: str, scalars: list[Scalar]) -> Iterator[SyntaxToken]:
    at = 0
    for scalar in scalars:
        yield from _between(text, at, scalar.start)
        at = scalar.end
        if scalar.style not in ("|", ">"):
            yield SyntaxToken("scalar", scalar.start, scalar.end)
            continue
        header = _HEADER.match(text, scalar.start)
        assert header is not None
        yield SyntaxToken("scalar", scalar.start, header.end())
        first_break = BREAK.search(text, header.end(), scalar.end)
        body = first_break.end() if first_break is not None else scalar.end
        yield from _between(text, header.end(), body)
        if first_break is not None:
            yield SyntaxToken("body", body, scalar.end)
    yield from _between(text, at, len(text))


def _between(text: str, start: int, end: int) -> Iterator[SyntaxToken]:
    """Yield what stands between two scalars."""
    at = start
    while at < end:
        if text[at].isspace() or text[at] == "\ufeff":
            at += 1
            continue
        kind, match = text[at], None
        first = at == 0 or BREAK.fullmatch(text[at - 1]) is not None
        if kind == "#":
            kind, match = "comment", _COMMENT.match(text, at)
        elif first and kind == "%":
            kind, match = "directive", _DIRECTIVE.match(text, at)
        elif first and (match := _MARKER.match(text, at)):
            kind = "marker"
        elif kind not in "-?:,[]{}":
            raise ValueError(f"{kind!r} cannot be edited")
        stop = match.end() if match is not None else at + 1
        yield SyntaxToken(kind, at, stop)
        at = stop


def _dash(syntax: Syntax, start: int) -> int:
    """Return where an item begins: at its dash, in a sequence in lines."""
    before = _before(syntax, start)
    return before.start if before is not None and before.kind == "-" else start


def _key_start(syntax: Syntax, start: int) -> int:
    before = _before(syntax, start)
    return before.start if before is not None and before.kind == "?" else start


def _before(syntax: Syntax, start: int) -> SyntaxToken | None:
    """Return the last token before a place that is no comment."""
    index = syntax.index(start)
    while index and (token := syntax.tokens[index - 1]).kind == "comment":
        index -= 1
    return token if index else None
