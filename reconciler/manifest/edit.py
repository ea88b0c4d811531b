"""Manifests edited as text: what a person wrote around them, comments and order, stays.

Only the documents that change are written anew, and in them only the values that differ. Every edit
is read back: it must declare what was asked for, and everything else as before.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from reconciler.core.spec import DEFAULT_LIFETIME, GrantSpec, Kind, PeerSpec, Spec
from reconciler.core.times import format_duration
from reconciler.errors import Refused
from reconciler.manifest.documents import comments, content_of, specs_of, split_documents
from reconciler.manifest.write import spec_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.manifest.documents import Key, Specs

_SEQUENCE: Final = re.compile(r"^( *)[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\n( *)- ", re.MULTILINE)
_MAPPING: Final = re.compile(r"^[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\n( +)[^\s#-]", re.MULTILINE)


def edited(text: str, kind: Kind, name: str, spec: Spec) -> str:
    """Return `text` with the document of a manifest declaring `spec`.

    Raises:
        Refused: `name_unknown`: no document declares it; `state_conflict`: it cannot be edited.
        InvalidManifests: `text` is no valid file of manifests.
    """
    before = specs_of(text)
    if (kind, name) not in before:
        raise _unknown(kind, name)

    def change(document: CommentedMap) -> None:
        _merge(document["spec"], spec_document(spec))
        if isinstance(spec, PeerSpec):
            _label(document["metadata"], dict(spec.labels))

    return _changed(text, {(kind, name): change}, before | {(kind, name): spec})


def renamed(text: str, kind: Kind, old: str, new: str) -> str:
    """Return `text` with a manifest, and what refers to it there, under another name.

    Text that has neither is returned as it is.

    Raises:
        Refused: `state_conflict`: it cannot be edited.
        InvalidManifests: `text` is no valid file of manifests.
    """
    changes: dict[Key, Callable[[CommentedMap], None]] = {}
    after: Specs = {}
    for (its_kind, name), spec in specs_of(text).items():
        key, wanted = (its_kind, name), spec
        if key == (kind, old):
            changes[key] = lambda document: _set(document["metadata"], "name", new)
            key = (its_kind, new)
        elif kind is Kind.PEER and isinstance(spec, GrantSpec) and spec.peer == old:
            changes[key] = lambda document: _set(document["spec"], "peer", new)
            wanted = replace(spec, peer=new)
        after[key] = wanted
    if not changes:
        return text
    made = _changed(text, changes, after)
    if comments(text) - comments(made):
        raise _uneditable("a comment less")
    return made


def removed(text: str, kind: Kind, name: str) -> str | None:
    """Return `text` without a manifest; None where nothing would be left of it.

    Raises:
        Refused: `name_unknown`. InvalidManifests: `text` is no valid file of manifests.
    """
    before = specs_of(text)
    if (kind, name) not in before:
        raise _unknown(kind, name)
    if len(before) == 1:
        return None
    documents = split_documents(text)
    # what stands at the top of a file is about all of it
    first, *rest = (each for each in documents if each.key != (kind, name))
    others = "".join(f"{each.before}{each.text}" for each in rest)
    made = f"{documents[0].before}{first.text}{others}"
    return _checked(made, {key: spec for key, spec in before.items() if key != (kind, name)})


def _changed(text: str, changes: dict[Key, Callable[[CommentedMap], None]], after: Specs) -> str:
    crlf = 0 < text.count("\n") == text.count("\r\n")
    parts = []
    for document in split_documents(text.replace("\r\n", "\n") if crlf else text):
        change = changes.get(document.key) if document.key is not None else None
        made = document.text if change is None else _rewritten(document.text, change)
        parts.append(f"{document.before}{made}")
    joined = "".join(parts)
    return _checked(joined.replace("\n", "\r\n") if crlf else joined, after)


def _checked(text: str, after: Specs) -> str:
    if specs_of(text) != after:
        raise _uneditable("another thing")
    return text


def _uneditable(what: str) -> Refused:
    return Refused(
        "state_conflict",
        f"the manifest cannot be edited without saying {what}",
        hint="edit it by hand",
    )


class _Verbatim(VersionedResolver):
    """Every plain scalar is text, so that what is not touched is written as it was read."""

    @property
    def versioned_resolver(self) -> dict[str, Any]:
        """Resolve nothing."""
        return {}


def _rewritten(text: str, change: Callable[[CommentedMap], None]) -> str:
    made = rewritten(text, change, mapping=_mapping(text), offset=_offset(text))
    trailing = text[len(text.rstrip("\n")) :]
    return made.rstrip("\n") + (trailing or "\n")


def rewritten(
    text: str, change: Callable[[CommentedMap], None], *, mapping: int, offset: int
) -> str:
    """Return one document's text after `change`, indented so; every other scalar is as it was.

    What stands before and after its content is kept as it is: ruamel drops some of it.

    Raises:
        Refused: `state_conflict`: ruamel cannot read what the C parser could.
    """
    start, end = content_of(text)
    yaml = YAML(typ="rt", pure=True)
    yaml.Resolver = _Verbatim
    yaml.preserve_quotes = True
    yaml.width = 4096  # a line is not broken inside a value
    yaml.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    out = io.StringIO()
    try:
        document = yaml.load(text[start:end])
        change(document)
        yaml.dump(document, out)
    except YAMLError as error:
        what = str(getattr(error, "problem", None) or type(error).__name__)
        raise Refused(
            "state_conflict",
            f"the manifest cannot be edited with its comments kept: {what}",
            hint="edit it by hand; a tab before a comment is one reason",
        ) from None
    return f"{text[:start]}{out.getvalue()}{text[end:]}"


def _offset(text: str) -> int:
    """Return how far the dashes of sequences are indented in a text."""
    found = _SEQUENCE.search(text)
    return max(len(found[2]) - len(found[1]), 0) if found else 2


def _mapping(text: str) -> int:
    found = _MAPPING.search(text)
    return len(found[1]) if found else 2


def _merge(node: CommentedMap, wanted: dict[str, Any]) -> None:
    """Make a mapping say what is wanted; what says so already stays as it is written."""
    for name in [name for name in node if name not in wanted]:
        if not _is_default(name, node[name]):
            del node[name]
    for name, value in wanted.items():
        _set(node, name, value)


def _is_default(name: str, value: object) -> bool:
    if name == "certificate" and isinstance(value, CommentedMap):
        return str(value.get("lifetime")) == format_duration(DEFAULT_LIFETIME)
    return (name, str(value)) in {("suspended", "false"), ("protect", "false")}


def _set(node: CommentedMap, name: str, value: object) -> None:
    old = node.get(name)
    if isinstance(old, CommentedMap) and isinstance(value, dict):
        _merge(old, value)
    elif isinstance(old, CommentedSeq) and isinstance(value, list):
        _align(old, value)
    elif name not in node or str(old) != str(_plain(value)):
        node[name] = _plain(value)


def _align(node: CommentedSeq, wanted: list[Any]) -> None:
    """Make a sequence hold what is wanted, where each entry is known by its type, or by itself."""
    if not any(isinstance(each, dict) for each in (*node, *wanted)):
        if sorted(map(str, node)) != sorted(str(_plain(each)) for each in wanted):
            node[:] = [_plain(each) for each in wanted]
        return
    by_type = {str(each["type"]): each for each in wanted}
    for index in reversed(range(len(node))):
        if str(node[index]["type"]) not in by_type:
            del node[index]
    there = {str(each["type"]): each for each in node}
    for name, value in by_type.items():
        if name in there:
            _merge(there[name], value)
        else:
            node.append(_plain(value))


def _label(metadata: CommentedMap, labels: dict[str, str]) -> None:
    if labels:
        _set(metadata, "labels", labels)
    else:
        metadata.pop("labels", None)


def _plain(value: object) -> object:
    """Return a value as nodes whose scalars are text; what would read as another type is quoted."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return CommentedMap({name: _plain(each) for name, each in value.items()})
        case list():
            made = CommentedSeq(_plain(each) for each in value)
            made.fa.set_flow_style()
            return made
        case str():
            parsed = YAML(typ="safe", pure=True).load(value) if value.strip() else None
            looks_like_text = isinstance(parsed, str) and parsed == value
            is_time = re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value) is not None
            return value if looks_like_text or is_time else DoubleQuotedScalarString(value)
        case _:
            return str(value)


def _unknown(kind: Kind, name: str) -> Refused:
    return Refused(
        "name_unknown",
        f"the file does not declare {kind.lower()}/{name}",
        hint="it may have been moved since: `mosaic federation apply` keeps the books",
    )
