"""The key that an outbound peer is renewed with: stored before the renewal is sent."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NEXT_KEY = """
ALTER TABLE federation_peers
    ADD COLUMN next_client_key_pem bytea,
    ADD COLUMN next_csr_pem text,
    ADD CONSTRAINT federation_peers_next_whole
        CHECK (num_nulls(next_client_key_pem, next_csr_pem) IN (0, 2)),
    ADD CONSTRAINT federation_peers_next_sealed
        CHECK (substring(next_client_key_pem FROM 1 FOR 6) = 'MSEAL1'::bytea),
    ADD CONSTRAINT federation_peers_next_of_a_live_outbound
        CHECK (next_csr_pem IS NULL OR (direction = 'outbound' AND status = 'active'));
"""


def upgrade() -> None:
    op.execute(NEXT_KEY)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
