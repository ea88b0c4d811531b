"""What grows for ever is read by an index: certificates that have not ended, and rows by name."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# The workers compare what has not ended with the CA's list every 10 s: certificates that have ended
# are most of all there are. So are grants that have ended, of each name.
INDEXES = """
CREATE INDEX federation_certificates_not_after ON federation_certificates (not_after);
CREATE INDEX federation_grants_name ON federation_grants (name);
CREATE INDEX federation_audit_log_replaced ON federation_audit_log
    ((body::jsonb #>> '{data,replaces}')) WHERE kind IN ('peer.replaced', 'grant.replaced');
"""


def upgrade() -> None:
    op.execute(INDEXES)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
