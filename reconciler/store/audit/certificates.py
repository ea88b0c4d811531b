"""The texts of certificates that have ended and are revoked at the CA, on their way to an archive.

Nothing reads them any more. A row keeps its serial, its fingerprint, its key and its times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Refused
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from reconciler.store.db import Tx

PAGE: Final = 1000  # rows
_ENDED: Final = "status = 'revoked' AND not_after < :at AND answer <> ''"
_TEXTS: Final = f"""
SELECT serial, fingerprint, csr_pem, cert_pem, chain_pem, answer FROM federation_certificates
WHERE {_ENDED} AND serial > :after ORDER BY serial LIMIT :page
"""
# compared by the texts too: only what the file has is removed
_REMOVE: Final = f"""
WITH filed AS (SELECT * FROM jsonb_to_recordset(CAST(:documents AS jsonb)) AS f (serial text,
        fingerprint text, csr_pem text, cert_pem text, chain_pem text, answer text)),
    locked AS (SELECT c.id FROM federation_certificates AS c JOIN filed AS f USING (serial,
        fingerprint, csr_pem, cert_pem, chain_pem, answer) WHERE {_ENDED}
        ORDER BY c.id FOR NO KEY UPDATE OF c)
UPDATE federation_certificates AS c SET csr_pem = '', cert_pem = '', chain_pem = '', answer = ''
FROM locked WHERE c.id = locked.id
"""


def count_ended(tx: Tx, at: datetime) -> int:
    """Return how many certificates have texts, had ended by a moment, and are revoked at the CA."""
    statement = f"SELECT count(*) AS count FROM federation_certificates WHERE {_ENDED}"
    count: int = tx.one(statement, at=at)["count"]
    return count


def certificate_pages(tx: Tx, at: datetime) -> Iterator[list[dict[str, Any]]]:
    """Yield the texts of these certificates, so many at once."""
    after = ""
    while rows := tx.rows(_TEXTS, at=at, after=after, page=PAGE):
        yield rows
        after = rows[-1]["serial"]


def remove_texts(tx: Tx, at: datetime, documents: Sequence[dict[str, Any]]) -> None:
    """Remove the texts that a file has of certificates.

    Raises:
        Refused: `state_conflict`: a row has others.
    """
    removed = tx.run(_REMOVE, at=at, documents=as_json(documents))
    if removed != len(documents):
        reason = f"{removed:,} certificates are as the file has them, expected {len(documents):,}"
        hint = "nothing was changed; name another file, which is written anew"
        raise Refused("state_conflict", reason, hint=hint)
