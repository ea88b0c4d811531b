"""Authority: the row of a certificate, and the use that is recorded of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.authority.decision import (
    REMEMBERED,
    AuthorityFacts,
    CertificateIdentity,
    Reading,
)
from reconciler.core.model.states import GrantStatus, IssuanceStatus, PeerStatus
from reconciler.core.model.times import rfc3339
from reconciler.store.backup.control import unconfirmed
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.model.certificate_use import Use
    from reconciler.store.connection.reader import Reader
    from reconciler.store.db import Tx

# The whole of a check: one statement, so one snapshot and one moment. What does not change from
# check to check is one text, so that the same row is parsed once.
_ROW: Final = """
SELECT {schema}.federation_restored(), extract(epoch FROM at)::float8, holds,
    CASE WHEN serial IS NOT NULL THEN json_build_object(
        'serial', serial, 'fingerprint', fingerprint, 'certificate_status', certificate_status,
        'not_before', extract(epoch FROM not_before), 'not_after', extract(epoch FROM not_after),
        'grant_id', grant_id, 'grant_name', grant_name, 'peer_name', peer_name,
        'subject_user_id', subject_user_id, 'scope', scope::text, 'grant_status', grant_status,
        'expires_at', extract(epoch FROM expires_at), 'peer_status', peer_status
    )::text END
FROM (SELECT) AS always LEFT JOIN {schema}.federation_authority ON serial = $1
"""


async def read_row(reader: Reader, serial: str) -> Reading | None:
    """Return the row of a serial, or None.

    Raises:
        Retry: `database_unavailable`; `restored`: nobody has confirmed a restore of the rows.
        NeedsEdit: `schema_missing`, `config_invalid`.
    """
    row = await reader.row(_ROW, serial)
    assert row is not None
    restored, now, holds, text = row
    if restored is not None:
        raise unconfirmed(restored)
    return Reading(_facts(text), _time(now), holds) if text is not None else None


@lru_cache(REMEMBERED)
def _facts(text: str) -> AuthorityFacts:
    document: dict[str, Any] = json.loads(text)
    return AuthorityFacts(
        certificate=CertificateIdentity(document["serial"], document["fingerprint"]),
        certificate_status=IssuanceStatus(document["certificate_status"]),
        not_before=_time(document["not_before"]),
        not_after=_time(document["not_after"]),
        grant_id=document["grant_id"],
        grant_name=document["grant_name"],
        peer_name=document["peer_name"],
        subject_user_id=document["subject_user_id"],
        scope_json=document["scope"],
        grant_status=GrantStatus(document["grant_status"]),
        expires_at=_time(document["expires_at"]),
        peer_status=PeerStatus(document["peer_status"]),
    )


def record_use(tx: Tx, uses: Mapping[str, Use]) -> None:
    """Add use, by serial, to what was recorded before."""
    rows = [
        {
            "serial": serial,
            "count": use.count,
            "first_at": rfc3339(use.first),
            "last_at": rfc3339(use.last),
        }
        for serial, use in uses.items()
    ]
    tx.rows("SELECT federation_record_use(CAST(:uses AS jsonb))", uses=as_json(rows))


def _time(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
