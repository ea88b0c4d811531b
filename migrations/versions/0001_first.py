"""The first schema: peers, grants, tokens, issuances, runs and the audit chain.

What must never be untrue is held here, by types, constraints, indexes and triggers, so that no
program that writes to these tables can make it untrue.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TYPES = """
CREATE TYPE federation_peer_status AS ENUM ('pending', 'active', 'revoked');
CREATE TYPE federation_grant_status AS ENUM
    ('pending', 'active', 'suspended', 'revoked', 'expired');
CREATE TYPE federation_token_status AS ENUM ('open', 'claimed', 'spent', 'void');
CREATE TYPE federation_issuance_status AS ENUM
    ('intent', 'issued', 'revoking', 'revoked', 'abandoned');
"""

PEERS = """
CREATE TABLE federation_peers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    direction text NOT NULL,
    display_name text NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    endpoint_url text,
    status federation_peer_status NOT NULL DEFAULT 'pending',
    protect boolean NOT NULL DEFAULT false,
    hold jsonb,
    managed boolean NOT NULL DEFAULT false,
    spec_digest text NOT NULL,
    source_path text,
    source_line integer,
    revision text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    activated_at timestamptz,
    revoked_at timestamptz,
    revoked_reason text,
    cert_pem text,
    cert_chain_pem text,
    roots_pem text,
    csr_pem text,
    cert_serial text,
    cert_fingerprint text,
    cert_not_before timestamptz,
    cert_not_after timestamptz,
    remote_grant jsonb,
    client_key_pem bytea,
    CONSTRAINT federation_peers_name_label
        CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    CONSTRAINT federation_peers_direction_known CHECK (direction IN ('inbound', 'outbound')),
    CONSTRAINT federation_peers_outbound_endpoint
        CHECK (direction = 'inbound' OR endpoint_url IS NOT NULL),
    CONSTRAINT federation_peers_https CHECK (endpoint_url LIKE 'https://%'),
    CONSTRAINT federation_peers_revoked_told
        CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
    CONSTRAINT federation_peers_active_told CHECK (status <> 'active' OR activated_at IS NOT NULL),
    CONSTRAINT federation_peers_inbound_holds_nothing CHECK (
        direction = 'outbound' OR num_nonnulls(
            cert_pem, cert_chain_pem, roots_pem, csr_pem, cert_serial, cert_fingerprint,
            cert_not_before, cert_not_after, remote_grant, client_key_pem) = 0),
    CONSTRAINT federation_peers_certificate_whole CHECK (num_nulls(
        cert_pem, cert_chain_pem, cert_serial, cert_fingerprint, cert_not_before,
        cert_not_after, remote_grant) IN (0, 7)),
    CONSTRAINT federation_peers_outbound_active_whole CHECK (
        direction = 'inbound' OR status <> 'active' OR num_nulls(
            cert_pem, cert_chain_pem, roots_pem, csr_pem, cert_serial, cert_fingerprint,
            cert_not_before, cert_not_after, remote_grant, client_key_pem) = 0),
    CONSTRAINT federation_peers_key_sealed
        CHECK (substring(client_key_pem FROM 1 FOR 6) = 'MSEAL1'::bytea),
    CONSTRAINT federation_peers_key_erased
        CHECK (status <> 'revoked' OR client_key_pem IS NULL),
    CONSTRAINT federation_peers_hold_shape CHECK (
        hold IS NULL OR (hold ?& ARRAY['kind', 'by', 'at', 'reason'] AND hold ->> 'kind' = 'revoke'
            AND status = 'revoked')),
    CONSTRAINT federation_peers_direction_key UNIQUE (id, direction)
);
CREATE UNIQUE INDEX federation_peers_live_name ON federation_peers (name)
    WHERE status <> 'revoked';
CREATE UNIQUE INDEX federation_peers_held_name ON federation_peers (name)
    WHERE hold IS NOT NULL;
