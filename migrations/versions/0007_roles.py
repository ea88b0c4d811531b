"""What a role that writes a table must not do with it: held by triggers and by functions.

A trigger judges by the rights of who writes, so that it needs no role by name: whoever may not
write a certificate may only have it revoked. Functions run with the owner's rights where a role has
none of its own: the audit log is appended to, and never otherwise written.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# TG_ARGV: the column that only those write who may move a row to any status; what others may.
# It is no SECURITY DEFINER: the rights that it judges are those of who writes.
CHECK_RIGHT = """
CREATE FUNCTION federation_check_right() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status::text <> TG_ARGV[1] AND NOT has_column_privilege(TG_RELID, TG_ARGV[0], 'UPDATE')
    THEN
        RAISE EXCEPTION 'the role % may move a row of % to % alone',
            current_user, TG_TABLE_NAME, TG_ARGV[1] USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER federation_certificates_right BEFORE UPDATE OF status ON federation_certificates
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION federation_check_right('cert_pem', 'revoking');
CREATE TRIGGER federation_enrollment_tokens_right
    BEFORE UPDATE OF status ON federation_enrollment_tokens
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION federation_check_right('claimed_spki', 'void');
CREATE TRIGGER federation_peers_right BEFORE UPDATE OF status ON federation_peers
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION federation_check_right('cert_pem', 'revoked');
"""

# Whose certificates a grant is for can only be restored: to what a change by hand replaced, which
# a trigger has noted and no role can write. Otherwise live certificates would be re-pointed.
CHECK_SUBJECT = """
CREATE FUNCTION federation_check_subject() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    old_row jsonb := to_jsonb(OLD);
    new_row jsonb := to_jsonb(NEW);
    each_column text;
BEGIN
    IF has_column_privilege(TG_RELID, 'id', 'UPDATE') THEN
        RETURN NEW;
    END IF;
    FOREACH each_column IN ARRAY ARRAY['subject_user_id', 'peer_id'] LOOP
        IF old_row -> each_column <> new_row -> each_column AND NOT EXISTS (
            SELECT FROM federation_hand_changes AS h
            WHERE h.row_id = NEW.id AND h.old -> each_column = new_row -> each_column)
        THEN
            RAISE EXCEPTION 'the role % may only restore % of a row of %',
                current_user, each_column, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER federation_grants_subject
    BEFORE UPDATE OF subject_user_id, peer_id ON federation_grants
    FOR EACH ROW WHEN (OLD.subject_user_id <> NEW.subject_user_id OR OLD.peer_id <> NEW.peer_id)
    EXECUTE FUNCTION federation_check_subject();
"""

# What follows from a move, whoever makes it: no right to the columns is needed for that.
CONSEQUENCES = """
CREATE FUNCTION federation_queue_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.lease_until := NULL;
    NEW.next_attempt_at := clock_timestamp();
    NEW.attempts := 0;
    NEW.revoked_at := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER federation_certificates_queued BEFORE UPDATE OF status ON federation_certificates
    FOR EACH ROW WHEN (NEW.status = 'revoking' AND OLD.status <> 'revoking')
    EXECUTE FUNCTION federation_queue_revocation();
CREATE FUNCTION federation_erase_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.client_key_pem := NULL;
    NEW.next_client_key_pem := NULL;
    NEW.next_csr_pem := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER federation_peers_erased BEFORE UPDATE OF status ON federation_peers
    FOR EACH ROW WHEN (NEW.status = 'revoked' AND OLD.status <> 'revoked')
    EXECUTE FUNCTION federation_erase_keys();
