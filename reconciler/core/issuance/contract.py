"""The contract of *grant*, *issued* and a token's state (docs/http.md), written once.

Each is a class whose fields say how they stand in JSON. From the class this gateway's answers are
written, another gateway's are read, and the schemas of the OpenAPI document are made. Whether a
certificate is the one that was asked for is for `join` to check, against the key.
"""

from __future__ import annotations

import json
import re
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from reconciler.core.issuance.policy import renew_after
from reconciler.core.model.json_document import camel_case
from reconciler.core.model.spec import NAME_PATTERN, SUBJECT_PATTERN
from reconciler.core.model.states import GrantStatus, TokenStatus
from reconciler.core.model.times import parse_rfc3339, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from reconciler.core.issuance.policy import GrantFacts
    from reconciler.core.issuance.x509 import SignedLeaf

MAX_CHAIN: Final = 8  # certificates of another gateway's chain
MAX_LINE: Final = 200  # characters of another gateway's names

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SERIAL: Final = "^[1-9a-f][0-9a-f]{0,39}$"
_FINGERPRINT: Final = "^sha256:[0-9a-f]{64}$"
_PEM_TEXT: Final = r"[\x20-\x7e\r\n]{1,16384}"


class InvalidField(ValueError):
    """A field that is missing or malformed; `path` leads to it, and is empty for the whole."""

    def __init__(self, *path: str) -> None:
        super().__init__(".".join(path))
        self.path = path


@dataclass(frozen=True, slots=True)
class Format:
    """How a field stands in JSON.

    `schema` is what this gateway promises. `parse` reads what another gateway says, and may accept
    more, because a later release may promise more; it raises `ValueError`.
    """

    schema: dict[str, Any]
    parse: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value


class ContractDocument:
    """A JSON object of the contract, in a dataclass whose fields each have a `Format`."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            name: format_.write(getattr(self, attribute))
            for attribute, name, format_ in self._formats()
        }

    @classmethod
    def from_json(cls, document: object) -> Self:
        """Return what another gateway's JSON says; unknown keys are ignored.

        Raises:
            InvalidField: the first field that is missing or malformed.
        """
        if not isinstance(document, dict):
            raise InvalidField
        values: dict[str, Any] = {}
        for attribute, name, format_ in cls._formats():
            if name not in document:
                raise InvalidField(name)
            values[attribute] = _parsed(name, format_.parse, document[name])
        return cls(**values)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schema; every field is required."""
        properties = {name: format_.schema for _, name, format_ in cls._formats()}
        return {"type": "object", "properties": properties, "required": list(properties)}

    @classmethod
    @cache  # a check of authority writes one each time
    def _formats(cls) -> tuple[tuple[str, str, Format], ...]:
        return tuple(
            (each.name, camel_case(each.name), each.metadata["format"]) for each in fields(cls)
        )


def component(name: str) -> dict[str, str]:
    """Return the reference to a schema of the OpenAPI document."""
    return {"$ref": f"#/components/schemas/{name}"}


def _parsed(step: str, parse: Callable[[Any], Any], value: object) -> Any:
    try:
        return parse(value)
    except InvalidField as error:
        raise InvalidField(step, *error.path) from None
    except ValueError:  # its text would quote the answer
        raise InvalidField(step) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a text")  # noqa: TRY004  # what another gateway wrote
    return value


def _matching(pattern: str) -> Callable[[object], str]:
    expression = re.compile(pattern)

    def parse(value: object) -> str:
        if not expression.fullmatch(_text(value)):
            raise ValueError("malformed")
        return _text(value)

    return parse


