"""The text of a file with one value replaced, inserted or deleted; every comment stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.manifest.yaml.reader import BREAK
from reconciler.manifest.yaml.syntax import Mapping, Scalar, Sequence

if TYPE_CHECKING:
    from reconciler.manifest.yaml.syntax import Syntax, SyntaxToken

Collection = Mapping | Sequence
Cut = tuple[int, int]


def replaced(syntax: Syntax, node: Scalar, new: str) -> str:
    """Return the text with another scalar, in one line; what is noted at a `|` stays behind it."""
    text, start, end = syntax.text, node.start, node.end
    first = syntax.index(start)
    notes = [
        f" {text[token.start : token.end]}"
        for token in syntax.tokens[first : syntax.index(end)]
        if token.kind == "comment"
    ]
    space = " " if start == end and not text[start - 1].isspace() else ""
    return f"{text[:start]}{space}{new}{''.join(notes)}{text[end:]}"


def inserted(syntax: Syntax, node: Collection, new: str, index: int) -> str:
    """Return the text with another member, after the first `index` ones."""
    text, members = syntax.text, _members(node)
    if not members:
        at = node.start + 1
        space = " " if text[at : at + 1] == "#" else ""
        return f"{text[:at]}{new}{space}{text[at:]}"
    _, end = members[index - 1]
    if node.flow:
        return f"{text[:end]}, {new}{text[end:]}"
    at = syntax.line_end(end)
    match = BREAK.search(text, at) or BREAK.search(text)
    newline = match[0] if match is not None else "\n"
    indent = " " * syntax.column(members[0][0])
    dash = "- " if isinstance(node, Sequence) else ""
    return f"{text[:at]}{newline}{indent}{dash}{new}{text[at:]}"


def deleted_entry(syntax: Syntax, node: Mapping, name: str) -> str:
    """Return the text without the entry of a key."""
    keys = [each.key.value for each in node.entries]
    return _deleted(syntax, node, keys.index(name))


def deleted_item(syntax: Syntax, node: Sequence, index: int) -> str:
    """Return the text without an item; of its last one, brackets stay."""
    return _deleted(syntax, node, index)


def _members(node: Collection) -> list[Cut]:
    """Return where each member begins and ends."""
    if isinstance(node, Mapping):
        return [(each.start, max(each.key.end, each.value.end)) for each in node.entries]
    return [
        (start, max(start + (not node.flow), item.end))
        for start, item in zip(node.starts, node.items, strict=True)
    ]


def _deleted(syntax: Syntax, node: Collection, index: int) -> str:
    members = _members(node)
    start, end = members[index]
    if node.flow:
        return _without(syntax, _with_comma(syntax, start, end))
    if len(members) > 1:
        return _without(syntax, [(start, end)])
    before = _neighbour(syntax, start, -1)
    if before is None or before.kind not in (":", "-"):
        raise ValueError("nothing would be left of it")
    empty = " []" if isinstance(node, Sequence) else " {}"
    text = _without(syntax, [(start, end)])
    return f"{text[: before.end]}{empty}{text[before.end :]}"


def _with_comma(syntax: Syntax, start: int, end: int) -> list[Cut]:
    """Return what to cut with a member in braces or brackets: one comma too."""
    after, before = _neighbour(syntax, end, 1), _neighbour(syntax, start, -1)
    if after is not None and after.kind == ",":
        stop = after.end
        while syntax.text[stop : stop + 1] in (" ", "\t"):
            stop += 1
        if syntax.text[stop : stop + 1] in ("", "#", "\n", "\r"):
            stop = after.end
        return _joined(syntax, (start, end), (after.start, stop))
    if before is not None and before.kind == ",":
        return _joined(syntax, (before.start, before.end), (start, end))
    return [(start, end)]


def _joined(syntax: Syntax, one: Cut, other: Cut) -> list[Cut]:
    """Return two cuts, as one where nothing but space of a line is between them."""
    between = syntax.text[one[1] : other[0]]
    return [(one[0], other[1])] if not between.strip(" \t") else [one, other]


def _neighbour(syntax: Syntax, at: int, step: int) -> SyntaxToken | None:
    """Return the next token that is no comment: from a place on (1), or before it (-1)."""
    index = syntax.index(at) - (step < 0)
    while 0 <= index < len(syntax.tokens):
        if syntax.tokens[index].kind != "comment":
            return syntax.tokens[index]
        index += step
    return None


def _without(syntax: Syntax, cuts: list[Cut]) -> str:
    """Return the text without these places, but with the comments in them.

    A line of which nothing is left goes with its break; a comment that is left alone is indented
    as its line was.
    """
    text = syntax.text
    first, last = syntax.line_start(cuts[0][0]), syntax.line_end(cuts[-1][1])
    comments = [
        (token.start, token.end)
        for token in syntax.tokens[syntax.index(first) : syntax.index(last)]
        if token.kind == "comment"
    ]
    lines: list[str] = []
    at = first
    while at <= last:
        end = syntax.line_end(at)
        broken = BREAK.match(text, end)
        stop = broken.end() if broken is not None else end
        line = text[at:end]
        rest = _rest(text, at, end, cuts, comments)
        if rest == line or not line.strip():
            lines.append(text[at:stop])
        elif rest.strip():
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f"{indent}{rest.strip()}{text[end:stop]}")
        at = stop if stop > end else last + 1
    return f"{text[:first]}{''.join(lines)}{text[min(at, len(text)) :]}"


def _rest(text: str, start: int, end: int, cuts: list[Cut], comments: list[Cut]) -> str:
    """Return what is left of a line; without space before a comment that is all of it."""
    pieces: list[str] = []
    at = start
    note = next((text[low:high] for low, high in comments if start <= low < end), "")
    stop = end - len(note)
    for low, high in cuts:
        if high > start and low < stop:
            pieces.append(text[at : max(low, at)])
            at = min(max(high, at), stop)
    pieces.append(text[at:stop])
    left = "".join(pieces)
    if note and not left.strip():
        return note
    return f"{left}{' ' if note and not left[-1:].isspace() else ''}{note}"
