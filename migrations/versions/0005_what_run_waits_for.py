"""What each reconciler watches and waits for, and every problem of a source that is invalid."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WAITING = """
ALTER TABLE federation_reconcilers
    ADD COLUMN watch text,
    ADD COLUMN waits_for text,
    ADD COLUMN next_at timestamptz,
    ADD COLUMN problems jsonb,
    ADD COLUMN problem_count integer,
    ADD CONSTRAINT federation_reconcilers_waiting
        CHECK (waits_for IN ('change', 'retry', 'resume', 'person')),
    ADD CONSTRAINT federation_reconcilers_problems
        CHECK (num_nulls(problems, problem_count) IN (0, 2));
"""


def upgrade() -> None:
    op.execute(WAITING)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