def _parse_chain(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_CHAIN:
        raise ValueError("expected a short list")
    return tuple(_parsed(str(i), PEM.parse, each) for i, each in enumerate(value))


def _parse_line(value: object) -> str:
    if not 1 <= len(_text(value)) <= MAX_LINE or not _text(value).isprintable():
        raise ValueError("expected a line of text that prints")
    return _text(value)


def _parse_scope(value: object) -> dict[str, Any]:
    """Refuse what JSON knows and PostgreSQL's `jsonb` does not, and text that does not print."""
    if not isinstance(value, dict) or not _prints(value):
        raise ValueError("expected an object of text that prints")
    json.dumps(value, allow_nan=False)
    return value


def _prints(value: object) -> bool:
    match value:
        case str():
            return value.isprintable()
        case dict():
            return all(_prints(name) and _prints(each) for name, each in value.items())
        case list():
            return all(map(_prints, value))
        case _:
            return True


def _pattern(pattern: str) -> Format:
    return Format({"type": "string", "pattern": pattern}, _matching(pattern))


def _line(pattern: str) -> Format:
    """Return a text that we promise to match a pattern; another gateway's need only print."""
    return Format({"type": "string", "pattern": pattern}, _parse_line)


_ID: Final = Format({"type": "string", "format": "uuid"}, _matching(_UUID))
TIME: Final = Format(
    {"type": "string", "format": "date-time"}, lambda value: parse_rfc3339(_text(value)), rfc3339
)
PEM: Final = Format(
    {"type": "string", "contentMediaType": "application/x-pem-file"}, _matching(_PEM_TEXT)
)
_CHAIN: Final = Format(
    {
        "type": "array",
        "items": PEM.schema,
        "description": "The intermediates: leaf and root are not in it",
    },
    _parse_chain,
    list,
)
_STATUS: Final = Format(
    {"enum": [str(each) for each in GrantStatus]}, lambda value: GrantStatus(_text(value)), str
)
_TOKEN_STATUS: Final = Format(
    {"enum": [str(each) for each in (TokenStatus.OPEN, TokenStatus.CLAIMED)]}, _parse_line
)


@dataclass(frozen=True, slots=True)
class TokenState(ContractDocument):
    """A token that an enrollment would take now: `status` is `open` or `claimed`."""

    status: str = field(metadata={"format": _TOKEN_STATUS})
    expires_at: datetime = field(metadata={"format": TIME})


@dataclass(frozen=True, slots=True)
class GrantDocument(ContractDocument):
    """The *grant* of the contract, as its grantor describes it; `scope` is a JSON object."""

    id: str = field(metadata={"format": _ID})
    name: str = field(metadata={"format": _line(NAME_PATTERN)})
    peer: str = field(metadata={"format": _line(NAME_PATTERN)})
    subject_user_id: str = field(metadata={"format": _line(SUBJECT_PATTERN)})
    scope: dict[str, Any] = field(metadata={"format": Format(component("Scope"), _parse_scope)})
    status: GrantStatus = field(metadata={"format": _STATUS})
    expires_at: datetime = field(metadata={"format": TIME})


_GRANT: Final = Format(component("Grant"), GrantDocument.from_json, GrantDocument.as_json)


@dataclass(frozen=True, slots=True)
class IssuedDocument(ContractDocument):
    """The *issued* of the contract: PEM texts, the chain without leaf and root."""

    certificate: str = field(repr=False, metadata={"format": PEM})
    chain: tuple[str, ...] = field(repr=False, metadata={"format": _CHAIN})
    serial: str = field(metadata={"format": _pattern(_SERIAL)})
    fingerprint: str = field(metadata={"format": _pattern(_FINGERPRINT)})
    not_before: datetime = field(metadata={"format": TIME})
    not_after: datetime = field(metadata={"format": TIME})
    renew_after: datetime = field(metadata={"format": TIME})
    grant: GrantDocument = field(metadata={"format": _GRANT})


def grant_document(grant: GrantFacts, status: GrantStatus) -> GrantDocument:
    """Return the *grant* of one of our own grants."""
    return GrantDocument(
        id=str(grant.id),
        name=grant.name,
        peer=grant.peer,
        subject_user_id=grant.subject_user_id,
        scope=grant.scope,
        status=status,
        expires_at=grant.expires_at,
    )


def issued_text(leaf: SignedLeaf, grant: GrantFacts, status: GrantStatus) -> str:
    """Return the *issued* of a certificate, as the text that is stored and sent ever after."""
    facts = leaf.facts
    issued = IssuedDocument(
        certificate=leaf.certificate,
        chain=leaf.chain,
        serial=facts.serial,
        fingerprint=facts.fingerprint,
        not_before=facts.not_before,
        not_after=facts.not_after,
        renew_after=renew_after(facts.not_before, facts.not_after),
        grant=grant_document(grant, status),
    )
    return json.dumps(issued.as_json(), ensure_ascii=False)
