"""A secret that came from another key than its own is shown until somebody acknowledges it.

What repeats is counted in its row, so that a flood of it does not grow the audit log.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# `secret` is `token/<public id>` or `certificate/<serial>`; `seq` is that of the audit record,
# null until it is written; `unrecorded` are the repeats that no audit record has counted yet.
SIGNALS = """
CREATE TABLE federation_theft_signals (
    id uuid PRIMARY KEY,
    grant_id uuid NOT NULL REFERENCES federation_grants,
    secret text NOT NULL,
    code text NOT NULL,
    spki_sha256 text NOT NULL,
    address text NOT NULL,
    first_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    repeats bigint NOT NULL DEFAULT 0,
    unrecorded bigint NOT NULL DEFAULT 0,
    counted_at timestamptz,
    seq bigint UNIQUE REFERENCES federation_audit_log,
    recorded_at timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text,
    CONSTRAINT federation_theft_signals_secret CHECK (secret ~ '^(token|certificate)/'),
    CONSTRAINT federation_theft_signals_repeats CHECK (unrecorded BETWEEN 0 AND repeats),
    CONSTRAINT federation_theft_signals_record CHECK (num_nulls(seq, recorded_at) IN (0, 2)),
    CONSTRAINT federation_theft_signals_acknowledgement
        CHECK (num_nulls(acknowledged_at, acknowledged_by) IN (0, 2)
            AND (acknowledged_at IS NULL OR seq IS NOT NULL))
);
CREATE INDEX federation_theft_signals_of_secret ON federation_theft_signals (secret, first_at);
CREATE INDEX federation_theft_signals_recorded ON federation_theft_signals (recorded_at);
CREATE INDEX federation_theft_signals_open ON federation_theft_signals (first_at)
    WHERE acknowledged_at IS NULL;
CREATE TRIGGER federation_theft_signals_kept BEFORE DELETE OR TRUNCATE ON federation_theft_signals
    FOR EACH STATEMENT EXECUTE FUNCTION federation_refuse_change();
ALTER TABLE federation_theft_signals ENABLE ALWAYS TRIGGER federation_theft_signals_kept;
"""

# The one hold that a gateway takes, as it has no right to holds: it lifts none and replaces none.
SUSPEND = """
CREATE FUNCTION federation_suspend_grant(held uuid, why jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    UPDATE federation_grants SET hold = why, status = CASE status
        WHEN 'active' THEN 'suspended'::federation_grant_status ELSE status END
    WHERE id = held AND hold IS NULL AND status NOT IN ('revoked', 'expired')
        AND why ->> 'kind' = 'suspend';
    RETURN FOUND;
END $$;
REVOKE ALL ON FUNCTION federation_suspend_grant(uuid, jsonb) FROM PUBLIC;
"""

# What a renewal reads: not every certificate that the grant has ever had.
LIVE = """
CREATE INDEX federation_certificates_live ON federation_certificates (grant_id)
    WHERE status IN ('intent', 'issued');
"""


def upgrade() -> None:
    op.execute(SIGNALS)
    op.execute(SUSPEND)
    op.execute(LIVE)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
