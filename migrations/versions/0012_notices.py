"""People and forges are told of what happens, once when it begins and once when it is over.

A notice is written in the transaction of its audit record. Each target has a position in the
notices, so that one that cannot be reached holds up no other.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# By `seq`, that of the audit record: a smaller one is never committed later.
NOTICES = """
CREATE TABLE federation_notices (
    seq bigint PRIMARY KEY REFERENCES federation_audit_log,
    id uuid NOT NULL UNIQUE,
    event text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    document text NOT NULL
);
CREATE INDEX federation_notices_by_time ON federation_notices (at);
"""

# `position` is the `seq` of the last notice that is done with; `lease` names the process that
# sends the next one, until `lease_until`.
TARGETS = """
CREATE TABLE federation_notice_targets (
    name text PRIMARY KEY,
    kind text NOT NULL,
    events text[] NOT NULL,
    position bigint NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease uuid,
    lease_until timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    last_success_at timestamptz,
    last_error text,
    last_error_at timestamptz,
    given_up bigint NOT NULL DEFAULT 0,
    given_up_at timestamptz,
    CONSTRAINT federation_notice_targets_lease CHECK (num_nulls(lease, lease_until) IN (0, 2)),
    CONSTRAINT federation_notice_targets_error
        CHECK (num_nulls(last_error, last_error_at) IN (0, 2)),
    CONSTRAINT federation_notice_targets_given_up
        CHECK (given_up >= 0 AND (given_up = 0) = (given_up_at IS NULL))
);
"""

# What has begun and is not over, so that it is told once whoever notices it.
CONDITIONS = """
CREATE TABLE federation_conditions (
    condition text NOT NULL,
    key text NOT NULL,
    facts jsonb NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (condition, key)
);
"""


def upgrade() -> None:
    op.execute(NOTICES)
    op.execute(TARGETS)
    op.execute(CONDITIONS)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