"""

GRANTS = """
CREATE TABLE federation_grants (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    peer_id uuid NOT NULL,
    peer_direction text NOT NULL DEFAULT 'inbound',
    subject_user_id text NOT NULL,
    scope jsonb NOT NULL,
    status federation_grant_status NOT NULL DEFAULT 'pending',
    suspended boolean NOT NULL DEFAULT false,
    protect boolean NOT NULL DEFAULT false,
    hold jsonb,
    lifetime interval NOT NULL,
    expires_at timestamptz NOT NULL,
    managed boolean NOT NULL DEFAULT false,
    spec_digest text NOT NULL,
    source_path text,
    source_line integer,
    revision text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    activated_at timestamptz,
    revoked_at timestamptz,
    revoked_reason text,
    CONSTRAINT federation_grants_peer_inbound CHECK (peer_direction = 'inbound'),
    CONSTRAINT federation_grants_peer FOREIGN KEY (peer_id, peer_direction)
        REFERENCES federation_peers (id, direction),
    CONSTRAINT federation_grants_name_label
        CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    CONSTRAINT federation_grants_subject CHECK (subject_user_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
    CONSTRAINT federation_grants_scope CHECK (coalesce( -- what is absent makes it unknown
        jsonb_typeof(scope -> 'resources') = 'array'
        AND (scope ->> 'maxRowsPerQuery')::integer BETWEEN 1 AND 10000
        AND NOT jsonb_path_exists(scope,
            '$.resources[*].type ? (!(@ == "tasks" || @ == "projects" || @ == "events"
                || @ == "notes" || @ == "memory" || @ == "knowledge"))'), false)),
    CONSTRAINT federation_grants_lifetime
        CHECK (lifetime BETWEEN interval '5 minutes' AND interval '7 days'),
    CONSTRAINT federation_grants_revoked_told
        CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
    CONSTRAINT federation_grants_enrolled_told CHECK (
        CASE status WHEN 'pending' THEN activated_at IS NULL
            WHEN 'active' THEN activated_at IS NOT NULL
            WHEN 'suspended' THEN activated_at IS NOT NULL ELSE true END),
    CONSTRAINT federation_grants_suspension CHECK (
        CASE status
            WHEN 'active' THEN NOT suspended AND hold IS NULL
            WHEN 'suspended' THEN suspended OR hold IS NOT NULL
            ELSE true END),
    CONSTRAINT federation_grants_hold_shape CHECK (
        hold IS NULL OR (hold ?& ARRAY['kind', 'by', 'at', 'reason']
            AND CASE hold ->> 'kind' WHEN 'revoke' THEN status = 'revoked'
                WHEN 'suspend' THEN status <> 'revoked' ELSE false END))
);
CREATE UNIQUE INDEX federation_grants_live_name ON federation_grants (name)
    WHERE status NOT IN ('revoked', 'expired');
CREATE UNIQUE INDEX federation_grants_held_name ON federation_grants (name)
    WHERE hold ->> 'kind' = 'revoke';
CREATE INDEX federation_grants_peer_id ON federation_grants (peer_id);
CREATE INDEX federation_grants_due ON federation_grants (expires_at)
    WHERE status NOT IN ('revoked', 'expired');
"""

TOKENS = """
CREATE TABLE federation_enrollment_tokens (
    id uuid PRIMARY KEY,
    grant_id uuid NOT NULL REFERENCES federation_grants,
    public_id text NOT NULL UNIQUE,
    mac bytea NOT NULL,
    status federation_token_status NOT NULL DEFAULT 'open',
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL,
    claimed_spki text,
    claimed_at timestamptz,
    unanswered integer NOT NULL DEFAULT 0,
    CONSTRAINT federation_tokens_public_id CHECK (public_id ~ '^[a-z2-7]{16}$'),
    CONSTRAINT federation_tokens_mac CHECK (octet_length(mac) = 32),
    CONSTRAINT federation_tokens_claim CHECK (
        CASE status WHEN 'open' THEN num_nonnulls(claimed_spki, claimed_at) = 0
            WHEN 'void' THEN num_nonnulls(claimed_spki, claimed_at) IN (0, 2)
            ELSE num_nonnulls(claimed_spki, claimed_at) = 2 END)
);
CREATE UNIQUE INDEX federation_tokens_one_usable ON federation_enrollment_tokens (grant_id)
    WHERE status IN ('open', 'claimed');
CREATE INDEX federation_tokens_grant_id ON federation_enrollment_tokens (grant_id);
"""

CERTIFICATES = """
CREATE TABLE federation_keys (
    spki_sha256 text PRIMARY KEY,
    grant_id uuid NOT NULL REFERENCES federation_grants,
    CONSTRAINT federation_keys_spki CHECK (spki_sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT federation_keys_one_grant UNIQUE (spki_sha256, grant_id)
);
CREATE TABLE federation_certificates (
    id uuid PRIMARY KEY,
    grant_id uuid NOT NULL REFERENCES federation_grants,
    token_id uuid REFERENCES federation_enrollment_tokens,
    predecessor_id uuid REFERENCES federation_certificates,
    serial text NOT NULL UNIQUE,
    spki_sha256 text NOT NULL,
    csr_pem text NOT NULL,
    status federation_issuance_status NOT NULL DEFAULT 'intent',
    lease_until timestamptz,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    cert_pem text,
    chain_pem text,
    answer text,
    fingerprint text UNIQUE,
    not_before timestamptz,
    not_after timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    issued_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT federation_certificates_one_authority
        CHECK (num_nonnulls(token_id, predecessor_id) = 1),
    CONSTRAINT federation_certificates_serial
        CHECK (serial ~ '^[1-9a-f][0-9a-f]{0,39}$'),
    CONSTRAINT federation_certificates_key FOREIGN KEY (spki_sha256, grant_id)
        REFERENCES federation_keys (spki_sha256, grant_id),
    CONSTRAINT federation_certificates_whole CHECK (num_nulls(
        cert_pem, chain_pem, answer, fingerprint, not_before, not_after, issued_at) IN (0, 7)),
    CONSTRAINT federation_certificates_status CHECK (
        CASE status WHEN 'intent' THEN cert_pem IS NULL AND lease_until IS NOT NULL
            WHEN 'abandoned' THEN cert_pem IS NULL
            WHEN 'revoking' THEN true ELSE cert_pem IS NOT NULL END),
    CONSTRAINT federation_certificates_revoked_told
        CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE UNIQUE INDEX federation_certificates_one_live_a_token
    ON federation_certificates (token_id) WHERE status IN ('intent', 'issued');
CREATE UNIQUE INDEX federation_certificates_one_successor
    ON federation_certificates (predecessor_id) WHERE status IN ('intent', 'issued');
CREATE INDEX federation_certificates_grant_id ON federation_certificates (grant_id);
CREATE INDEX federation_certificates_spki ON federation_certificates (spki_sha256);
CREATE INDEX federation_certificates_queue ON federation_certificates (next_attempt_at)
    WHERE status = 'revoking';
CREATE INDEX federation_certificates_intents ON federation_certificates (lease_until)
    WHERE status = 'intent';
"""

REST = """
CREATE TABLE federation_crls (
    issuer_key_id text PRIMARY KEY,
    der bytea NOT NULL,
    number bigint NOT NULL,
    this_update timestamptz NOT NULL,
    next_update timestamptz NOT NULL
);
CREATE TABLE federation_reconcile_runs (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    source text NOT NULL,
    revision text,
    dirty boolean NOT NULL,
    digest text NOT NULL,
    summary jsonb NOT NULL
);
CREATE TABLE federation_audit_log (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    subject text NOT NULL,
    body text NOT NULL,
    prev bytea NOT NULL UNIQUE,
    hash bytea NOT NULL UNIQUE,
    CONSTRAINT federation_audit_log_seq CHECK (seq > 0),
    CONSTRAINT federation_audit_log_hashes
        CHECK (octet_length(prev) = 32 AND octet_length(hash) = 32)
);
CREATE INDEX federation_audit_log_subject ON federation_audit_log (subject, seq);
CREATE TABLE federation_audit_head (
    only_row boolean PRIMARY KEY DEFAULT true,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT federation_audit_head_only_row CHECK (only_row)
);
INSERT INTO federation_audit_head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'));
"""

# The legal moves of reconciler/core/model/states.py; a test holds the two lists together.
MOVES = """
CREATE TABLE federation_moves (
    of_table text NOT NULL,
    old_status text NOT NULL,
    new_status text NOT NULL,
    PRIMARY KEY (of_table, old_status, new_status)
);
INSERT INTO federation_moves VALUES
    ('federation_peers', 'pending', 'active'),
    ('federation_peers', 'pending', 'revoked'),
    ('federation_peers', 'active', 'revoked'),
    ('federation_grants', 'pending', 'active'),
    ('federation_grants', 'pending', 'suspended'),
    ('federation_grants', 'active', 'suspended'),
    ('federation_grants', 'suspended', 'active'),
    ('federation_grants', 'pending', 'revoked'),
    ('federation_grants', 'pending', 'expired'),
    ('federation_grants', 'active', 'revoked'),
    ('federation_grants', 'active', 'expired'),
    ('federation_grants', 'suspended', 'revoked'),
    ('federation_grants', 'suspended', 'expired'),
    ('federation_enrollment_tokens', 'open', 'claimed'),
    ('federation_enrollment_tokens', 'claimed', 'spent'),
    ('federation_enrollment_tokens', 'open', 'void'),
    ('federation_enrollment_tokens', 'claimed', 'void'),
    ('federation_certificates', 'intent', 'issued'),
    ('federation_certificates', 'intent', 'abandoned'),
    ('federation_certificates', 'intent', 'revoking'),
    ('federation_certificates', 'issued', 'revoking'),
    ('federation_certificates', 'revoking', 'revoked'),
    ('federation_certificates', 'revoking', 'abandoned');
CREATE FUNCTION federation_check_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM federation_moves
            WHERE of_table = TG_TABLE_NAME AND old_status = OLD.status::text
                AND new_status = NEW.status::text) THEN
        RAISE EXCEPTION 'illegal move of a row of %: % to %',
            TG_TABLE_NAME, OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION federation_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
"""

VIEWS = """
CREATE VIEW federation_grants_now AS
SELECT grants.*, CASE
    WHEN grants.status IN ('pending', 'active', 'suspended')
        AND grants.expires_at <= statement_timestamp()
    THEN 'expired'::federation_grant_status ELSE grants.status END AS status_now
FROM federation_grants AS grants;
CREATE VIEW federation_authority AS
SELECT certificates.serial, certificates.fingerprint, grants.id AS grant_id,
    grants.name AS grant_name, peers.name AS peer_name, grants.subject_user_id, grants.scope,
    (certificates.status = 'issued' AND grants.status_now = 'active' AND peers.status = 'active'
        AND statement_timestamp() BETWEEN certificates.not_before AND certificates.not_after
    ) AS holds
FROM federation_certificates AS certificates
JOIN federation_grants_now AS grants ON grants.id = certificates.grant_id
JOIN federation_peers AS peers ON peers.id = grants.peer_id
WHERE certificates.cert_pem IS NOT NULL;
"""

MOVING = (
    "federation_peers",
    "federation_grants",
    "federation_enrollment_tokens",
    "federation_certificates",
)


def upgrade() -> None:
    for statements in (TYPES, PEERS, GRANTS, TOKENS, CERTIFICATES, REST, MOVES, VIEWS):
        op.execute(statements)
    for table in MOVING:
        op.execute(
            f"CREATE TRIGGER {table}_moves BEFORE UPDATE OF status ON {table} FOR EACH ROW"
            " WHEN (OLD.status IS DISTINCT FROM NEW.status)"
            " EXECUTE FUNCTION federation_check_move()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_kept BEFORE DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION federation_refuse_change()"
        )
    op.execute(
        "CREATE TRIGGER federation_audit_log_append_only"
        " BEFORE UPDATE OR DELETE OR TRUNCATE ON federation_audit_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION federation_refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER federation_audit_head_kept BEFORE DELETE OR TRUNCATE"
        " ON federation_audit_head FOR EACH STATEMENT EXECUTE FUNCTION federation_refuse_change()"
    )


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
