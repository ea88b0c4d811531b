"""What a role writes through a function can be read, whoever has taken that role over.

A record that `audit verify` cannot read would stay in the log for ever, and a time or a number that
no reader takes would hide what is beside it.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Readers of JSON give up at some depth, and at some length of an integer. Short texts have neither.
READABLE = """
CREATE FUNCTION federation_is_readable(document text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path FROM CURRENT
AS $$
    SELECT octet_length(document) <= 128 OR NOT (
        jsonb_path_exists(document::jsonb, 'strict $.**{64 to last}')
        OR jsonb_path_exists(document::jsonb, '$.** ? (@.type() == "number"
            && (@ > 9007199254740991 || @ < -9007199254740991))'))
$$;
REVOKE ALL ON FUNCTION federation_is_readable(text) FROM PUBLIC;
CREATE FUNCTION federation_moment(at timestamptz) RETURNS text
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
        || CASE WHEN extract(microseconds FROM at) % 1000000 <> 0
            THEN to_char(at AT TIME ZONE 'UTC', '.US') ELSE '' END || 'Z'
$$;
REVOKE ALL ON FUNCTION federation_moment(timestamptz) FROM PUBLIC;
"""

# As in 0014, but for what the data of an event may be.
APPEND_EVENTS = r"""
CREATE OR REPLACE FUNCTION federation_append_events(actor text, events jsonb) RETURNS jsonb
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
    moment := federation_moment(written_at);
    FOR event IN SELECT e.value ->> 'kind' AS kind, e.value ->> 'subject' AS subject,
            e.value ->> 'data' AS data
        FROM jsonb_array_elements(events) WITH ORDINALITY AS e ORDER BY e.ordinality
    LOOP
        IF jsonb_typeof(event.data::jsonb) IS DISTINCT FROM 'object' -- or no JSON: an error
            OR NOT federation_is_readable(event.data)
        THEN
            RAISE EXCEPTION 'the data of an event is not an object that can be read'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        head.seq := head.seq + 1;
        body := '{"actor":' || to_json(actor) || ',"at":"' || moment || '","data":' || event.data
            || ',"kind":' || to_json(event.kind) || ',"login":' || to_json(session_user::text)
            || ',"seq":' || head.seq || ',"subject":' || to_json(event.subject) || '}';
        INSERT INTO federation_audit_log (seq, at, kind, actor, subject, body, prev, hash)
        VALUES (head.seq, written_at, event.kind, actor, event.subject, body, head.hash,
            sha256(convert_to(E'mosaic-audit-v1\n', 'UTF8') || int8send(head.seq) || head.hash
                || sha256(convert_to(body, 'UTF8'))))
        RETURNING hash INTO head.hash;
    END LOOP;
    UPDATE federation_audit_head SET seq = head.seq, hash = head.hash;
    RETURN jsonb_build_object('seq', head.seq, 'at', moment);
END $$;
"""

# As in 0007, but for what a body may be: an object with data, of the moment that the column says.
APPEND_AUDIT = r"""
CREATE OR REPLACE FUNCTION federation_append_audit(records jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    head federation_audit_head;
    refused bigint;
BEGIN
    SELECT * INTO STRICT head FROM federation_audit_head FOR UPDATE;
    SELECT min(position) INTO refused FROM (
        SELECT r.*, row_number() OVER sorted AS position, lag(r.hash) OVER sorted AS before
        FROM jsonb_to_recordset(records) AS r(seq bigint, at timestamptz, kind text, actor text,
            subject text, body text, prev text, hash text)
        WINDOW sorted AS (ORDER BY r.seq)) AS record
    WHERE NOT coalesce( -- what is absent makes it unknown
        seq = head.seq + position
        AND prev = coalesce(before, encode(head.hash, 'hex'))
        AND hash = encode(sha256(convert_to(E'mosaic-audit-v1\n', 'UTF8') || int8send(seq)
            || decode(prev, 'hex') || sha256(convert_to(body, 'UTF8'))), 'hex')
        AND at BETWEEN transaction_timestamp() AND clock_timestamp()
        AND body::jsonb @> jsonb_build_object('seq', seq, 'at', federation_moment(at),
            'kind', kind, 'actor', actor, 'subject', subject, 'login', session_user)
        AND jsonb_typeof(body::jsonb -> 'data') = 'object'
        AND federation_is_readable(body), false);
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION 'record % does not continue the audit log', refused
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO federation_audit_log (seq, at, kind, actor, subject, body, prev, hash)
    SELECT seq, at, kind, actor, subject, body, decode(prev, 'hex'), decode(hash, 'hex')
    FROM jsonb_to_recordset(records) AS r(seq bigint, at timestamptz, kind text, actor text,
        subject text, body text, prev text, hash text);
    UPDATE federation_audit_head AS h SET seq = newest.seq, hash = newest.hash
    FROM (SELECT l.seq, l.hash FROM federation_audit_log AS l ORDER BY l.seq DESC LIMIT 1) AS newest
    WHERE newest.seq > h.seq;
END $$;
"""

# As in 0006, but within the time from the certificate's row until now, and a number that any reader
# takes: else one certificate would stop the use of all others from being recorded.
RECORD_USE = """
CREATE OR REPLACE FUNCTION federation_record_use(uses jsonb) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    INSERT INTO federation_certificate_use AS known (certificate_id, count, first_at, last_at)
    SELECT certificates.id, least(greatest(used.count, 1), 9007199254740991),
        least(greatest(used.first_at, certificates.created_at), clock_timestamp()),
        least(greatest(used.last_at, certificates.created_at), clock_timestamp())
    FROM jsonb_to_recordset(uses)
        AS used (serial text, count bigint, first_at timestamptz, last_at timestamptz)
    JOIN federation_certificates AS certificates ON certificates.serial = used.serial
    WHERE used.first_at <= used.last_at
    ORDER BY certificates.id
    ON CONFLICT (certificate_id) DO UPDATE
    SET count = least(known.count + excluded.count, 9007199254740991),
        first_at = least(known.first_at, excluded.first_at),
        last_at = greatest(known.last_at, excluded.last_at)
$$;
"""


def upgrade() -> None:
    for statements in (READABLE, APPEND_EVENTS, APPEND_AUDIT, RECORD_USE):
        op.execute(statements)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
