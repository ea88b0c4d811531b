"""Manifests as text, and as new files."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from reconciler.core.model.spec import DEFAULT_LIFETIME, GrantSpec, PeerSpec, Spec, kind_of
from reconciler.core.model.times import format_duration, rfc3339
from reconciler.errors import Refused
from reconciler.files import make_folder, write_new
from reconciler.manifest.models import API_VERSION

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_LINE: Final = "# yaml-language-server: $schema={folder}/{kind}.schema.json\n"

_PLAIN: Final = re.compile(  # every YAML reads it as that text, in braces too
    r"[A-Za-z](?:[A-Za-z0-9 ._@/-]*[A-Za-z0-9._@/-])?|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z"
)
_URL: Final = re.compile(r"https://[A-Za-z0-9./:_~-]*[A-Za-z0-9/]")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def manifest_text(name: str, spec: Spec, schemas: str = "../schemas") -> str:
    """Return the manifest that declares `spec`, with defaults left out."""
    kind = kind_of(spec)
    metadata: dict[str, Any] = {"name": name}
    if isinstance(spec, PeerSpec) and spec.labels:
        metadata["labels"] = dict(spec.labels)
    document = {
        "apiVersion": API_VERSION,
        "kind": str(kind),
        "metadata": metadata,
        "spec": spec_document(spec),
    }
    return SCHEMA_LINE.format(folder=schemas, kind=kind.lower()) + yaml_text(document)


def spec_document(spec: Spec) -> dict[str, Any]:
    """Return the `spec` of a manifest as plain values, with defaults left out."""
    return _peer(spec) if isinstance(spec, PeerSpec) else _grant(spec)


def yaml_text(document: object) -> str:
    """Return a document of plain values as YAML, in block style; what does not print is escaped."""
    yaml = YAML(typ="rt", pure=True)
    yaml.version = None
    yaml.default_flow_style = False
    yaml.width = 4096  # a line is not broken inside a value
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump(_quoted_to_escape(document), text)
    return _escaped(text.getvalue())


def _quoted_to_escape(value: Any) -> Any:
    """Return a document whose texts stand in double quotes where something in them is escaped."""
    match value:
        case str():
            return value if value.isprintable() else DoubleQuotedScalarString(value)
        case dict():
            return {
                _quoted_to_escape(name): _quoted_to_escape(each) for name, each in value.items()
            }
        case list() | tuple():
            return [_quoted_to_escape(each) for each in value]
        case _:
            return value


def _escaped(text: str) -> str:
    """Return YAML in which what does not print is escaped, as double quotes allow (5.7)."""
    return "".join(
        each if each.isprintable() or each == "\n" else f"\\U{ord(each):08x}" for each in text
    )


def write_manifest(path: Path, text: str) -> None:
    """Write a file that does not exist yet, in a folder that is made where it is missing.

    Raises:
        Refused: `name_taken`: the file exists. Nothing is overwritten.
    """
    make_folder(path.parent)
    if not write_new(path, text.encode()):
        raise Refused(
            "name_taken", f"{path} exists already", hint="edit it, or choose another name"
        )


def _peer(spec: PeerSpec) -> dict[str, Any]:
    declared: dict[str, Any] = {
        "direction": str(spec.direction),
        "displayName": spec.display_name,
    }
    if spec.endpoint is not None:
        declared["endpoint"] = spec.endpoint
    if spec.protect:
        declared["protect"] = True
    return declared


def _grant(spec: GrantSpec) -> dict[str, Any]:
    declared: dict[str, Any] = {
        "peer": spec.peer,
        "subjectUserId": spec.subject_user_id,
        "expiresAt": rfc3339(spec.expires_at),
    }
    if spec.suspended:
        declared["suspended"] = True
    if spec.protect:
        declared["protect"] = True
    declared["scope"] = spec.scope.as_json()
    if spec.lifetime != DEFAULT_LIFETIME:
        declared["certificate"] = {"lifetime": format_duration(spec.lifetime)}
    return declared


def plain_word(value: object) -> str:
    """Return a scalar as the text that it is, without quotes."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def scalar_text(value: object, style: str, before: str) -> str:
    """Return a scalar as YAML in one line, in the style of the one that it replaces."""
    text = plain_word(value)
    if not isinstance(value, str):
        return text
    if style == "'" and text.isprintable():
        doubled = text.replace("'", "''")
        return f"'{doubled}'"
    if not style and before.startswith("https://") and _URL.fullmatch(text):
        return text
    return _quoted(text) if style == '"' else flow_text(text)


def flow_text(value: object) -> str:
    """Return a plain value as YAML in one line, which may stand in braces."""
    match value:
        case dict():
            inner = (f"{flow_text(name)}: {flow_text(each)}" for name, each in value.items())
            return f"{{{', '.join(inner)}}}"
        case list():
            return f"[{', '.join(map(flow_text, value))}]"
        case str() if not _PLAIN.fullmatch(value) or value.lower() in _WORDS:
            return _quoted(value)
        case _:
            return plain_word(value)


def _quoted(text: str) -> str:
    """Return text in double quotes: JSON's are YAML's (YAML 1.2 1.3)."""
    return _escaped(json.dumps(text, ensure_ascii=False))
