"""Serials and fingerprints in every usual spelling, for those who look them up by SQL."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The same spellings as `reconciler.core.issuance.serials`; NULL where the text is none, so that
# a lookup with it finds no certificate. Only ASCII is folded to lower case, in every locale.
SERIAL = r"""
CREATE FUNCTION federation_serial(spelling text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word text := translate(btrim(spelling, E' \t\r\n'),
        'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz');
    digits text;
    value numeric;
BEGIN
    IF length(word) > 200 THEN
        RETURN NULL;
    END IF;
    IF word ~ '^serial[ \t]*:[ \t\r\n]*[0-9]+$' THEN
        digits := ltrim(substring(word FROM '[0-9]+$'), '0');
        IF length(digits) NOT BETWEEN 1 AND 49 THEN
            RETURN NULL;
        END IF;
        value := digits::numeric;
        digits := '';
        WHILE value > 0 LOOP
            digits := substr('0123456789abcdef', (value % 16)::integer + 1, 1) || digits;
            value := div(value, 16);
        END LOOP;
    ELSE
        word := regexp_replace(word,
            '^(serial[ \t]*=|serial number[ \t]*[:=])[ \t\r\n]*', '');
        IF word ~ '^[0-9]+ \(0x[0-9a-f]+\)$' THEN
            digits := substring(word FROM '\(0x([0-9a-f]+)\)$');
        ELSE
            digits := regexp_replace(word, '^0x', '');
        END IF;
        digits := translate(digits, E': \t\r\n', '');
    END IF;
    IF length(digits) = 64 OR digits !~ '^[0-9a-f]+$' THEN
        RETURN NULL;
    END IF;
    digits := ltrim(digits, '0');
    RETURN CASE WHEN length(digits) BETWEEN 1 AND 40 THEN digits END;
END
$$;
"""

FINGERPRINT = r"""
CREATE FUNCTION federation_fingerprint(spelling text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word text := translate(btrim(spelling, E' \t\r\n'),
        'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz');
    digits text;
BEGIN
    IF length(word) > 200 THEN
        RETURN NULL;
    END IF;
    digits := translate(
        regexp_replace(word, '^sha-?256([ \t]+fingerprint)?[ \t]*[:=][ \t\r\n]*', ''),
        E': \t\r\n', '');
    RETURN CASE WHEN digits ~ '^[0-9a-f]{64}$' THEN 'sha256:' || digits END;
END
$$;
"""


def upgrade() -> None:
    op.execute(SERIAL)
    op.execute(FINGERPRINT)


def downgrade() -> None:
    raise RuntimeError("rows and the audit chain are never taken away: restore a backup instead")
