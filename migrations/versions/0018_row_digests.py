"""Each row of a peer and of a grant has a digest, which PostgreSQL computes as it is written.

So a plan need not read the rows that are what their manifests declare. It is of the columns as they
are, whoever wrote them: `spec_digest` is what we stored. reconciler/core/model/row_digest.py
computes the same, and a test holds both together.
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# A generated column may not depend on the settings of a session, so a time is in its binary form
# and a status is a comparison. Values are quoted, so that no two rows read alike. The place of the
# manifest and the peer of a grant are compared beside the digest.
COLUMN = """
ALTER TABLE {table} ADD COLUMN row_digest bytea NOT NULL GENERATED ALWAYS AS (
    sha256(decode(replace({columns}, '\\', '\\\\'), 'escape'))) STORED;
"""
COLUMNS = {
    "federation_peers": (
        *("name", "spec_digest", "managed::text", "hold::text"),
        *("(status = 'revoked')::text", "protect::text"),
        *("direction", "display_name", "endpoint_url", "labels::text"),
    ),
    "federation_grants": (
        *("name", "spec_digest", "managed::text", "hold::text"),
        *("(status IN ('revoked', 'expired'))::text", "protect::text"),
        *("subject_user_id", "scope::text", "suspended::text"),
        "extract(epoch FROM lifetime)::text",
        "encode(timestamptz_send(expires_at), 'hex')",
    ),
}

# A view has the columns that its tables had when it was made.
GRANTS_NOW = """
CREATE OR REPLACE VIEW federation_grants_now AS
SELECT grants.id, grants.name, grants.peer_id, grants.peer_direction, grants.subject_user_id,
    grants.scope, grants.status, grants.suspended, grants.protect, grants.hold, grants.lifetime,
    grants.expires_at, grants.managed, grants.spec_digest, grants.source_path, grants.source_line,
    grants.revision, grants.created_at, grants.activated_at, grants.revoked_at,
    grants.revoked_reason,
    CASE
        WHEN grants.status IN ('pending', 'active', 'suspended')
            AND grants.expires_at <= statement_timestamp()
        THEN 'expired'::federation_grant_status ELSE grants.status END AS status_now,
    grants.row_digest
FROM federation_grants AS grants;
"""

# As before, but without the digest, which says nothing to people.
NOTE_HAND_CHANGE = """
CREATE OR REPLACE FUNCTION federation_note_hand_change() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET timezone TO 'UTC' SET intervalstyle TO 'postgres' SET search_path FROM CURRENT
AS $$ -- values read as we read rows
DECLARE
    hidden text[] := ARRAY['client_key_pem', 'next_client_key_pem', 'csr_pem', 'next_csr_pem',
        'row_digest'];
    before jsonb := CASE TG_OP WHEN 'UPDATE' THEN to_jsonb(OLD) - hidden ELSE '{}' END;
    after jsonb := to_jsonb(NEW) - hidden;
BEGIN
    INSERT INTO federation_hand_changes (of_table, row_id, name, old, new)
    SELECT TG_TABLE_NAME, NEW.id, coalesce(after ->> 'name', after ->> 'serial'),
        coalesce(jsonb_object_agg(key, before -> key) FILTER (WHERE before ? key), '{}'),
        coalesce(jsonb_object_agg(key, value), '{}')
    FROM jsonb_each(after) WHERE before -> key IS DISTINCT FROM value;
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        quoted = " || ',' || ".join(f"quote_nullable({each})" for each in columns)
        op.execute(COLUMN.format(table=table, columns=quoted))
    op.execute(GRANTS_NOW)
    op.execute(NOTE_HAND_CHANGE)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
