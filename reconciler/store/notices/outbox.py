"""The one writer of the outbox: notices in the transaction of the audit records they tell of."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from reconciler.core.model.text import json_text
from reconciler.core.notices.derive import notices_of
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.core.audit.events import Event
    from reconciler.store.db import Tx


def write(tx: Tx, actor: str, events: Sequence[Event], first_seq: int, at: datetime) -> None:
    """Write the notices of events whose records have been appended.

    The lock of the audit head is held, so their order by `seq` is that of the commits: a target's
    position passes none that is committed later.
    """
    rows = []
    for notice in notices_of(events, first_seq):
        notice_id = str(uuid.uuid4())
        document = json_text(notice.document(notice_id, at, actor))
        rows.append(
            {"id": notice_id, "seq": notice.seq, "event": str(notice.event), "document": document}
        )
    if rows:
        tx.run(
            "INSERT INTO federation_notices (id, seq, event, document)"
            " SELECT id, seq, event, document FROM jsonb_to_recordset(CAST(:rows AS jsonb))"
            " AS row (id uuid, seq bigint, event text, document text)",
            rows=as_json(rows),
        )
