"""What a manifest may say, as pydantic models: the border, and the source of the JSON Schemas."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from reconciler.core.model.scope import MAX_ROWS_LIMIT, RESOURCE_TYPES
from reconciler.core.model.spec import (
    DEFAULT_LIFETIME,
    MAX_LIFETIME,
    MIN_LIFETIME,
    NAME_PATTERN,
    SUBJECT_PATTERN,
)
from reconciler.core.model.text import shown
from reconciler.core.model.times import format_duration, parse_duration, parse_rfc3339
from reconciler.manifest.patterns import (
    ENDPOINT_PATTERN,
    EXPIRES_PATTERN,
    HTTPS_PATTERN,
    LABEL_PATTERN,
    LIFETIME_PATTERN,
    TEXT_PATTERN,
)

API_VERSION: Final = "federation.mosaicstack.dev/v1"

# `$` is before a last line break too, for some that read a JSON Schema (Python's `re`)
ONE_LINE: Final[dict[str, JsonValue]] = {"not": {"pattern": "\n"}}

_LIFETIME: Final = format_duration(DEFAULT_LIFETIME)
_REMEMBERED: Final = 1024  # texts: many manifests have the same few times and durations


@lru_cache(_REMEMBERED)
def _invalid(reason: str) -> PydanticCustomError:
    return PydanticCustomError("field.value", "{reason}", {"reason": reason})


def _time(text: str) -> str:
    try:
        parse_rfc3339(text)
    except ValueError as error:
        raise _invalid(str(error)) from None
    if not "2000" <= text[:4] <= "9000":
        raise _invalid(f"got the year {text[:4]}, expected 2000 to 9000")
    if not re.fullmatch(EXPIRES_PATTERN, text):
        raise _invalid(f"got {shown(text)}, whose offset is none of RFC 3339: 00:00 to 23:59")
    return text


@lru_cache(_REMEMBERED)
def _lifetime(text: str) -> str:
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise _invalid(str(error)) from None
    if not MIN_LIFETIME <= duration <= MAX_LIFETIME:
        allowed = f"{format_duration(MIN_LIFETIME)} to {format_duration(MAX_LIFETIME)}"
        raise _invalid(f"got {shown(text)}, expected {allowed}")
    if not re.fullmatch(LIFETIME_PATTERN, text):
        raise _invalid(f"got {shown(text)}, expected it as {format_duration(duration)}")
    return text


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and re.fullmatch(ENDPOINT_PATTERN, url) is not None
    except ValueError:
        known = False
    if not known:
        raise _invalid(f"{shown(url)} is not a URL with a host")
    return url


def _unique(values: list[str]) -> list[str]:
    for index, value in enumerate(values):  # at most 256
        if value in values[:index]:
            raise _invalid(f"{shown(value)} is listed twice")
    return values


# Defaults that no schema shows. Of a class, pydantic would search the documentation for whether it
# takes arguments, which is a fifth of the time that these models take to be made.
def _no_text() -> str:
    return ""


def _nothing_listed() -> list[str]:
    return []


class Model(BaseModel):
    """What all models share: nothing unknown, nothing coerced, nothing changed afterwards."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        defer_build=True,  # a model is built at its first use: most commands use none
    )


Name = Annotated[str, Field(pattern=NAME_PATTERN, json_schema_extra=ONE_LINE)]
Subject = Annotated[str, Field(pattern=SUBJECT_PATTERN, json_schema_extra=ONE_LINE)]
Endpoint = Annotated[
    str,
    Field(pattern=HTTPS_PATTERN, json_schema_extra={"pattern": ENDPOINT_PATTERN, **ONE_LINE}),
    AfterValidator(_host),
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
        default_factory=_nothing_listed,
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


_EACH_TYPE_ONCE: Final[dict[str, JsonValue]] = {
    "allOf": [
        {
            "contains": {"properties": {"type": {"const": str(each)}}, "required": ["type"]},
            "minContains": 0,
            "maxContains": 1,
        }
        for each in RESOURCE_TYPES
    ]
}


class ScopeModel(Model):
    """What a grant lets its peer see."""

    resources: Annotated[
        list[ResourceModel],
        Field(min_length=1, max_length=6, json_schema_extra=_EACH_TYPE_ONCE),
    ]
    max_rows_per_query: Annotated[int, Field(ge=1, le=MAX_ROWS_LIMIT)]


class CertificateModel(Model):
    """The certificates that a grant's peer gets."""

    lifetime: Annotated[
        str,
        AfterValidator(_lifetime),
        Field(json_schema_extra={"pattern": LIFETIME_PATTERN, **ONE_LINE}),
    ] = Field(default=_LIFETIME, description="From 5m to 7d; never past expiresAt.")


class MetadataModel(Model):
    """The name of the object, unique per kind, and labels for people."""

    name: Name
    labels: Annotated[
        dict[
            Annotated[str, Field(pattern=SUBJECT_PATTERN)],
            Annotated[str, Field(pattern=LABEL_PATTERN, json_schema_extra=ONE_LINE)],
        ],
        Field(
            max_length=64,
            json_schema_extra={"additionalProperties": False, "propertyNames": ONE_LINE},
        ),
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
    display_name: Annotated[str, Field(pattern=TEXT_PATTERN, json_schema_extra=ONE_LINE)] = Field(
        default_factory=_no_text, description="What people call it. Absent: its name."
    )
    endpoint: Endpoint = Field(
        default_factory=_no_text, description="Required for an outbound peer."
    )
    protect: bool = Field(
        default=False, description="Cannot be removed until a commit has set it false."
    )


class GrantSpecModel(Model):
    """What one inbound peer may do, on behalf of one subject user, until a date."""

    peer: Name = Field(description="The name of an inbound Peer.")
    subject_user_id: Subject
    expires_at: Annotated[
        str,
        AfterValidator(_time),
        Field(json_schema_extra={"pattern": EXPIRES_PATTERN, **ONE_LINE}),
    ]
    suspended: bool = Field(default=False, description="Certificates stay, authority is withheld.")
    protect: bool = Field(
        default=False, description="Cannot be removed until a commit has set it false."
    )
    scope: ScopeModel
    # a factory: an instance here would build its model at import
    certificate: CertificateModel = Field(
        default_factory=CertificateModel, json_schema_extra={"default": {"lifetime": _LIFETIME}}
    )


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
