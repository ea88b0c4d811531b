"""The events of a YAML text, by the C parser, which is of YAML 1.1, or by the pure one, of 1.2.

An event of ruamel.yaml is made by three methods of Python, which takes four times as long as the C
parser itself. The parser looks its classes up by name in its own module, so it is given these
instead. Where that has no effect, what it returns is converted.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]  # its only public name
from ruamel.yaml.reader import ReaderError

if TYPE_CHECKING:
    from collections.abc import Callable

# Line breaks of YAML 1.1 (5.4) that are none of 1.2: an editor and a reviewer see what follows one
# as part of its line, of a comment too. And a byte order mark that does not begin the text.
_AMBIGUOUS: Final = re.compile("[\x85\u2028\u2029\ufeff]")


class Event(msgspec.Struct, gc=False):
    """What begins or ends at a place; the fields of each kind are in the order of the parser."""

    start_mark: Any
    end_mark: Any


class StreamStartEvent(Event, gc=False):
    """The text begins."""

    encoding: Any


class StreamEndEvent(Event, gc=False):
    """The text ends."""


class DocumentStartEvent(Event, gc=False):
    """A document begins."""

    explicit: Any
    version: Any
    tags: Any


class DocumentEndEvent(Event, gc=False):
    """A document ends."""

    explicit: Any


class AliasEvent(msgspec.Struct, gc=False):
    """An alias."""

    anchor: Any
    start_mark: Any
    end_mark: Any


class ScalarEvent(msgspec.Struct, gc=False):
    """A scalar; of a plain one the first of `implicit` is true."""

    anchor: Any
    tag: Any
    implicit: Any
    value: Any
    start_mark: Any
    end_mark: Any
    style: Any


class _CollectionStart(msgspec.Struct, gc=False):
    anchor: Any
    tag: Any
    implicit: Any
    start_mark: Any
    end_mark: Any
    flow_style: Any


class SequenceStartEvent(_CollectionStart, gc=False):
    """A sequence begins."""


class SequenceEndEvent(Event, gc=False):
    """A sequence ends."""


class MappingStartEvent(_CollectionStart, gc=False):
    """A mapping begins."""


class MappingEndEvent(Event, gc=False):
    """A mapping ends."""


_CLASSES: Final[dict[str, type[Any]]] = {
    each.__name__: each
    for each in (
        *(StreamStartEvent, StreamEndEvent, DocumentStartEvent, DocumentEndEvent, AliasEvent),
        *(ScalarEvent, SequenceStartEvent, SequenceEndEvent, MappingStartEvent, MappingEndEvent),
    )
}


def c_events(text: str) -> Callable[[], Any]:
    """Return what returns the next event of the C parser.

    Raises:
        YAMLError: at once, or by what is returned.
    """
    if not text.isascii() and (found := _AMBIGUOUS.search(text)) is not None:
        offset = len(text[: found.start()].encode())  # as the C parser counts
        raise ReaderError("", offset, ord(found[0]), "utf-8", "ambiguous")
    next_event: Callable[[], Any] = CParser(text).get_event
    return next_event if _DIRECT else lambda: _converted(next_event())


def pure_events(text: str) -> Callable[[], Any]:
    """Return what returns the next event of the pure parser, which raises as that of the C one."""
    next_event = partial(next, YAML(typ="safe", pure=True).parse(text))
    return lambda: _converted(next_event())


def _converted(event: Any) -> Any:
    kind = _CLASSES[type(event).__name__]
    return kind(*(getattr(event, name, None) for name in kind.__struct_fields__))


def _give_classes() -> bool:
    """Let the C parser make these events; tell whether it does."""
    module = sys.modules.get("_ruamel_yaml")
    for name, kind in _CLASSES.items():
        if hasattr(module, name):
            setattr(module, name, kind)
    next_event = CParser("").get_event
    return all(type(next_event()) is kind for kind in (StreamStartEvent, StreamEndEvent))


_DIRECT: Final = _give_classes()
