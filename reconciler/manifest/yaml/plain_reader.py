"""The values of a file that the reader would refuse nothing of, without the place of each.

Places are for problems, which few files have, and take longer than all else that the reader does.
Whatever is not plainly right is left to the reader, which decides, and says where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml.error import YAMLError

from reconciler.manifest.yaml import events
from reconciler.manifest.yaml.reader import MAX_DEPTH, Document, is_empty, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.manifest.yaml.reader import Mark, Path

NAME: Final = ("metadata", "name")
_NAME_DEPTH: Final = len(NAME)


class _Unusual(Exception):
    pass


def read_plain_documents(file: str, content: bytes) -> list[Document]:
    """Return the documents of a file with the place of their `NAME` alone; none if in doubt."""
    try:
        # the codec `utf-8-sig` takes 30 times as long
        text = content.decode().removeprefix("\ufeff")
        return list(_PlainReader(events.c_events(text)).documents(file, text))
    except (UnicodeDecodeError, YAMLError, _Unusual):
        return []


class _PlainReader:
    __slots__ = ("_name_mark", "_next")

    def __init__(self, next_event: Callable[[], Any]) -> None:
        self._next = next_event
        self._name_mark: Any = None

    def documents(self, file: str, text: str) -> Iterator[Document]:
        while not isinstance(event := self._next(), events.StreamEndEvent):
            if isinstance(event, events.DocumentStartEvent):
                self._name_mark = None
                first = self._next()
                value = self._value(first, 1)
                if is_empty(first):
                    continue
                mark = self._name_mark
                places: dict[Path, Mark] = {}
                if mark is not None:
                    places[NAME] = (mark.line + 1, mark.column + 1)
                yield Document(file, value, text, places)

    def _value(self, event: Any, depth: int) -> Any:
        kind = type(event)
        if kind is events.AliasEvent or event.anchor is not None or event.tag is not None:
            raise _Unusual
        if kind is events.ScalarEvent:
            return resolve(event.value) if event.implicit[0] else event.value
        if depth > MAX_DEPTH:
            raise _Unusual
        return self._mapping(depth) if kind is events.MappingStartEvent else self._sequence(depth)

    def _sequence(self, depth: int) -> list[Any]:
        items: list[Any] = []
        next_event = self._next
        while type(event := next_event()) is not events.SequenceEndEvent:
            items.append(self._value(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        next_event = self._next
        while type(key_event := next_event()) is not events.MappingEndEvent:
            if type(key_event) is not events.ScalarEvent or key_event.value in values:
                raise _Unusual
            if key_event.anchor is not None or key_event.tag is not None:
                raise _Unusual
            key, event = key_event.value, next_event()
            if depth == _NAME_DEPTH and key == "name":
                self._name_mark = event.start_mark
            values[key] = self._value(event, depth + 1)
        return values
