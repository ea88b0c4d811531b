"""What the applied rules of trust are judged by, and the apply that overrode them."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TRUST = """
ALTER TABLE federation_applied
    ADD COLUMN source_revision text,
    ADD COLUMN prefix text,
    ADD COLUMN rules_since text,
    ADD COLUMN overridden jsonb;
UPDATE federation_applied SET source_revision = revision,
    rules_since = CASE WHEN rules IS NOT NULL THEN revision END;
"""


def upgrade() -> None:
    op.execute(TRUST)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
