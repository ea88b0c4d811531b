"""YAML to plain values with marks, in one pass over the C parser's events.

Nothing is composed: what is refused (depth, anchors, aliases, tags, doubled keys) is refused as its
event comes, so that a hostile file costs no more than the events before it. A C loader would
crash on 50,000 nested brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from reconciler.core.model.text import printable, shown
from reconciler.errors import Problem
from reconciler.manifest.yaml import events

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH: Final = 20
BREAK: Final = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1 5.4, as the C parser has it

Path = tuple[str | int, ...]
Mark = tuple[int, int]

_MAX_SLOW: Final = 64 * 1024  # characters: half a second of the pure parser
_OLD_FLOW: Final = (  # what YAML 1.1 says of plain text inside braces and brackets
    "found unexpected ':'",
    "did not find expected ',' or '}'",
    "did not find expected ',' or ']'",
)
_WORDS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_PLAIN_WORD: Final = re.compile(r"[-+.~0-9A-Za-z]+", re.ASCII)  # what `resolve` makes no text of
_BEGIN_NUMBERS: Final = "-0123456789"
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,99})", re.ASCII)
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)


@dataclass(slots=True)
class Document:
    """One YAML document: its value, and where each key and each value stands (from 1).

    `broken` are places whose value was refused, and is not worth judging.
    """

    file: str
    value: Any = None
    text: str = field(default="", repr=False)  # of the whole file
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)

    def mark(self, path: Path) -> Mark:
        """Return where the value at `path` stands, or the nearest place above it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))

    def problem(
        self, path: Path, code: str, message: str, hint: str = "", severity: str = "error"
    ) -> Problem:
        """Return a problem of the value at `path`."""
        return Problem(self.file, *self.mark(path), code, path_text(path), message, hint, severity)

    def written(self, path: Path) -> str:
        """Return a null, boolean or number at `path` as it stands there; empty for no text."""
        if path not in self.values:
            return ""
        line, column = self.values[path]
        lines = _lines(self.text)
        if line > len(lines):  # libyaml places an empty value at the end of a file behind it
            return ""
        word = _PLAIN_WORD.match(lines[line - 1], column - 1)
        return word[0] if word is not None else ""


@lru_cache(maxsize=1)
def _lines(text: str) -> list[str]:
    """Return the lines of the file whose problems are being reported."""
    return BREAK.split(text)


class _Stop(Exception):
    pass


def read_documents(file: str, content: bytes) -> list[Document]:
    """Return the documents of a file, each with the problems that reading it met.

    A problem that ends the reading (syntax, depth, encoding) is the last of the last document.
    """
    reader = _Reader(file)
    try:
        reader.text = text = content.decode("utf-8-sig")
        reader.read(events.c_events(text))
    except UnicodeDecodeError as error:
        at = _place(content, error.start)
        reader.refuse(at, "yaml.encoding", "the file is not UTF-8", "save it as UTF-8")
    except MarkedYAMLError as error:
        if error.problem in _OLD_FLOW and (again := _read_slowly(file, text)) is not None:
            return again
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        what = printable(error.problem or error.context or "it cannot be parsed", 120)
        at_tab = "".join(BREAK.split(text)[place[0] - 1 :][:1])[place[1] - 1 :].startswith("\t")
        hint = "this is a tab: write spaces" if at_tab else "correct the syntax here"
        reader.refuse(place, "yaml.syntax", f"not YAML: {what}", hint)
    except ReaderError as error:
        at = _place(text.encode(), error.position)
        what = f"the character U+{error.character:04X} is not allowed"
        reader.refuse(at, "yaml.syntax", what, "remove it")
    except _Stop:
        pass
    return reader.documents


def _read_slowly(file: str, text: str) -> list[Document] | None:
    """Return the documents of a small file as YAML 1.2 reads them, or None where it cannot.

    The C parser is of YAML 1.1: it refuses `{at: 12:30}` and `{url: https://x}`.
    """
    if len(text) > _MAX_SLOW:
        return None
    reader = _Reader(file, text)
    try:
        reader.read(events.pure_events(text))
    except _Stop:
        pass
    except (YAMLError, ValueError):
        return None
    return reader.documents


def _place(content: bytes, offset: int) -> Mark:
    line_start = content.rfind(b"\n", 0, offset) + 1
    before = content[line_start:offset].decode(errors="replace")
    return content.count(b"\n", 0, offset) + 1, len(before) + 1


