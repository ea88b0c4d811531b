"""The OpenAPI 3.1 document of the contract: served, printed, and checked in.

Built from the table of calls below, the scope's model, and `OUTCOMES`. Imports no web framework,
so that a command can print it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from reconciler.core.issuance.contract import (
    PEM,
    TIME,
    GrantDocument,
    IssuedDocument,
    TokenState,
    component,
)
from reconciler.core.issuance.invitation import API_PREFIX
from reconciler.errors import OUTCOMES, Retry
from reconciler.manifest.json_schema import DIALECT, json_schema

EVERYWHERE: Final = (
    *("request_malformed", "request_head_too_large"),
    *("rate_limited", "unavailable", "internal"),
)
_BODY: Final = ("request_malformed", "request_too_large", "request_timeout", "request_type")
_CSR: Final = ("csr_malformed", "csr_too_large", "csr_signature", "csr_key", "csr_names")
_ROWS: Final = ("database_unavailable", "restored")
_SIGNING: Final = (
    *("key_in_use", "grant_ended", *_ROWS),
    *("ca_unavailable", "ca_wrong_answer"),
)
_TOKEN: Final = ("token_invalid", "token_spent", "token_claimed", "token_expired", "token_void")


@dataclass(frozen=True, slots=True)
class _Call:
    """One operation: `answers` are status and content (media type to schema), `codes` problems."""

    method: str
    path: str
    operation: str
    summary: str
    answers: dict[str, dict[str, Any]]
    codes: tuple[str, ...] = ()
    body: dict[str, Any] | None = None
    security: tuple[dict[str, list[str]], ...] = ()


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _text(media_type: str) -> dict[str, Any]:
    return {media_type: {"schema": {"type": "string"}}}


_BEARER: Final[dict[str, list[str]]] = {"enrollmentToken": []}
_DPOP: Final[dict[str, list[str]]] = {"proof": []}
_CRL: Final[dict[str, Any]] = {"application/pkix-crl": {}}

CALLS: Final = (
    _Call(
        *("get", f"{API_PREFIX}/enroll", "tokenStatus"),
        "Whether a token can be used, without using it; without a token, a page for people",
        {"200": {**_json(component("TokenStatus")), **_text("text/html")}},
        ("request_malformed", *_TOKEN, "grant_ended", *_ROWS),
        security=(_BEARER, {}),
    ),
    _Call(
        *("post", f"{API_PREFIX}/enroll", "enroll"),
        "Have a CSR signed under the grant of a single-use token",
        {"201": _json(component("Issued"))},
        (*_BODY, *_CSR, *_TOKEN, "enrollment_in_progress", *_SIGNING),
        component("CsrBody"),
        (_BEARER,),
    ),
    _Call(
        *("post", f"{API_PREFIX}/certificates/pickup", "pickup"),
        "Fetch again what was issued for the proof's key, byte for byte",
        {"200": _json(component("Issued"))},
        (*_BODY, "proof_invalid", "enrollment_in_progress", "grant_ended", *_ROWS),
        component("EmptyBody"),
        (_DPOP,),
    ),
    _Call(
        *("post", f"{API_PREFIX}/certificates/renew", "renew"),
        "Have a CSR signed by a proof of the current key; the proof's csr#S256 names the CSR",
        {"201": _json(component("Issued"))},
        (
            *(*_BODY, *_CSR, "proof_invalid", "enrollment_in_progress", "renewal_contested"),
            "renewal_early",
            *_SIGNING,
        ),
        component("CsrBody"),
        (_DPOP,),
    ),
    _Call(
        *("get", f"{API_PREFIX}/grant", "grant"),
        "The grant whose certificate has the proof's key, whatever its state",
        {"200": _json(component("Grant"))},
        ("request_malformed", "proof_invalid", *_ROWS),
        security=(_DPOP,),
    ),
    _Call(
        *("get", f"{API_PREFIX}/ca/roots", "roots"),
        "The roots of this gateway's CA: keep only what the invitation pins",
        {"200": _text("application/pem-certificate-chain")},
    ),
    _Call(
        *("get", f"{API_PREFIX}/ca/crl", "crl"),
        "The newest revocation list, in DER",
        {"200": _CRL},
        ("crl_unavailable", "database_unavailable"),
    ),
    _Call(
        *("get", f"{API_PREFIX}/ca/crl/{{issuer}}", "crlOfIssuer"),
        "The revocation list of one issuer, in DER",
        {"200": _CRL},
        ("not_found", "crl_unavailable", "database_unavailable"),
    ),
    _Call(
        *("get", f"{API_PREFIX}/openapi.json", "openapi"),
        "This document",
        {"200": _json({"type": "object"})},
    ),
    _Call(
        *("get", "/healthz", "health"),
        "Whether the process answers",
        {"200": _json(component("Status"))},
    ),
    _Call(
        *("get", "/readyz", "ready"),
        "Whether the database can be reached, has the current schema and no unconfirmed restore",
        {"200": _json(component("Status"))},
        _ROWS,
    ),
)


def openapi_document() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mosaic Federation",
            "version": "1.0.0",
            "description": "How a peer enrolls under a grant, and keeps its certificate.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": DIALECT,
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": _SECURITY},
    }


def _operation(call: _Call) -> dict[str, Any]:
    responses: dict[str, Any] = {
        status: {"description": "Done", "content": content}
        for status, content in call.answers.items()
    }
    responses.update(_problems(tuple(dict.fromkeys((*call.codes, *EVERYWHERE)))))
    operation: dict[str, Any] = {
        "operationId": call.operation,
        "summary": call.summary,
        "security": list(call.security),
        "responses": responses,
    }
    if call.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(call.body)}
    if "{issuer}" in call.path:
        schema = {"type": "string", "pattern": "^[0-9a-f]{2,64}$"}
        operation["parameters"] = [
            {"name": "issuer", "in": "path", "required": True, "schema": schema}
        ]
    return operation


def _problems(codes: tuple[str, ...]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in codes:
        status = OUTCOMES[code].status
        assert status is not None, code
        by_status.setdefault(status, []).append(code)
    return {str(status): _problem(status, by_status[status]) for status in sorted(by_status)}


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    response: dict[str, Any] = {
        "description": "; ".join(OUTCOMES[code].title for code in codes),
        "content": {
            "application/problem+json": {"schema": {"allOf": [component("Problem"), narrowed]}}
        },
    }
    if any(issubclass(OUTCOMES[code].kind, Retry) for code in codes):
        seconds = {"type": "integer", "minimum": 1}
        response["headers"] = {"Retry-After": {"description": "Seconds", "schema": seconds}}
    return response


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


_TEXT: Final[dict[str, Any]] = {"type": "string"}

_SECURITY: Final[dict[str, Any]] = {
    "enrollmentToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "mosf1_<public id>_<secret>_<crc>",
        "description": "The token of an invitation. It works once.",
    },
    "proof": {
        "type": "apiKey",
        "in": "header",
        "name": "DPoP",
        "description": (
            "A proof of possession (RFC 9449) of this method and URL: a JWT of type dpop+jwt by "
            "ES256, ES384, EdDSA, RS256 or PS256, iat within 60 s; to renew, with the claim "
            "csr#S256: the unpadded base64url SHA-256 of the CSR's DER."
        ),
    },
}


def _schemas() -> dict[str, Any]:
    strict = {"additionalProperties": False}
    return {
        **_scope_schemas(),
        "CsrBody": {**_object(csr={**PEM.schema, "description": "One PEM block"}), **strict},
        "EmptyBody": {"type": "object", **strict},
        "TokenStatus": TokenState.schema(),
        "Status": _object(status=_TEXT),
        "Grant": GrantDocument.schema(),
        "Issued": IssuedDocument.schema(),
        "Problem": _object(
            type={"type": "string", "format": "uri"},
            title=_TEXT,
            status={"type": "integer"},
            code=_TEXT,
            detail=_TEXT,
            correlationId=_TEXT,
            serverTime=TIME.schema,
            retryable={"type": "boolean"},
        ),
    }


def _scope_schemas() -> dict[str, Any]:
    """Return the scope's schema and its parts, as components of this document."""
    scope = json_schema("scope")
    parts = {**scope.pop("$defs"), "Scope": scope}
    for name in ("$schema", "$id"):
        scope.pop(name)
    moved: dict[str, Any] = _moved(parts)
    return moved


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _moved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item) for item in value]
    if isinstance(value, str):
        return value.replace("#/$defs/", "#/components/schemas/")
    return value
