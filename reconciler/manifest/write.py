"""Manifests as text, and as new files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML

from reconciler.core.spec import DEFAULT_LIFETIME, GrantSpec, Kind, PeerSpec, Spec
from reconciler.core.times import format_duration, rfc3339
from reconciler.errors import Refused
from reconciler.files import write_new
from reconciler.manifest.models import API_VERSION

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_LINE: Final = "# yaml-language-server: $schema={folder}/{kind}.schema.json\n"


def manifest_text(name: str, spec: Spec, schemas: str = "../schemas") -> str:
    """Return the manifest that declares `spec`, with defaults left out."""
    kind = Kind.PEER if isinstance(spec, PeerSpec) else Kind.GRANT
    metadata: dict[str, Any] = {"name": name}
    if isinstance(spec, PeerSpec) and spec.labels:
        metadata["labels"] = dict(spec.labels)
    document = {
        "apiVersion": API_VERSION,
        "kind": str(kind),
        "metadata": metadata,
        "spec": spec_document(spec),
    }
    return SCHEMA_LINE.format(folder=schemas, kind=str(kind).lower()) + yaml_text(document)


def spec_document(spec: Spec) -> dict[str, Any]:
    """Return the `spec` of a manifest as plain values, with defaults left out."""
    return _peer(spec) if isinstance(spec, PeerSpec) else _grant(spec)


def yaml_text(document: object) -> str:
    """Return a document of plain values as YAML, in block style."""
    yaml = YAML(typ="rt", pure=True)
    yaml.version = None
    yaml.default_flow_style = False
    yaml.width = 4096  # a line is not broken inside a value
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def write_manifest(path: Path, text: str) -> None:
    """Write a file that does not exist yet, in a folder that is made where it is missing.

    Raises:
        Refused: `name_taken`: the file exists. Nothing is overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
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
