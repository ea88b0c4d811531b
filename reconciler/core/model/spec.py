"""What a manifest declares, as values; their canonical JSON and digest; which files declare it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from reconciler.core.canonical_json import digest_of_text, plain_json
from reconciler.core.model.json_document import JsonDocument
from reconciler.core.model.row_digest import grant_row_digest, peer_row_digest
from reconciler.core.model.scope import Scope, known_scope, scope_from_json, shared
from reconciler.core.model.times import format_duration, parse_duration, parse_rfc3339, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from reconciler.core.model.commits import Commit


NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"  # RFC 1123 2.1, one label
SUBJECT_PATTERN: Final = r"^[A-Za-z0-9._@-]{1,128}$"
MANIFEST_SUFFIXES: Final = (".yaml", ".yml")
DEFAULT_LIFETIME: Final = timedelta(hours=24)
MIN_LIFETIME: Final = timedelta(minutes=5)
MAX_LIFETIME: Final = timedelta(days=7)


class Kind(StrEnum):
    """The kinds of manifest, in the order in which they are created."""

    PEER = "Peer"
    GRANT = "Grant"

    def subject(self, name: str) -> str:
        """Return an object as audit subjects and the command line name it: `grant/beta-tasks`."""
        return f"{self.lower()}/{name}"


Identity = tuple[Kind, str]  # with the name


class Direction(StrEnum):
    """Who calls whom: an inbound peer calls us, an outbound one is called by us."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True)
class SourceLocation(JsonDocument):
    """The file of a manifest, relative to the source, and the `line` of its name, from 1."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class PeerSpec:
    """What a `Peer` manifest declares; `labels` come sorted by name."""

    direction: Direction
    display_name: str
    endpoint: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    protect: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the canonical JSON form, every field present."""
        return {
            "direction": str(self.direction),
            "displayName": self.display_name,
            "endpoint": self.endpoint,
            "labels": dict(self.labels),
            "protect": self.protect,
        }