def path_text(path: Path) -> str:
    """Return a path as people write it: `spec.scope.resources[0].verbs[1]`."""
    text = ""
    for part in path:
        name = f"[{part}]" if isinstance(part, int) else printable(part)
        text += name if isinstance(part, int) or not text else f".{name}"
    return text


class _Reader:
    def __init__(self, file: str, text: str = "") -> None:
        self._file = file
        self.text = text
        self.documents: list[Document] = []
        self._document = Document(file)
        self._next: Callable[[], Any]

    def read(self, next_event: Callable[[], Any]) -> None:
        self._next = next_event
        while not isinstance(event := self._next(), events.StreamEndEvent):
            if isinstance(event, events.DocumentStartEvent):
                self._document = Document(self._file, text=self.text)
                first = self._next()
                value = self._node(first, (), 1)
                if is_empty(first) and not self._document.problems:
                    continue
                self._document.value = value
                self.documents.append(self._document)

    def refuse(self, at: Mark, code: str, message: str, hint: str, path: Path = ()) -> None:
        if not any(each is self._document for each in self.documents[-1:]):
            self.documents.append(self._document)
            self._document.broken.add(())
        problem = Problem(self._file, *at, code, path_text(path), message, hint)
        self._document.problems.append(problem)

    def _stop(self, at: Mark, code: str, message: str, hint: str, path: Path) -> NoReturn:
        self.refuse(at, code, message, hint, path)
        self._document.broken.add(())
        raise _Stop

    def _node(self, event: Any, path: Path, depth: int) -> Any:
        mark = (event.start_mark.line + 1, event.start_mark.column + 1)
        self._document.values[path] = mark
        if isinstance(event, events.AliasEvent):
            self._document.broken.add(path)
            self._note(mark, "yaml.alias", "aliases are not allowed", path)
            return None
        if event.anchor is not None:
            self._note(mark, "yaml.anchor", "anchors are not allowed", path)
        if event.tag is not None:
            self._document.broken.add(path)
            self._note(mark, "yaml.tag", f"the tag {printable(event.tag)} is not allowed", path)
        if isinstance(event, events.ScalarEvent):
            return resolve(event.value) if event.implicit[0] else event.value
        if depth > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH}"
            self._stop(mark, "yaml.depth", message, "a manifest is far flatter", path)
        if isinstance(event, events.SequenceStartEvent):
            return self._sequence(path, depth)
        assert isinstance(event, events.MappingStartEvent)
        return self._mapping(path, depth)

    def _sequence(self, path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), events.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self._next(), events.MappingEndEvent):
            mark = (event.start_mark.line + 1, event.start_mark.column + 1)
            if not isinstance(event, events.ScalarEvent):
                self._stop(mark, "yaml.key", "a key must be text", "write key: value", path)
            key, at = event.value, (*path, event.value)
            if event.anchor is not None or event.tag is not None:
                self._note(mark, "yaml.anchor", "anchors and tags are not allowed", at)
            doubled = key in values
            cached = self._document.values.get(at)
            value = self._node(self._next(), at, depth + 1)
            if doubled:
                self._note(mark, "yaml.duplicate_key", f"the key {shown(key)} is duplicated", at)
                assert cached is not None
                self._document.values[at] = cached
                self._document.broken.add(at)
            else:
                values[key] = value
                self._document.keys[at] = mark
        return values

    def _note(self, at: Mark, code: str, message: str, path: Path) -> None:
        hints = {
            "yaml.alias": "write the value out",
            "yaml.anchor": "remove it",
            "yaml.tag": "remove it, and quote the value where it is text",
            "yaml.duplicate_key": "keep one of them",
        }
        problem = Problem(self._file, *at, code, path_text(path), message, hints[code])
        self._document.problems.append(problem)


def is_empty(event: object) -> bool:
    """Tell whether a document that begins with this event has nothing in it."""
    return isinstance(event, events.ScalarEvent) and event.implicit[0] and not event.value


def resolve(text: str) -> Any:
    """Return the value of a plain scalar; what is not plainly a JSON value is text.

    `no`, `off`, `0777` and `12:30:45` are text, as YAML 1.2 has it.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _BEGIN_NUMBERS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
