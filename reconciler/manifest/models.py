"""What a manifest may say, as pydantic models: the border, and the source of the JSON Schemas."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from reconciler.core.scope import MAX_ROWS_LIMIT
from reconciler.core.spec import MAX_LIFETIME, MIN_LIFETIME
from reconciler.core.text import shown
from reconciler.core.times import format_duration, parse_duration, parse_rfc3339

API_VERSION: Final = "federation.mosaicstack.dev/v1"

NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"  # RFC 1123 2.1, one label
SUBJECT_PATTERN: Final = r"^[A-Za-z0-9._@-]{1,128}$"
TEXT_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]{1,200}$"
LABEL_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]{0,253}$"
HTTPS_PATTERN: Final = r"^https://[^\s/?#@\x00-\x1f\x7f-\x9f]+(/[^\s?#\x00-\x1f\x7f-\x9f]*)?$"

PATTERN_MEANINGS: Final[dict[str, str]] = {
    NAME_PATTERN: "a DNS label: 1 to 63 of a-z, 0-9 and '-', not at the ends",
    SUBJECT_PATTERN: "1 to 128 of A-Z, a-z, 0-9, '.', '_', '@' and '-'",
    TEXT_PATTERN: "1 to 200 characters without control characters",
    LABEL_PATTERN: "up to 253 characters without control characters",
    HTTPS_PATTERN: "an https:// URL with a host, and no user, query or fragment",
}


def _time(text: str) -> str:
    try:
        at = parse_rfc3339(text)
    except ValueError as error:
        raise PydanticCustomError("field.value", "{reason}", {"reason": str(error)}) from None
    if not 2000 <= at.year <= 9000:
        reason = f"got the year {at.year}, expected one that certificates can hold"
        raise PydanticCustomError("field.value", "{reason}", {"reason": reason})
    return text


def _lifetime(text: str) -> str:
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise PydanticCustomError("field.value", "{reason}", {"reason": str(error)}) from None
    if not MIN_LIFETIME <= duration <= MAX_LIFETIME:
        allowed = f"{format_duration(MIN_LIFETIME)} to {format_duration(MAX_LIFETIME)}"
        reason = f"got {shown(text)}, expected {allowed}"
        raise PydanticCustomError("field.value", "{reason}", {"reason": reason})
    return text


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        reason = f"{shown(url)} is not a URL with a host"
        raise PydanticCustomError("field.value", "{reason}", {"reason": reason})
    return url


def _unique(values: list[str]) -> list[str]:
    for index, value in enumerate(values):  # at most 256
        if value in values[:index]:
            reason = f"{shown(value)} stands here twice"
            raise PydanticCustomError("field.value", "{reason}", {"reason": reason})
    return values


class Model(BaseModel):
    """What all models share: nothing unknown, nothing coerced, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Subject = Annotated[str, Field(pattern=SUBJECT_PATTERN)]
Endpoint = Annotated[
    str, Field(pattern=HTTPS_PATTERN, json_schema_extra={"format": "uri"}), AfterValidator(_host)
]


# A field that may be absent has no null, and no default that a schema would show: `teams:` with
# nothing behind it must not mean all teams. What is absent is not among `model_fields_set`.


class FilterModel(Model):
    """Which items of a resource type are visible."""

    teams: Annotated[
        list[Subject],
        Field(max_length=256, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_unique),
    ] = Field(
        default_factory=list,
        description="Teams whose items are visible. Absent: all; empty: none.",
    )
    personal: bool = Field(default=True, description="Whether the subject's own items are visible.")


class ResourceModel(Model):
    """One resource type, and what may be done with it."""

    type: Literal["tasks", "projects", "events", "notes", "memory", "knowledge"]
    verbs: Annotated[
        list[Literal["list", "get"]],
        Field(min_length=1, max_length=2, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_unique),
    ]
    filter: FilterModel = Field(default_factory=FilterModel)


class ScopeModel(Model):
    """What a grant lets its peer see."""

    resources: Annotated[list[ResourceModel], Field(min_length=1, max_length=6)]
    max_rows_per_query: Annotated[int, Field(ge=1, le=MAX_ROWS_LIMIT)]


class CertificateModel(Model):
    """The certificates that a grant's peer gets."""

    lifetime: Annotated[str, AfterValidator(_lifetime)] = Field(
        default="24h", description="From 5m to 7d; never past expiresAt."
    )


class MetadataModel(Model):
    """The name of the object, unique per kind, and labels for people."""

    name: Name
    labels: Annotated[
        dict[
            Annotated[str, Field(pattern=SUBJECT_PATTERN)],
            Annotated[str, Field(pattern=LABEL_PATTERN)],
        ],
        Field(max_length=64, json_schema_extra={"additionalProperties": False}),
    ] = {}


class GrantMetadataModel(Model):
    """The name of the object, unique per kind."""

    name: Name


_OUTBOUND_NEEDS_AN_ENDPOINT: Final[dict[str, JsonValue]] = {
    "if": {"properties": {"direction": {"const": "outbound"}}, "required": ["direction"]},
    "then": {"required": ["endpoint"]},
}


class PeerSpecModel(Model):
    """A remote gateway."""

    model_config = ConfigDict(json_schema_extra=_OUTBOUND_NEEDS_AN_ENDPOINT)

    direction: Literal["inbound", "outbound"] = Field(
        description="inbound: it calls us. outbound: we call it."
    )
    display_name: Annotated[str, Field(pattern=TEXT_PATTERN)] = Field(
        default_factory=str, description="What people call it. Absent: its name."
    )
    endpoint: Endpoint = Field(default_factory=str, description="Required for an outbound peer.")
    protect: bool = Field(
        default=False, description="Cannot be removed until a commit has set it false."
    )


class GrantSpecModel(Model):
    """What one inbound peer may do, on behalf of one subject user, until a date."""

    peer: Name = Field(description="The name of an inbound Peer.")
    subject_user_id: Subject
    expires_at: Annotated[
        str, AfterValidator(_time), Field(json_schema_extra={"format": "date-time"})
    ]
    suspended: bool = Field(default=False, description="Certificates stay, authority is withheld.")
    protect: bool = Field(
        default=False, description="Cannot be removed until a commit has set it false."
    )
    scope: ScopeModel
    certificate: CertificateModel = CertificateModel()


class PeerManifest(Model):
    """Declares a peer."""

    api_version: Literal["federation.mosaicstack.dev/v1"]
    kind: Literal["Peer"]
    metadata: MetadataModel
    spec: PeerSpecModel


class GrantManifest(Model):
    """Declares a grant."""

    api_version: Literal["federation.mosaicstack.dev/v1"]
    kind: Literal["Grant"]
    metadata: GrantMetadataModel
    spec: GrantSpecModel


MANIFESTS: Final[dict[str, type[PeerManifest | GrantManifest]]] = {
    "Peer": PeerManifest,
    "Grant": GrantManifest,
}
