"""The query of a page as values: what it is filtered by, and which part of a list is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from reconciler.core.model.text import shown
from reconciler.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

PAGE_SIZE: Final = 50  # rows
MAX_NUMBER: Final = 2**53
MAX_TEXT: Final = 200  # characters of a search

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a request; a form sends those that are not filled in as empty texts."""

    values: dict[str, str]

    @classmethod
    def parse(cls, query: bytes, known: Collection[str]) -> Query:
        """Return the parameters.

        Raises:
            Refused: `request_malformed`: one is unknown, or is there twice.
        """
        try:
            pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=20)
            values = dict(pairs)
        except ValueError:
            raise Refused("request_malformed", "the query cannot be read") from None
        if len(values) != len(pairs):
            raise Refused("request_malformed", "the query has a parameter twice")
        for name in values.keys() - known:
            expected = ", ".join(sorted(known)) or "none"
            message = f"the query has the parameter {shown(name)}, expected {expected}"
            raise Refused("request_malformed", message)
        return cls(values)

    def text(self, name: str) -> str:
        """Return what a person has typed; empty for nothing.

        Raises:
            Refused: `request_malformed`: it is too long, or does not print.
        """
        value = self.values.get(name, "").strip()
        if len(value) > MAX_TEXT or not value.isprintable():
            message = f"{name}: got {shown(value)}, expected printable text of {MAX_TEXT} at most"
            raise Refused("request_malformed", message)
        return value

    def choice(self, name: str, choices: Collection[str]) -> str:
        """Return one of the choices, or an empty text; raise `Refused` for anything else."""
        value = self.text(name)
        if value and value not in choices:
            message = f"{name}: got {shown(value)}, expected one of {', '.join(choices)}"
            raise Refused("request_malformed", message)
        return value

    def number(self, name: str) -> int | None:
        """Return a number from 1 on, or None; raise `Refused` for anything else."""
        value = self.text(name)
        if not value:
            return None
        is_number = value.isascii() and value.isdigit() and len(value) < 20
        if not is_number or not 0 < int(value) <= MAX_NUMBER:
            message = f"{name}: got {shown(value)}, expected a number from 1 on"
            raise Refused("request_malformed", message)
        return int(value)

    def row_id(self) -> UUID | None:
        """Return the id of a row, or None; raise `Refused` for anything else."""
        value = self.text("id")
        if not value:
            return None
        try:
            return UUID(value)
        except ValueError:
            message = f"id: got {shown(value)}, expected a UUID"
            raise Refused("request_malformed", message) from None

    def link(self, **changes: object) -> str:
        """Return the query with some parameters changed, as a link has it."""
        merged = self.values | {name: str(value) for name, value in changes.items()}
        given = {name: value for name, value in merged.items() if value}
        return f"?{urlencode(given)}" if given else ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list of `total` rows; the last one, if a later one is asked for."""

    number: int
    total: int

    @classmethod
    def of(cls, query: Query, total: int) -> Page:
        """Return the page that a query asks for."""
        pages = max(1, -(-total // PAGE_SIZE))
        return cls(min(query.number("page") or 1, pages), total)

    @property
    def rows(self) -> slice:
        """The rows of it."""
        return slice((self.number - 1) * PAGE_SIZE, self.number * PAGE_SIZE)

    def cut(self, rows: Sequence[T]) -> list[T]:
        """Return the rows of it from all."""
        return list(rows[self.rows])

    def as_json(self) -> dict[str, int]:
        """Return what a document says of it."""
        pages = max(1, -(-self.total // PAGE_SIZE))
        return {"total": self.total, "page": self.number, "pages": pages}
