"""Manifests edited as text: nothing but the values that change is written again.

An edit replaces, inserts or deletes the text of one value at a time, at the places that `syntax`
gives, until the text declares what was asked for. Comments and blank lines are never deleted, and
every other byte is as it was. The result is read back: it must declare that, and everything else as
before, with the same comments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.spec import DEFAULT_LIFETIME, GrantSpec, Identity, Kind, PeerSpec, Spec
from reconciler.core.model.times import format_duration
from reconciler.errors import InvalidManifests, Refused
from reconciler.manifest.load import FILE, Specs, specs_of
from reconciler.manifest.splice import deleted_entry, deleted_item, inserted, replaced
from reconciler.manifest.write import flow_text, plain_word, scalar_text, spec_document
from reconciler.manifest.yaml.reader import read_documents
from reconciler.manifest.yaml.syntax import Mapping, Node, Scalar, Sequence, Syntax, parse_syntax

if TYPE_CHECKING:
    from collections.abc import Iterable

_DEFAULTS: Final[dict[str, object]] = {
    "suspended": False,
    "protect": False,
    "personal": True,
    "certificate": {},
    "lifetime": format_duration(DEFAULT_LIFETIME),
}
_ORDER: Final = (  # of the keys, as manifests are written
    *("name", "labels"),
    *("direction", "displayName", "endpoint"),
    *("peer", "subjectUserId", "expiresAt", "suspended", "protect", "scope", "certificate"),
    *("type", "verbs", "filter", "resources", "maxRowsPerQuery", "teams", "personal", "lifetime"),
)
_MOST_STEPS: Final = 5_000  # of one edit: more than values can differ


def edited(text: str, kind: Kind, name: str, spec: Spec, file: str = FILE) -> str:
    """Return `text` with the document of a manifest declaring `spec`; `file` names it in an error.

    Raises:
        Refused: `name_unknown`: no document declares it; `state_conflict`: it cannot be edited.
        InvalidManifests: `text` is no valid file of manifests.
    """
    before = specs_of(text, file)
    if (kind, name) not in before:
        raise Refused(
            "name_unknown",
            f"{file} does not declare {kind.subject(name)}",
            hint="it may have been moved since; `mosaic federation apply` records where it is",
        )
    change = _Change((kind, name), (kind, name), before[kind, name], spec)
    return _changed(file, text, [change], before | {(kind, name): spec})


def renamed(text: str, kind: Kind, old: str, new: str, file: str = FILE) -> str:
    """Return `text` with a manifest, and what refers to it there, under another name.

    Text that has neither is returned as it is. A peer whose `displayName` was its name keeps it.

    Raises:
        Refused: `state_conflict`: it cannot be edited.
        InvalidManifests: `text` is no valid file of manifests.
    """
    changes: list[_Change] = []
    after: Specs = {}
    for key, spec in specs_of(text, file).items():
        wanted_key, wanted = key, spec
        if key == (kind, old):
            wanted_key = (kind, new)
        elif kind is Kind.PEER and isinstance(spec, GrantSpec) and spec.peer == old:
            wanted = replace(spec, peer=new)
        if (wanted_key, wanted) != (key, spec):
            changes.append(_Change(key, wanted_key, spec, wanted))
        after[wanted_key] = wanted
    return _changed(file, text, changes, after) if changes else text


@dataclass(frozen=True, slots=True)
class _Change:
    """What a manifest is called and declares, and what it is to be called and to declare."""

    old_key: Identity
    new_key: Identity
    old: Spec
    new: Spec


def _changed(file: str, text: str, changes: Iterable[_Change], after: Specs) -> str:
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    before = made = text.removeprefix(mark)
    line = 1
    for change in changes:
        try:
            index = _index(file, made, change.old_key)
            line = _line(made, index)
            made = _converged(made, index, change)
        except ValueError as error:
            raise _refused(file, line, str(error)) from None
    try:
        same = specs_of(made, file) == after
    except InvalidManifests as error:
        raise _refused(file, line, f"it would be invalid: {error.problems[0]}") from None
    if not same:
        raise _refused(file, line, "it would declare something else")
    if parse_syntax(before).comments() != parse_syntax(made).comments():
        raise _refused(file, line, "a comment would be lost")
    return mark + made


def _refused(file: str, line: int, why: str) -> Refused:
    return Refused(
        "state_conflict",
        f"{file}:{line}: cannot be edited: {why}",
        hint="edit it by hand; nothing was changed",
    )


def _index(file: str, text: str, key: Identity) -> int:
    """Return which document of a text declares a manifest."""
    for index, document in enumerate(read_documents(file, text.encode())):
        value = document.value
        if (value["kind"], value["metadata"]["name"]) == key:
            return index
    raise ValueError("no document declares it")


def _line(text: str, index: int) -> int:
    syntax = parse_syntax(text)
    return syntax.line(syntax.roots[index].start)


def _converged(text: str, index: int, change: _Change) -> str:
    """Return the text once no value of the document differs from what is wanted."""
    for _ in range(_MOST_STEPS):
        syntax = parse_syntax(text)
        root = syntax.roots[index]
        assert isinstance(root, Mapping)
        made = _step(syntax, root, change)
        if made is None:
            return text
        text = made
    raise ValueError("the edit does not end")


def _step(syntax: Syntax, root: Mapping, change: _Change) -> str | None:
    """Return the text with one difference less, None where there is none."""
    metadata, spec = root.get("metadata"), root.get("spec")
    assert isinstance(metadata, Mapping)
    assert isinstance(spec, Mapping)
    name = metadata.get("name")
    assert isinstance(name, Scalar)
    if name.value != change.new_key[1]:
        return replaced(syntax, name, scalar_text(change.new_key[1], name.style, name.value))
    if isinstance(change.old, PeerSpec) and isinstance(change.new, PeerSpec):
        labels = [dict(each.labels) for each in (change.old, change.new)]
        have, want = ({"labels": each} if each else {} for each in labels)
        made = _merge(syntax, metadata, have, want, {})
        if made is not None:
            return made
    have, want = spec_document(change.old), spec_document(change.new)
    if change.old_key != change.new_key and spec.get("displayName") is None:
        have.pop("displayName", None)  # it was the name
    return _merge(syntax, spec, have, want)


def _merge(
    syntax: Syntax,
    node: Mapping,
    have: dict[str, Any],
    want: dict[str, Any],
    defaults: dict[str, object] = _DEFAULTS,
) -> str | None:
    """Make a mapping say what is wanted, one step; what is equal already stays as it is written.

    A key that is not wanted is set to its default where it has one, so that what is noted at it
    keeps its place; else it goes.
    """
    for name in have | want:
        if have.get(name) == want.get(name):
            continue
        old, wanted = node.get(name), want.get(name, defaults.get(name))
        if old is None and name in want:
            new = f"{flow_text(name)}: {flow_text(wanted)}"
            return inserted(syntax, node, new, _predecessor(node, name))
        if old is None:
            continue
        if wanted is None:
            return deleted_entry(syntax, node, name)
        made = _set(syntax, old, have.get(name), wanted, defaults)
        if made is not None:
            return made
    return None


def _predecessor(node: Mapping, name: str) -> int:
    """Return how many entries of a mapping come before a new one."""
    if name not in _ORDER:
        return len(node.entries)
    rank = _ORDER.index(name)
    before = [
        index
        for index, entry in enumerate(node.entries)
        if entry.key.value in _ORDER and _ORDER.index(entry.key.value) < rank
    ]
    return before[-1] + 1 if before else len(node.entries)


def _set(
    syntax: Syntax,
    node: Node,
    have: Any,
    want: Any,
    defaults: dict[str, object],
) -> str | None:
    if isinstance(node, Mapping):
        return _merge(syntax, node, have or {}, want, defaults)
    if isinstance(node, Sequence):
        return _align(syntax, node, have or [], want)
    assert isinstance(node, Scalar)
    wanted = scalar_text(want, node.style, node.value)
    text = syntax.text[node.start : node.end]
    return (
        None if node.value == plain_word(want) or text == wanted else replaced(syntax, node, wanted)
    )


def _align(syntax: Syntax, node: Sequence, have: list[Any], want: list[Any]) -> str | None:
    """Make a sequence hold what is wanted, one step: items are known by their type or text."""
    there = {_identity(item): index for index, item in enumerate(node.items)}
    had, wanted = ({_named(each): each for each in values} for values in (have, want))
    for name, value in wanted.items():
        if name not in there:
            return inserted(syntax, node, flow_text(value), len(node.items))
        item = node.items[there[name]]
        if isinstance(item, Mapping):
            made = _merge(syntax, item, had[name], value) if name in had else None
            if made is not None:
                return made
    gone = [index for name, index in there.items() if name not in wanted]
    return deleted_item(syntax, node, gone[-1]) if gone else None


def _identity(item: Node) -> str:
    kind = item.get("type") if isinstance(item, Mapping) else item
    assert isinstance(kind, Scalar)
    return kind.value


def _named(value: Any) -> str:
    return str(value["type"]) if isinstance(value, dict) else str(value)
