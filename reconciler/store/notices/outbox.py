"""The one writer of the outbox: notices in the statement of the audit records they tell of."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import json_text
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.notices.model import Notice

# The number and the time of a record are known once it is appended: until then a mark stands for
# each, which holds the notice's random id, so that no text of an event can be one. The lock of the
# audit head is held, so the order of notices by `seq` is that of the commits: a target's position
# passes none that is committed later.
WRITTEN: Final = """
    INSERT INTO federation_notices (id, seq, event, document)
    SELECT id, number, event, replace(
        replace(document, '"number ' || id || '"', number::text), 'time ' || id, last ->> 'at')
    FROM appended,
        jsonb_to_recordset(CAST(:notices AS jsonb))
            AS notice (id uuid, back bigint, event text, document text),
        LATERAL (SELECT (last ->> 'seq')::bigint - back AS number) AS record
"""
_UNKNOWN: Final = datetime.min.replace(tzinfo=UTC)


def notices_json(actor: str, notices: Iterable[Notice], last: int) -> str:
    """Return notices as `WRITTEN` takes them; `back` counts from the `last` record."""
    rows = []
    for notice in notices:
        notice_id = str(uuid.uuid4())
        document = notice.document(notice_id, _UNKNOWN, actor)
        document["timestamp"] = f"time {notice_id}"
        document["data"]["auditSeq"] = f"number {notice_id}"
        rows.append(
            {
                "id": notice_id,
                "back": last - notice.seq,
                "event": str(notice.event),
                "document": json_text(document),
            }
        )
    return as_json(rows)
