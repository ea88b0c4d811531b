"""What PostgreSQL does for each row and record takes less time, and no key hides a value.

A pattern with a bounded repetition has a state for each count, which is made anew for each value:
a length is compared beside it. Of the data of an event JSON is read once, and its leaves are looked
at once; the records of a call are written by one statement. Of a key that comes twice, jsonb has
the last value alone, while the text of the record has both: it is refused.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

CONSTRAINTS = {
    ("federation_peers", "federation_peers_name_label"): (
        "char_length(name) <= 63 AND name ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'"
    ),
    ("federation_grants", "federation_grants_name_label"): (
        "char_length(name) <= 63 AND name ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'"
    ),
    ("federation_grants", "federation_grants_subject"): (
        "char_length(subject_user_id) <= 128 AND subject_user_id ~ '^[A-Za-z0-9._@-]+$'"
    ),
    ("federation_keys", "federation_keys_spki"): (
        "char_length(spki_sha256) = 64 AND spki_sha256 ~ '^[0-9a-f]+$'"
    ),
    ("federation_certificates", "federation_certificates_serial"): (
        "char_length(serial) <= 40 AND serial ~ '^[1-9a-f][0-9a-f]*$'"
    ),
}

# PostgreSQL 15 has no such predicate. There only what may have a long number, or be deep, is
# walked, as far as may be: json keeps what jsonb drops.
UNIQUE_KEYS = """
CREATE FUNCTION federation_has_unique_keys(document text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path FROM CURRENT
AS $$
    {rule}
$$;
REVOKE ALL ON FUNCTION federation_has_unique_keys(text) FROM PUBLIC;
"""
PREDICATE = "SELECT document IS JSON WITH UNIQUE KEYS"
WALK = """
    WITH RECURSIVE walked(value, depth) AS (
        SELECT document::json, 0
        UNION ALL SELECT inside.value, walked.depth + 1 FROM walked, LATERAL (
            SELECT value FROM json_each(
                CASE json_typeof(walked.value) WHEN 'object' THEN walked.value ELSE '{}' END)
            UNION ALL SELECT value FROM json_array_elements(
                CASE json_typeof(walked.value) WHEN 'array' THEN walked.value ELSE '[]' END)
        ) AS inside WHERE walked.depth < 64
    )
    SELECT CASE WHEN document !~ '[0-9]{16}' AND octet_length(document)
            - octet_length(replace(replace(document, '[', ''), '{', '')) < 64
        THEN true
        ELSE NOT EXISTS (SELECT FROM walked WHERE depth >= 64
            OR json_typeof(value) = 'object' AND (SELECT count(*) > count(DISTINCT key)
                FROM json_object_keys(value) AS key)) END
"""

# As in 0015, of an object: `{last}` are its leaves, at any depth. A comparison with what is no
# number is unknown.
READABLE = """
CREATE FUNCTION federation_is_readable(document jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path FROM CURRENT
AS $$
    SELECT NOT (jsonb_path_exists(document, 'strict $.**{64 to last}')
        OR jsonb_path_exists(document,
            'strict $.**{last} ? (@ > 9007199254740991 || @ < -9007199254740991)'))
$$;
REVOKE ALL ON FUNCTION federation_is_readable(jsonb) FROM PUBLIC;
CREATE OR REPLACE FUNCTION federation_is_readable(document text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path FROM CURRENT
AS $$
    SELECT octet_length(document) <= 128
        OR federation_is_readable(document::jsonb) AND federation_has_unique_keys(document)
$$;
"""

# As in 0015, but the records are written together: only their hashes need one another.
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
    kinds text[];
    subjects text[];
    bodies text[];
    hashes bytea[];
    count integer := 0;
BEGIN
    -- The lock fences `seq` and `prev`: of two transactions, the second reads the head once the
    -- first has committed or rolled back, so there is no gap and no fork.
    SELECT * INTO STRICT head FROM federation_audit_head FOR UPDATE;
    written_at := clock_timestamp();
    moment := federation_moment(written_at);
    hashes[0] := head.hash;
    FOR event IN
        SELECT kind, subject, body, sha256(convert_to(body, 'UTF8')) AS digest,
            jsonb_typeof(document) = 'object' AND federation_is_readable(document)
                AND federation_has_unique_keys(data) AS readable
        FROM (SELECT e.*, e.data::jsonb AS document, -- or an error
                '{"actor":' || to_json(actor) || ',"at":"' || moment || '","data":' || e.data
                || ',"kind":' || to_json(e.kind) || ',"login":' || to_json(session_user::text)
                || ',"seq":' || head.seq + e.ordinality
                || ',"subject":' || to_json(e.subject) || '}' AS body
            FROM ROWS FROM (jsonb_to_recordset(events) AS (kind text, subject text, data text))
                WITH ORDINALITY AS e OFFSET 0) AS events_with_bodies
        ORDER BY ordinality
    LOOP
        IF event.readable IS NOT TRUE THEN
            RAISE EXCEPTION 'the data of an event is not an object that can be read'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        count := count + 1;
        kinds[count] := event.kind;
        subjects[count] := event.subject;
        bodies[count] := event.body;
        hashes[count] := sha256(convert_to(E'mosaic-audit-v1\n', 'UTF8')
            || int8send(head.seq + count) || hashes[count - 1] || event.digest);
    END LOOP;
    INSERT INTO federation_audit_log (seq, at, kind, actor, subject, body, prev, hash)
    SELECT head.seq + r.n, written_at, r.kind, actor, r.subject, r.body, r.prev, r.hash
    FROM unnest(kinds, subjects, bodies, hashes[0:count - 1], hashes[1:])
        WITH ORDINALITY AS r (kind, subject, body, prev, hash, n);
    UPDATE federation_audit_head AS h SET seq = head.seq + count, hash = hashes[count];
    RETURN jsonb_build_object('seq', head.seq + count, 'at', moment);
END $$;
"""


def upgrade() -> None:
    for (table, name), rule in CONSTRAINTS.items():
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} CHECK ({rule})"
        )
    version = op.get_bind().exec_driver_sql("SHOW server_version_num").scalar_one()
    rule = PREDICATE if int(version) >= 160_000 else WALK
    op.get_bind().exec_driver_sql(UNIQUE_KEYS.replace("{rule}", rule))
    op.execute(READABLE)
    op.execute(APPEND_EVENTS)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
