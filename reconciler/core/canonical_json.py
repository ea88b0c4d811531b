"""JSON in the one form that is digested: sorted keys, no spaces, no escapes that are not needed."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def canonical_json(document: object) -> str:
    """Return `document` as JSON with sorted keys and no spaces: the form that is digested."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def plain_json(value: object) -> str:
    """Return the canonical JSON of a value without floats, in a tenth of `canonical_json`'s time.

    msgspec may write a float in another way.
    """
    try:
        return _encoder()(value).decode()
    except (OverflowError, TypeError, ValueError):  # more than 64 bits, half of a surrogate pair
        return canonical_json(value)


@cache
def _encoder() -> Callable[[object], bytes]:
    import msgspec  # noqa: PLC0415 - late: a plan without changes encodes nothing

    return msgspec.json.Encoder(order="sorted").encode


def digest_of(document: object) -> str:
    """Return `sha256:<hex>` of the canonical JSON of `document`."""
    return digest_of_text(canonical_json(document))


def digest_of_text(text: str) -> str:
    """Return `sha256:<hex>` of a text."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
