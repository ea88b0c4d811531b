"""The JSON Schemas of what a manifest may say, made from the models that judge it."""

from __future__ import annotations

from typing import Any, Final

from reconciler.manifest.models import GrantManifest, Model, PeerManifest, ScopeModel

SCHEMAS_URL: Final = "https://federation.mosaicstack.dev/schemas/v1"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

MODELS: Final[dict[str, type[Model]]] = {
    "peer": PeerManifest,
    "grant": GrantManifest,
    "scope": ScopeModel,
}


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `peer`, `grant` or `scope`."""
    schema = MODELS[kind].model_json_schema(by_alias=True)
    return {
        "$schema": DIALECT,
        "$id": f"{SCHEMAS_URL}/{kind}.schema.json",
        **schema,
    }
