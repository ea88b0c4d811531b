"""Which database this is, and whether it was restored and nobody has confirmed that yet.

The row also names the oldest program that may use the schema: migrations expand, and a later one
that takes something away moves `oldest_migration`. Until a restore is confirmed nothing holds.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# `epoch` is higher after each restore, of whatever backup; `system_identifier` is the server's, and
# empty where the owner of the tables may not know it.
CONTROL = """
CREATE TABLE federation_control (
    only_row boolean PRIMARY KEY DEFAULT true,
    system_identifier text NOT NULL DEFAULT '',
    epoch bigint NOT NULL DEFAULT 0,
    restored jsonb,
    oldest_migration text NOT NULL,
    CONSTRAINT federation_control_only_row CHECK (only_row),
    CONSTRAINT federation_control_restored CHECK (restored ?& ARRAY['by', 'at'])
);
INSERT INTO federation_control (oldest_migration) VALUES ('0013');
DO $$
BEGIN
    UPDATE federation_control
    SET system_identifier = (SELECT c.system_identifier FROM pg_control_system() AS c);
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;
CREATE TRIGGER federation_control_kept BEFORE DELETE OR TRUNCATE ON federation_control
    FOR EACH STATEMENT EXECUTE FUNCTION federation_refuse_change();
ALTER TABLE federation_control ENABLE ALWAYS TRIGGER federation_control_kept;
"""

# 'restored': nobody has confirmed it. 'replaced': a copy of the rows on another server. Else null.
RESTORED = """
CREATE FUNCTION federation_restored() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    control federation_control;
BEGIN
    SELECT * INTO STRICT control FROM federation_control;
    IF control.restored IS NOT NULL THEN
        RETURN 'restored';
    END IF;
    IF control.system_identifier <> '' AND control.system_identifier
        <> (SELECT c.system_identifier::text FROM pg_control_system() AS c)
    THEN
        RETURN 'replaced';
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION federation_restored() FROM PUBLIC;
"""

VIEW = """
CREATE OR REPLACE VIEW federation_authority AS
SELECT certificates.serial, certificates.fingerprint, grants.id AS grant_id,
    grants.name AS grant_name, peers.name AS peer_name, grants.subject_user_id, grants.scope,
    (certificates.status = 'issued' AND grants.status_now = 'active' AND peers.status = 'active'
        AND statement_timestamp() BETWEEN certificates.not_before AND certificates.not_after
        AND NOT EXISTS (SELECT FROM federation_control AS c WHERE c.restored IS NOT NULL)
    ) AS holds,
    certificates.status AS certificate_status, certificates.not_before, certificates.not_after,
    grants.status_now AS grant_status, grants.expires_at, peers.status AS peer_status,
    statement_timestamp() AS at
FROM federation_certificates AS certificates
JOIN federation_grants_now AS grants ON grants.id = certificates.grant_id
JOIN federation_peers AS peers ON peers.id = grants.peer_id
WHERE certificates.cert_pem IS NOT NULL;
"""


def upgrade() -> None:
    for statements in (CONTROL, RESTORED, VIEW):
        op.execute(statements)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
