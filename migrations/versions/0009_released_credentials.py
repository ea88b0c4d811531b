"""What of an outbound peer left the database, and what its gateway took back."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

RELEASED = """
ALTER TABLE federation_peers
    ADD COLUMN released_serial text,
    ADD COLUMN credential_error text,
    ADD COLUMN grant_terms jsonb,
    ADD COLUMN withdrawn jsonb,
    ADD CONSTRAINT federation_peers_withdrawn
        CHECK (withdrawn ->> 'what' IN ('suspended', 'narrowed', 'ended')),
    ADD CONSTRAINT federation_peers_released_of_an_outbound
        CHECK (direction = 'outbound'
            OR num_nonnulls(released_serial, credential_error, grant_terms, withdrawn) = 0);
"""


def upgrade() -> None:
    op.execute(RELEASED)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