"""

# The one way to write to the audit log: records that continue the chain, of this transaction, that
# name the login which writes them. The hash is that of reconciler/core/audit/chain.py.
APPEND_AUDIT = r"""
CREATE FUNCTION federation_append_audit(records jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    head federation_audit_head;
    refused bigint;
BEGIN
    SELECT * INTO STRICT head FROM federation_audit_head FOR UPDATE;
    SELECT min(position) INTO refused FROM (
        SELECT r.*, row_number() OVER sorted AS position, lag(r.hash) OVER sorted AS before
        FROM jsonb_to_recordset(records) AS r(seq bigint, at timestamptz, kind text, actor text,
            subject text, body text, prev text, hash text)
        WINDOW sorted AS (ORDER BY r.seq)) AS record
    WHERE NOT coalesce( -- what is absent makes it unknown
        seq = head.seq + position
        AND prev = coalesce(before, encode(head.hash, 'hex'))
        AND hash = encode(sha256(convert_to(E'mosaic-audit-v1\n', 'UTF8') || int8send(seq)
            || decode(prev, 'hex') || sha256(convert_to(body, 'UTF8'))), 'hex')
        AND at BETWEEN transaction_timestamp() AND clock_timestamp()
        AND body::jsonb @> jsonb_build_object('seq', seq, 'kind', kind, 'actor', actor,
            'subject', subject, 'login', session_user), false);
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION 'record % does not continue the audit log', refused
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO federation_audit_log (seq, at, kind, actor, subject, body, prev, hash)
    SELECT seq, at, kind, actor, subject, body, decode(prev, 'hex'), decode(hash, 'hex')
    FROM jsonb_to_recordset(records) AS r(seq bigint, at timestamptz, kind text, actor text,
        subject text, body text, prev text, hash text);
    UPDATE federation_audit_head AS h SET seq = newest.seq, hash = newest.hash
    FROM (SELECT l.seq, l.hash FROM federation_audit_log AS l ORDER BY l.seq DESC LIMIT 1) AS newest
    WHERE newest.seq > h.seq;
END $$;
"""

# How many values each key id seals, for those who may not read what is sealed. A blob begins with
# MSEAL1, the length of the id (an octet) and the id: reconciler/crypto/seal.py.
SEALED_VALUES = """
CREATE FUNCTION federation_sealed_values() RETURNS TABLE (key_id text, sealed bigint)
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT CASE WHEN octet_length(value) > 7
        THEN encode(substring(value FROM 8 FOR get_byte(value, 6)), 'escape') ELSE '' END, count(*)
    FROM federation_peers, unnest(ARRAY[client_key_pem, next_client_key_pem]) AS value
    WHERE value IS NOT NULL GROUP BY 1
$$;
"""

# As before, but without CSRs, and with the right to write where no role has one.
NOTE_HAND_CHANGE = """
CREATE OR REPLACE FUNCTION federation_note_hand_change() RETURNS trigger LANGUAGE plpgsql
SET timezone TO 'UTC' SET intervalstyle TO 'postgres' AS $$ -- values read as we read rows
DECLARE
    hidden text[] := ARRAY['client_key_pem', 'next_client_key_pem', 'csr_pem', 'next_csr_pem'];
    before jsonb := CASE TG_OP WHEN 'UPDATE' THEN to_jsonb(OLD) - hidden ELSE '{}' END;
    after jsonb := to_jsonb(NEW) - hidden;
BEGIN
    INSERT INTO federation_hand_changes (of_table, row_id, name, old, new)
    SELECT TG_TABLE_NAME, NEW.id, coalesce(after ->> 'name', after ->> 'serial'),
        coalesce(jsonb_object_agg(key, before -> key) FILTER (WHERE before ? key), '{}'),
        coalesce(jsonb_object_agg(key, value), '{}')
    FROM jsonb_each(after) WHERE before -> key IS DISTINCT FROM value;
    RETURN NULL;
END $$;
"""

DEFINER = (
    "federation_append_audit(jsonb)",
    "federation_check_move()",
    "federation_note_hand_change()",
    "federation_sealed_values()",
)
INVOKER = (
    "federation_check_right()",
    "federation_check_subject()",
    "federation_erase_keys()",
    "federation_queue_revocation()",
    "federation_refuse_change()",
)
# Triggers fire whatever session_replication_role says.
ALWAYS = """
DO $$
DECLARE
    each_trigger record;
BEGIN
    FOR each_trigger IN SELECT tgrelid::regclass AS of_table, tgname FROM pg_trigger
        JOIN pg_class AS c ON c.oid = tgrelid WHERE NOT tgisinternal
        AND c.relnamespace = current_schema()::regnamespace AND relname LIKE 'federation\\_%'
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I',
            each_trigger.of_table, each_trigger.tgname);
    END LOOP;
END $$;
"""


def upgrade() -> None:
    for statements in (CHECK_RIGHT, CHECK_SUBJECT, CONSEQUENCES, APPEND_AUDIT, SEALED_VALUES):
        op.execute(statements)
    op.execute(NOTE_HAND_CHANGE)
    for function in (*DEFINER, *INVOKER):
        # the path of this transaction: the tables' schema, and what is temporary last
        op.execute(f"ALTER FUNCTION {function} SET search_path FROM CURRENT")
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    for function in DEFINER:
        op.execute(f"ALTER FUNCTION {function} SECURITY DEFINER")
    op.execute(ALWAYS)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
