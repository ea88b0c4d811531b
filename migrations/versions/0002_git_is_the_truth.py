"""What was applied, from which commit, by whom; and what was changed by hand.

A transaction of ours sets `mosaic.writer`; a change of a row without it is written down by a
trigger, so that `drift` can say who and when. It is a record for people, no border against them.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COMMITS = """
CREATE TABLE federation_commits (
    id text PRIMARY KEY,
    author text NOT NULL,
    subject text NOT NULL,
    authored_at timestamptz NOT NULL,
    signer text,
    CONSTRAINT federation_commits_id CHECK (id ~ '^([0-9a-f]{40}|[0-9a-f]{64})$')
);
ALTER TABLE federation_peers ADD CONSTRAINT federation_peers_commit
    FOREIGN KEY (revision) REFERENCES federation_commits;
ALTER TABLE federation_grants ADD CONSTRAINT federation_grants_commit
    FOREIGN KEY (revision) REFERENCES federation_commits;
ALTER TABLE federation_reconcile_runs ADD CONSTRAINT federation_runs_commit
    FOREIGN KEY (revision) REFERENCES federation_commits;
"""

# `generation` counts the applies of a whole source: one that was read before the newest is stale.
APPLIED = """
CREATE INDEX federation_audit_log_row
    ON federation_audit_log ((body::jsonb #>> '{data,id}'));
CREATE TABLE federation_applied (
    only_row boolean PRIMARY KEY DEFAULT true,
    generation bigint NOT NULL DEFAULT 0,
    at timestamptz,
    actor text,
    source text,
    revision text REFERENCES federation_commits,
    dirty boolean NOT NULL DEFAULT false,
    rules text,
    paused jsonb,
    CONSTRAINT federation_applied_only_row CHECK (only_row),
    CONSTRAINT federation_applied_paused CHECK (paused ?& ARRAY['by', 'at', 'reason'])
);
INSERT INTO federation_applied DEFAULT VALUES;
CREATE TABLE federation_reconcilers (
    actor text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    source text NOT NULL,
    revision text,
    every interval NOT NULL,
    failing_since timestamptz,
    code text,
    message text,
    hint text,
    CONSTRAINT federation_reconcilers_failure
        CHECK (num_nulls(failing_since, code, message, hint) IN (0, 4))
);
"""

HAND_CHANGES = """
CREATE TABLE federation_hand_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    of_table text NOT NULL,
    row_id uuid NOT NULL,
    name text NOT NULL,
    by_role text NOT NULL DEFAULT session_user,
    application text NOT NULL DEFAULT coalesce(current_setting('application_name', true), ''),
    address inet DEFAULT inet_client_addr(),
    old jsonb NOT NULL,
    new jsonb NOT NULL
);
CREATE INDEX federation_hand_changes_row ON federation_hand_changes (row_id, id);
CREATE FUNCTION federation_note_hand_change() RETURNS trigger LANGUAGE plpgsql
SET timezone TO 'UTC' SET intervalstyle TO 'postgres' AS $$ -- values read as we read rows
DECLARE
    sealed text[] := ARRAY['client_key_pem', 'next_client_key_pem'];
    before jsonb := CASE TG_OP WHEN 'UPDATE' THEN to_jsonb(OLD) - sealed ELSE '{}' END;
    after jsonb := to_jsonb(NEW) - sealed;
BEGIN
    INSERT INTO federation_hand_changes (of_table, row_id, name, old, new)
    SELECT TG_TABLE_NAME, NEW.id, coalesce(after ->> 'name', after ->> 'serial'),
        coalesce(jsonb_object_agg(key, before -> key) FILTER (WHERE before ? key), '{}'),
        coalesce(jsonb_object_agg(key, value), '{}')
    FROM jsonb_each(after) WHERE before -> key IS DISTINCT FROM value;
    RETURN NULL;
END $$;
"""

WATCHED = ("federation_peers", "federation_grants", "federation_certificates")
KEPT = ("federation_keys", "federation_reconcile_runs", "federation_commits")

SCOPE = """
ALTER TABLE federation_grants ADD CONSTRAINT federation_grants_scope_verbs CHECK (
    NOT jsonb_path_exists(scope, '$.resources[*].verbs[*] ? (!(@ == "list" || @ == "get"))')
    AND NOT jsonb_path_exists(scope, '$.resources[*] ? (!exists(@.type) || !exists(@.verbs))'));
"""

# What is written by hand must be readable: one row that is not would stop every plan.
READABLE = """
ALTER TABLE federation_grants
    ADD CONSTRAINT federation_grants_scope_shape CHECK (
        coalesce(jsonb_typeof(scope -> 'maxRowsPerQuery'), '') = 'number'
        AND NOT jsonb_path_exists(scope, '$.resources[*] ? (@.type() != "object"
            || @.verbs.type() != "array" || @.filter.type() != "object"
            || @.filter.teams.type() != "array" || @.filter.personal.type() != "boolean"
            || exists(@.filter.teams[*] ? (@.type() != "string")))')),
    ADD CONSTRAINT federation_grants_end CHECK (
        expires_at >= '0001-01-01 00:00:00+00' AND expires_at < '10000-01-01 00:00:00+00'),
    ADD CONSTRAINT federation_grants_hold_at CHECK (
        hold ->> 'at' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z$');
ALTER TABLE federation_peers
    ADD CONSTRAINT federation_peers_labels CHECK (jsonb_typeof(labels) = 'object'
        AND NOT jsonb_path_exists(labels, '$.* ? (@.type() != "string")')),
    ADD CONSTRAINT federation_peers_hold_at CHECK (
        hold ->> 'at' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z$');
"""

# A revocation that the CA's list lacks is carried to the CA again.
MOVES = """
INSERT INTO federation_moves VALUES ('federation_certificates', 'revoked', 'revoking');
"""


def upgrade() -> None:
    for statements in (COMMITS, APPLIED, HAND_CHANGES, SCOPE, READABLE, MOVES):
        op.execute(statements)
    for table in WATCHED:
        op.execute(
            f"CREATE TRIGGER {table}_by_hand AFTER INSERT OR UPDATE ON {table} FOR EACH ROW"
            " WHEN (coalesce(current_setting('mosaic.writer', true), '') <> 'on')"
            " EXECUTE FUNCTION federation_note_hand_change()"
        )
    for table in KEPT:
        op.execute(
            f"CREATE TRIGGER {table}_kept BEFORE DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION federation_refuse_change()"
        )
    op.execute(
        "CREATE TRIGGER federation_hand_changes_append_only"
        " BEFORE UPDATE OR DELETE OR TRUNCATE ON federation_hand_changes"
        " FOR EACH STATEMENT EXECUTE FUNCTION federation_refuse_change()"
    )


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
