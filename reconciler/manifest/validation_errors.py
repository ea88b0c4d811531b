"""What a model refused, as problems: stable codes, places, and what to write instead."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ValidationError

from reconciler.core.model.scope import MAX_ROWS_LIMIT, NEVER_GRANTABLE, RESOURCE_TYPES
from reconciler.core.model.text import MAX_SHOWN, printable, shown
from reconciler.core.spelling import nearest
from reconciler.errors import Problem
from reconciler.manifest.patterns import PATTERN_MEANINGS
from reconciler.manifest.yaml.reader import Path, path_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pydantic_core import ErrorDetails

    from reconciler.manifest.yaml.reader import Document

_EXPECTED: Final = {
    "string_type": "text",
    "bool_type": "a boolean (true or false)",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_LIMITS: Final = {"maxRowsPerQuery": MAX_ROWS_LIMIT, "widening": 100, "quorum": 100}
_FORMS: Final = {  # of what would be no better in quotes
    "expiresAt": "write a time such as 2027-06-30T00:00:00Z",
    "lifetime": "write a duration such as 24h, or remove the key",
    "endpoint": "write a URL such as https://gateway.beta.example",
}
_UNQUOTED: Final = {
    "bool_type": "write true or false, without quotes",
    "int_type": "write decimal digits, without quotes",
}


def explain(
    error: ValidationError, model: type[BaseModel], document: Document
) -> Iterator[Problem]:
    """Yield a problem for each thing that a model refused, but below places that are broken."""
    for details in error.errors(include_url=False):
        path: Path = tuple(details["loc"])
        if any(path[:end] in document.broken for end in range(len(path) + 1)):
            continue
        yield _explain_one(details, path, model, document)


def _explain_one(
    details: ErrorDetails, path: Path, model: type[BaseModel], document: Document
) -> Problem:
    kind, got = details["type"], details["input"]
    if got is None or isinstance(got, bool | int | float):
        got = Written(document.written(path), got)
    mark = document.mark(path)
    if path[-1:] == ("[key]",):  # pydantic's name for a key that is refused
        path = path[:-1]
        mark = document.keys.get(path, mark)
    code, message, hint = "field.value", details["msg"], ""
    if kind == "missing":
        code, mark = "field.missing", document.mark(path[:-1])
        message, hint = f'"{path[-1]}" is required', "add it"
    elif kind == "extra_forbidden":
        code, mark = "field.unknown", document.keys.get(path, mark)
        message = f"{shown(path[-1])} is not known here"
        hint = suggestion(str(path[-1]), _known_keys(model, path[:-1]))
    elif kind in _EXPECTED:
        code = "field.type"
        message, hint = _wrong_type(kind, got, "".join(map(str, path[-1:])))
    elif kind == "literal_error":
        code, message, hint = _not_one_of(path, got, details)
    elif kind == "string_pattern_mismatch":
        meaning = PATTERN_MEANINGS[details["ctx"]["pattern"]]
        message = f"{shown(got)} is not {meaning}"
        code = "name.invalid" if path[-1:] == ("name",) else "field.value"
    elif kind in ("greater_than_equal", "less_than_equal"):
        limit = _LIMITS[str(path[-1])]
        message, hint = f"got {got}, expected 1 to {limit:,}", "write a number within"
    elif kind in ("too_short", "too_long"):
        bound = details["ctx"].get("min_length", details["ctx"].get("max_length"))
        word = "at least" if kind == "too_short" else "at most"
        message = f"got {len(details['input'])} items, expected {word} {bound}"
    return Problem(document.file, *mark, code, path_text(path), message, hint)


@dataclass(frozen=True, slots=True)
class Written:
    """A null, boolean or number, and how it stands in the file: `1.10`, not `1.1`."""

    text: str
    value: float | None

    def __str__(self) -> str:
        return printable(self.text)


def _wrong_type(kind: str, got: object, name: str) -> tuple[str, str]:
    expected = _EXPECTED[kind]
    match got:
        case Written(text="" | "~"):
            return f"got nothing, expected {expected}", "write a value, or remove the key"
        case Written(value=None) if kind == "string_type":
            hint = _FORMS.get(name, f'quote it: "{got.text}", or remove the key')
            return f"{got} is null, and text belongs here", hint
        case Written(value=None):
            return f"{got} is null, expected {expected}", "write a value, or remove the key"
        case Written() if kind == "string_type":
            named = named_type(got.value)
            hint = _FORMS.get(name, f'quote it: "{got.text}"')
            return f"{got} is {named}, and text belongs here", hint
        case Written(value=float()) if kind == "int_type":
            hint = "write decimal digits, without a point or an exponent"
            return f"got {got}, expected {expected}", hint
        case Written():
            return f"got {named_type(got.value)}, expected {expected}", ""
        case str() if kind in _UNQUOTED:
            return f"{shown(got)} is text in YAML 1.2, expected {expected}", _UNQUOTED[kind]
        case _:
            return f"got {named_type(got)}, expected {expected}", ""


def named_type(value: object) -> str:
    """Return what people call the type of a YAML value."""
    names = {
        dict: "a mapping",
        list: "a list",
        bool: "a boolean",
        str: "text",
        type(None): "nothing",
    }
    return names.get(type(value), "a number")


def _not_one_of(path: Path, got: object, details: ErrorDetails) -> tuple[str, str, str]:
    names = [name for name in path if isinstance(name, str)]
    if names[-1:] == ["type"] and "resources" in names:
        known = [str(each) for each in RESOURCE_TYPES]
        if isinstance(got, dict | list):
            return "scope.type", f"got {named_type(got)}, expected one of {', '.join(known)}", ""
        if got in NEVER_GRANTABLE:
            return (
                "scope.never_grantable",
                f"{shown(got)} can never be granted",
                "remove it; the types that can be granted are " + ", ".join(known),
            )
        message = f"{shown(got)} is not one of {', '.join(known)}"
        return "scope.type", message, suggestion(str(got), known)
    known = [
        part.strip("'") for part in details["ctx"]["expected"].replace(" or ", ", ").split(", ")
    ]
    code = "scope.verb" if "verbs" in names else "field.value"
    if isinstance(got, dict | list):
        return code, f"got {named_type(got)}, expected one of {', '.join(known)}", ""
    return code, f"{shown(got)} is not one of {', '.join(known)}", suggestion(str(got), known)


def suggestion(word: str, known: Collection[str]) -> str:
    """Return `did you mean "x"?` for the nearest known word, or nothing."""
    close = nearest(word, known, cutoff=0.5) if len(word) <= MAX_SHOWN else ""
    return f'did you mean "{close}"?' if close else ""


def _known_keys(model: type[BaseModel], path: Path) -> list[str]:
    """Return the keys that the model has at `path`."""
    at: Any = model
    for part in path:
        if isinstance(part, int):
            continue
        fields = {info.alias or name: info.annotation for name, info in at.model_fields.items()}
        at = _model_in(fields.get(str(part)))
        if at is None:
            return []
    return [info.alias or name for name, info in at.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if typing.get_origin(annotation) is None and isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)
