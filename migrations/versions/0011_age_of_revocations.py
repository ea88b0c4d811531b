"""A revocation that the CA does not have yet has an age: since when it is queued.

An alert is about the age. The next attempt says nothing of it, and the status has no time.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# With a default, revocations that wait during the upgrade have an age too, and no row is written.
QUEUED_AT = """
ALTER TABLE federation_certificates ADD COLUMN queued_at timestamptz DEFAULT now();
ALTER TABLE federation_certificates ALTER COLUMN queued_at DROP DEFAULT;
CREATE OR REPLACE FUNCTION federation_queue_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.lease_until := NULL;
    NEW.next_attempt_at := clock_timestamp();
    NEW.attempts := 0;
    NEW.revoked_at := NULL;
    NEW.queued_at := clock_timestamp();
    RETURN NEW;
END $$;
"""


def upgrade() -> None:
    op.execute(QUEUED_AT)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
