"""A transaction appends to the audit log in one call, and its lock waits for no client.

The function of before stays for replicas of the version before.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# The bytes and hashes are those of reconciler/core/audit/chain.py, and a test holds both together.
# `events` are {kind, subject, data}, in which `data` is canonical JSON as text. What is returned is
# the number and the time of the last record.
APPEND_EVENTS = r"""
CREATE FUNCTION federation_append_events(actor text, events jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    head federation_audit_head;
    event record;
    written_at timestamptz;
    moment text;
    body text;
BEGIN
    -- The lock fences `seq` and `prev`: of two transactions, the second reads the head once the
    -- first has committed or rolled back, so there is no gap and no fork.
    SELECT * INTO STRICT head FROM federation_audit_head FOR UPDATE;
    written_at := clock_timestamp();
    moment := to_char(written_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS');
    IF extract(microseconds FROM written_at) % 1000000 <> 0 THEN
        moment := moment || to_char(written_at AT TIME ZONE 'UTC', '.US');
    END IF;
    FOR event IN SELECT e.value ->> 'kind' AS kind, e.value ->> 'subject' AS subject,
            e.value ->> 'data' AS data
        FROM jsonb_array_elements(events) WITH ORDINALITY AS e ORDER BY e.ordinality
    LOOP
        IF jsonb_typeof(event.data::jsonb) IS DISTINCT FROM 'object' THEN -- or no JSON: an error
            RAISE EXCEPTION 'the data of an event is not an object'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        head.seq := head.seq + 1;
        body := '{"actor":' || to_json(actor) || ',"at":"' || moment || 'Z","data":' || event.data
            || ',"kind":' || to_json(event.kind) || ',"login":' || to_json(session_user::text)
            || ',"seq":' || head.seq || ',"subject":' || to_json(event.subject) || '}';
        INSERT INTO federation_audit_log (seq, at, kind, actor, subject, body, prev, hash)
        VALUES (head.seq, written_at, event.kind, actor, event.subject, body, head.hash,
            sha256(convert_to(E'mosaic-audit-v1\n', 'UTF8') || int8send(head.seq) || head.hash
                || sha256(convert_to(body, 'UTF8'))))
        RETURNING hash INTO head.hash;
    END LOOP;
    UPDATE federation_audit_head SET seq = head.seq, hash = head.hash;
    RETURN jsonb_build_object('seq', head.seq, 'at', moment || 'Z');
END $$;
REVOKE ALL ON FUNCTION federation_append_events(text, jsonb) FROM PUBLIC;
"""


def upgrade() -> None:
    op.execute(APPEND_EVENTS)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
