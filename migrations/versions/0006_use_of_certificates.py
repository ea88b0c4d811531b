"""Who may ask for authority learns why it is denied, and what is used is remembered.

`federation_authority` gives the states and times behind `holds`, all of one moment. The role that
asks writes use through one function alone.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

VIEW = """
CREATE OR REPLACE VIEW federation_authority AS
SELECT certificates.serial, certificates.fingerprint, grants.id AS grant_id,
    grants.name AS grant_name, peers.name AS peer_name, grants.subject_user_id, grants.scope,
    (certificates.status = 'issued' AND grants.status_now = 'active' AND peers.status = 'active'
        AND statement_timestamp() BETWEEN certificates.not_before AND certificates.not_after
    ) AS holds,
    certificates.status AS certificate_status, certificates.not_before, certificates.not_after,
    grants.status_now AS grant_status, grants.expires_at, peers.status AS peer_status,
    statement_timestamp() AS at
FROM federation_certificates AS certificates
JOIN federation_grants_now AS grants ON grants.id = certificates.grant_id
JOIN federation_peers AS peers ON peers.id = grants.peer_id
WHERE certificates.cert_pem IS NOT NULL;
"""

USE = """
CREATE TABLE federation_certificate_use (
    certificate_id uuid PRIMARY KEY REFERENCES federation_certificates,
    count bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    CONSTRAINT federation_certificate_use_once CHECK (count > 0),
    CONSTRAINT federation_certificate_use_order CHECK (first_at <= last_at)
);
"""

# Rows are locked in the order of their ids, so that two writers do not wait for each other.
# The path is the one of this migration: the schema of the tables, then pg_temp.
RECORD = """
CREATE FUNCTION federation_record_use(uses jsonb) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    INSERT INTO federation_certificate_use AS known (certificate_id, count, first_at, last_at)
    SELECT certificates.id, used.count, used.first_at, used.last_at
    FROM jsonb_to_recordset(uses)
        AS used (serial text, count bigint, first_at timestamptz, last_at timestamptz)
    JOIN federation_certificates AS certificates ON certificates.serial = used.serial
    ORDER BY certificates.id
    ON CONFLICT (certificate_id) DO UPDATE SET count = known.count + excluded.count,
        first_at = least(known.first_at, excluded.first_at),
        last_at = greatest(known.last_at, excluded.last_at)
$$;
REVOKE ALL ON FUNCTION federation_record_use(jsonb) FROM PUBLIC;
"""


def upgrade() -> None:
    op.execute(VIEW)
    op.execute(USE)
    op.execute(RECORD)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
