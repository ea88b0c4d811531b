"""Records of the audit log can be moved to a file: the log in the database begins after them.

A record is removed only if an archive covers it, and only the owner of the tables can write one
down. The record that the removal appends names the archive, so one without it is found.
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# `log_hash` is the hash of the log's first record; `last_at` the time of the archive's last one.
# `state` is what all records so far say of rows and certificates; only the newest archive has it.
ARCHIVES = """
CREATE TABLE federation_audit_archives (
    last_seq bigint PRIMARY KEY,
    first_seq bigint NOT NULL UNIQUE,
    last_hash bytea NOT NULL,
    log_hash bytea NOT NULL,
    last_at timestamptz NOT NULL,
    file text NOT NULL,
    sha256 text NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text,
    CONSTRAINT federation_audit_archives_range CHECK (first_seq BETWEEN 1 AND last_seq),
    CONSTRAINT federation_audit_archives_hashes
        CHECK (octet_length(last_hash) = 32 AND octet_length(log_hash) = 32),
    CONSTRAINT federation_audit_archives_sum CHECK (sha256 ~ '^sha256:[0-9a-f]{64}$')
);
CREATE TRIGGER federation_audit_archives_kept
    BEFORE DELETE OR TRUNCATE ON federation_audit_archives
    FOR EACH STATEMENT EXECUTE FUNCTION federation_refuse_change();
ALTER TABLE federation_audit_archives ENABLE ALWAYS TRIGGER federation_audit_archives_kept;
"""

# For each row, as a table of removed rows would be as large as what is archived.
REMOVAL = """
CREATE FUNCTION federation_check_archived() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF OLD.seq <= (SELECT max(last_seq) FROM federation_audit_archives) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'DELETE of % is refused: record % is in no archive', TG_TABLE_NAME, OLD.seq
        USING ERRCODE = 'insufficient_privilege';
END $$;
REVOKE ALL ON FUNCTION federation_check_archived() FROM PUBLIC;
DROP TRIGGER federation_audit_log_append_only ON federation_audit_log;
CREATE TRIGGER federation_audit_log_append_only
    BEFORE UPDATE OR TRUNCATE ON federation_audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION federation_refuse_change();
CREATE TRIGGER federation_audit_log_archived BEFORE DELETE ON federation_audit_log
    FOR EACH ROW EXECUTE FUNCTION federation_check_archived();
ALTER TABLE federation_audit_log ENABLE ALWAYS TRIGGER federation_audit_log_append_only;
ALTER TABLE federation_audit_log ENABLE ALWAYS TRIGGER federation_audit_log_archived;
"""

# A signal and a notice outlive their records.
REFERENCES = """
ALTER TABLE federation_theft_signals DROP CONSTRAINT federation_theft_signals_seq_fkey;
ALTER TABLE federation_notices DROP CONSTRAINT federation_notices_seq_fkey;
"""


def upgrade() -> None:
    for statements in (ARCHIVES, REMOVAL, REFERENCES):
        op.execute(statements)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