@dataclass(frozen=True, slots=True)
class GrantSpec:
    """What a `Grant` manifest declares; `peer` is the name of an inbound peer."""

    peer: str
    subject_user_id: str
    expires_at: datetime
    scope: Scope
    lifetime: timedelta = DEFAULT_LIFETIME
    suspended: bool = False
    protect: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the canonical JSON form, every field present."""
        return {
            "peer": self.peer,
            "subjectUserId": self.subject_user_id,
            "expiresAt": rfc3339(self.expires_at),
            "suspended": self.suspended,
            "protect": self.protect,
            "scope": self.scope.as_json(),
            "certificate": {"lifetime": format_duration(self.lifetime)},
        }


Spec = PeerSpec | GrantSpec
S = TypeVar("S", bound=PeerSpec | GrantSpec)


def kind_of(spec: Spec) -> Kind:
    """Return the kind of manifest that declares a spec."""
    return Kind.PEER if isinstance(spec, PeerSpec) else Kind.GRANT


def spec_from_json(
    kind: Kind,
    document: dict[str, Any],
    scope_of: Callable[[dict[str, Any]], Scope] = scope_from_json,
) -> Spec:
    """Return the spec of a canonical form that `as_json` wrote (trusted: our own audit log)."""
    if kind is Kind.PEER:
        return PeerSpec(
            direction=Direction(document["direction"]),
            display_name=document["displayName"],
            endpoint=document["endpoint"],
            labels=tuple(sorted(document["labels"].items())),
            protect=document["protect"],
        )
    return GrantSpec(
        peer=document["peer"],
        subject_user_id=document["subjectUserId"],
        expires_at=parse_rfc3339(document["expiresAt"]),
        scope=shared(scope_of(document["scope"])),
        lifetime=parse_duration(document["certificate"]["lifetime"]),
        suspended=document["suspended"],
        protect=document["protect"],
    )


def check_spec(kind: Kind, document: dict[str, Any]) -> None:
    """Raise unless a document is the canonical form of a spec, whose values can be compared.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is not.
    """
    parsed = spec_from_json(kind, document)
    values: tuple[object, ...] = (parsed.protect,)
    if isinstance(parsed, GrantSpec):
        values = (parsed.peer, parsed.subject_user_id)
    if not all(isinstance(each, str | bool) for each in values):
        raise TypeError("a value of the spec is of another type")


def spec_digest(spec: Spec) -> str:
    """Return the digest of what `spec` declares: equal for specs that mean the same."""
    return digest_of_text(plain_json(spec.as_json()))


@dataclass(frozen=True, slots=True)
class Declared(Generic[S]):
    """One manifest of a source: its name, what it declares, its place and its digest.

    One that `of_text` makes decodes its spec when that is asked for first.
    """

    name: str
    spec: S
    place: SourceLocation
    digest: str
    _text: tuple[Kind, str] | None = field(default=None, repr=False, compare=False)
    _row_key: str | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of_spec(cls, kind: Kind, name: str, spec: S, place: SourceLocation) -> Self:
        """Return what a manifest declares, with its digest."""
        text = plain_json(spec.as_json())
        return cls(name, spec, place, digest_of_text(text), (kind, text))

    @property
    def text(self) -> str:
        """The canonical JSON of the spec."""
        return self._text[1] if self._text is not None else plain_json(self.spec.as_json())

    @property
    def row_key(self) -> str:
        """The digest that an equal row has and, of a grant, the name of its peer."""
        if self._row_key is not None:
            return self._row_key
        spec: Spec = self.spec
        if isinstance(spec, PeerSpec):
            return peer_row_digest(
                self.name,
                self.digest,
                protect=spec.protect,
                direction=str(spec.direction),
                display_name=spec.display_name,
                endpoint=spec.endpoint,
                labels=dict(spec.labels),
            )
        digest = grant_row_digest(
            self.name,
            self.digest,
            protect=spec.protect,
            subject_user_id=spec.subject_user_id,
            scope=spec.scope,
            suspended=spec.suspended,
            lifetime=spec.lifetime,
            expires_at=spec.expires_at,
        )
        return f"{digest} {spec.peer}"

    @classmethod
    def of_text(
        cls,
        kind: Kind,
        name: str,
        place: SourceLocation,
        *,
        digest: str,
        row_key: str,
        text: str,
    ) -> Self:
        """Return what a manifest declares whose spec is the JSON `text`, as `as_json` wrote it."""
        declared = object.__new__(cls)
        initialize = object.__setattr__
        initialize(declared, "name", name)
        initialize(declared, "place", place)
        initialize(declared, "digest", digest)
        initialize(declared, "_text", (kind, text))
        initialize(declared, "_row_key", row_key)
        return declared

    if not TYPE_CHECKING:  # of a value that has not been set, which no type checker sees

        def __getattr__(self, attribute: str) -> Any:
            """Return the spec, which is decoded now."""
            if attribute != "spec" or self._text is None:
                raise AttributeError(attribute)
            kind, text = self._text
            spec = spec_from_json(kind, json.loads(text), known_scope)
            object.__setattr__(self, "spec", spec)
            return spec


AnyDeclared = Declared[PeerSpec] | Declared[GrantSpec]


@dataclass(frozen=True, slots=True)
class Desired:
    """All that a source declares, sorted by name; no two of a kind share a name.

    `verifies` asks that rows be compared by what is computed from their columns now.
    """

    peers: tuple[Declared[PeerSpec], ...] = ()
    grants: tuple[Declared[GrantSpec], ...] = ()
    commit: Commit | None = None
    dirty: bool = False
    label: str = field(default="", compare=False)
    verifies: bool = field(default=False, compare=False)

    @property
    def revision(self) -> str | None:
        """The hash of the commit that was read."""
        return self.commit.id if self.commit is not None else None

    @property
    def empty(self) -> bool:
        """Whether the source holds no manifest at all."""
        return not self.peers and not self.grants


def is_declaring(path: str, prefix: str) -> bool:
    """Tell whether a path of the repository is read as a manifest of the source at `prefix`."""
    if not path.startswith(prefix) or not path.endswith(MANIFEST_SUFFIXES):
        return False
    return not any(part.startswith(".") for part in path[len(prefix) :].split("/"))
