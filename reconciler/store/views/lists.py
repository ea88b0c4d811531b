"""What lists of rows have in common: filters and pages as parameters, and the unknown name."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.spelling import nearest
from reconciler.errors import Refused

if TYPE_CHECKING:
    from uuid import UUID

    from _typeshed import DataclassInstance

    from reconciler.store.db import Tx

ALL: Final = slice(0, None)  # the page that has every row


def parameters(only: DataclassInstance, page: slice = ALL) -> dict[str, Any]:
    """Return the fields of a filter, and `start` and `count` of a page of what it lets through."""
    count = page.stop - page.start if page.stop is not None else None
    fields = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(only).items()
    }
    return fields | {"start": page.start, "count": count}


def unknown(tx: Tx, kind: str, name: str, row_id: UUID | None = None) -> Refused:
    """Return the refusal of a name, or of a name with an id, that no row of the kind ever had."""
    names = [row["name"] for row in tx.rows(f"SELECT DISTINCT name FROM federation_{kind}s")]
    if row_id is not None and name in names:
        message = f"there is no {kind} {name!r} with the id {row_id}"
        return Refused("name_unknown", message, hint="leave the id out")
    close = nearest(name, names, cutoff=0.5)
    hint = f"did you mean {close!r}?" if close else f"`mosaic federation {kind} list` shows all"
    return Refused("name_unknown", f"there is no {kind} {name!r}", hint=hint)
