"""The JSON Schemas of what a manifest may say, made from the models; and of a plan."""

from __future__ import annotations

from typing import Any, Final

from reconciler.core.plan.json import plan_schema
from reconciler.manifest.models import GrantManifest, Model, PeerManifest, ScopeModel
from reconciler.manifest.trust import TrustRules

SCHEMAS_URL: Final = "https://federation.mosaicstack.dev/schemas/v1"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

MODELS: Final[dict[str, type[Model]]] = {
    "peer": PeerManifest,
    "grant": GrantManifest,
    "scope": ScopeModel,
    "trust": TrustRules,
}


KINDS: Final = (*MODELS, "plan")


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one of `KINDS`."""
    schema = plan_schema() if kind == "plan" else MODELS[kind].model_json_schema(by_alias=True)
    return {
        "$schema": DIALECT,
        "$id": f"{SCHEMAS_URL}/{kind}.schema.json",
        **schema,
    }
