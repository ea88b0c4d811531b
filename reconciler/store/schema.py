"""The schema that this version expects, compared with what the database has. Imports no Alembic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from reconciler.errors import MosaicError, NeedsEdit, Refused
from reconciler.store.row_digests import digest_differences

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.store.db import Database, Tx

# oldest first; a test holds files to it
MIGRATIONS: Final = (
    *("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011"),
    *("0012", "0013", "0014", "0015", "0016", "0017", "0018", "0019"),
)
HEAD: Final = MIGRATIONS[-1]


def _named(names: str) -> frozenset[str]:
    return frozenset(f"federation_{each}" for each in names.split())


EXPECTED_TRIGGERS: Final = frozenset(
    {
        f"{table}_{what}"
        for table in (
            "federation_peers",
            "federation_grants",
            "federation_enrollment_tokens",
            "federation_certificates",
        )
        for what in ("moves", "kept")
    }
    | {
        f"{table}_by_hand"
        for table in ("federation_peers", "federation_grants", "federation_certificates")
    }
    | {
        "federation_audit_archives_kept",
        "federation_audit_log_append_only",
        "federation_audit_log_archived",
        "federation_certificates_queued",
        "federation_certificates_right",
        "federation_enrollment_tokens_right",
        "federation_grants_subject",
        "federation_peers_erased",
        "federation_peers_right",
        "federation_audit_head_kept",
        "federation_hand_changes_append_only",
        "federation_keys_kept",
        "federation_reconcile_runs_kept",
        "federation_commits_kept",
        "federation_control_kept",
        "federation_theft_signals_kept",
    }
)
# without those of NOT NULL, which have no names before PostgreSQL 18
EXPECTED_CONSTRAINTS: Final = _named(
    """
    applied_only_row applied_paused applied_pkey applied_revision_fkey
    audit_archives_first_seq_key audit_archives_hashes audit_archives_pkey audit_archives_range
    audit_archives_sum audit_head_only_row audit_head_pkey audit_log_hash_key audit_log_hashes
    audit_log_pkey audit_log_prev_key audit_log_seq certificate_use_certificate_id_fkey
    certificate_use_once certificate_use_order certificate_use_pkey certificates_fingerprint_key
    certificates_grant_id_fkey certificates_key certificates_one_authority certificates_pkey
    certificates_predecessor_id_fkey certificates_revoked_told certificates_serial
    certificates_serial_key certificates_status certificates_token_id_fkey certificates_whole
    commits_id commits_pkey conditions_pkey control_only_row control_pkey control_restored
    crls_pkey enrollment_tokens_grant_id_fkey enrollment_tokens_pkey
    enrollment_tokens_public_id_key grants_commit grants_end grants_enrolled_told grants_hold_at
    grants_hold_shape grants_lifetime grants_name_label grants_peer grants_peer_inbound
    grants_pkey grants_revoked_told grants_scope grants_scope_shape grants_scope_verbs
    grants_subject grants_suspension hand_changes_pkey keys_grant_id_fkey keys_one_grant
    keys_pkey keys_spki moves_pkey notice_targets_error notice_targets_given_up
    notice_targets_lease notice_targets_pkey notices_id_key notices_pkey peers_active_told
    peers_certificate_whole peers_commit peers_direction_key peers_direction_known peers_hold_at
    peers_hold_shape peers_https peers_inbound_holds_nothing peers_key_erased peers_key_sealed
    peers_labels peers_name_label peers_next_of_a_live_outbound peers_next_sealed
    peers_next_whole peers_outbound_active_whole peers_outbound_endpoint peers_pkey
    peers_released_of_an_outbound peers_revoked_told peers_withdrawn reconcile_runs_pkey
    reconcilers_failure reconcilers_pkey reconcilers_problems reconcilers_waiting runs_commit
    theft_signals_acknowledgement theft_signals_grant_id_fkey theft_signals_pkey
    theft_signals_record theft_signals_repeats theft_signals_secret theft_signals_seq_key
    tokens_claim tokens_mac tokens_public_id
    """
)
EXPECTED_UNIQUE_INDEXES: Final = _named(
    """
    certificates_one_live_a_token certificates_one_successor grants_held_name grants_live_name
    peers_held_name peers_live_name tokens_one_usable
    """
)
# what `digest` of _FUNCTIONS is of each; with PostgreSQL 15, one has another text
EXPECTED_FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "federation_append_audit(jsonb)": ("89e3664e73dd45ea",),
    "federation_append_events(text, jsonb)": ("6fc942bb02fa9ff9",),
    "federation_check_archived()": ("01bcd02f793036b8",),
    "federation_check_move()": ("54efab25a0bd7aff",),
    "federation_check_right()": ("e6fee6fc73288942",),
    "federation_check_subject()": ("79cea954b89bffef",),
    "federation_erase_keys()": ("dacac66737488730",),
    "federation_fingerprint(text)": ("a2e1522920a4da6b",),
    "federation_has_unique_keys(text)": ("fd885a6291c491a7", "1a182892e138313f"),
    "federation_is_readable(jsonb)": ("f4fde4e743698380",),
    "federation_is_readable(text)": ("983fab587e934c43",),
    "federation_moment(timestamp with time zone)": ("4a2b9515aada3191",),
    "federation_note_hand_change()": ("3beb2e5b3e349b0e",),
    "federation_queue_revocation()": ("758938db7bf6fd32",),
    "federation_record_use(jsonb)": ("8e8ba437b718df3e",),
    "federation_refuse_change()": ("eb0b7a025fd1dc0c",),
    "federation_restored()": ("3c755b59873b8f29",),
    "federation_sealed_values()": ("07ae14b247e3e2b5",),
    "federation_serial(text)": ("10dc7de725e4ec15",),
    "federation_suspend_grant(uuid, jsonb)": ("7ec259a024ced195",),
}
_FUNCTIONS: Final = """
SELECT format('%s(%s)', proname, oidvectortypes(proargtypes)) AS signature,
    left(encode(sha256(convert_to(prosecdef::text || prosrc, 'UTF8')), 'hex'), 16) AS digest
FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
    AND proname LIKE 'federation\\_%'
"""


@dataclass(frozen=True, slots=True)
class Revisions:
    """The migration that the database is at (None: none) and the newest that we know.

    `oldest` is what a schema that is newer expects its programs to know, None where it is not.
    """

    current: str | None
    head: str
    oldest: str | None = None

    @property
    def up_to_date(self) -> bool:
        """Whether the two are the same."""
        return self.current == self.head

    @property
    def unknown(self) -> bool:
        """Whether a later version has migrated the database."""
        return self.current is not None and self.current not in MIGRATIONS

    @property
    def usable(self) -> bool:
        """Whether this version may use the database: as it is, or as the newer schema says."""
        return self.up_to_date or (self.unknown and self.oldest in MIGRATIONS)


def revisions(tx: Tx) -> Revisions:
    """Return the database's migration and our newest."""
    table = tx.row("SELECT to_regclass('alembic_version') IS NOT NULL AS there")
    if table is None or not table["there"]:
        return Revisions(None, HEAD)
    row = tx.row("SELECT version_num FROM alembic_version")
    migrations = Revisions(row["version_num"] if row is not None else None, HEAD)
    if not migrations.unknown:
        return migrations
    row = tx.row("SELECT oldest_migration FROM federation_control")
    return replace(migrations, oldest=row["oldest_migration"] if row is not None else None)


def require_current(database: Database) -> None:
    """Raise unless the database is at our newest migration, or newer and open to this version.

    Raises:
        NeedsEdit: `schema_missing`: migrations have to be run.
        Refused: `schema_differs`: the database is newer than this version may use.
    """
    with database.transaction() as tx:
        require_current_in(tx)


def require_current_in(tx: Tx) -> None:
    """Do as `require_current`, in a transaction that is open."""
    migrations = revisions(tx)
    if migrations.usable:
        return
    if migrations.current is not None and migrations.unknown:
        raise unknown_migration(migrations.current)
    raise NeedsEdit(
        "schema_missing",
        f"the database is at migration {migrations.current or 'none'}, expected {migrations.head}",
        hint="run `mosaic federation db upgrade`",
    )


def unknown_migration(current: str) -> MosaicError:
    """Return the refusal of a database that a later version has migrated."""
    return Refused(
        "schema_differs",
        f"the database is at migration {current!r}, which this version does not know",
        hint="install the version that ran it, or a later one",
    )


def differences(tx: Tx) -> tuple[str, ...]:
    """Return what the database lacks of its rules: constraints, triggers, functions, digests."""
    triggers = {
        row["tgname"]: row["tgenabled"]
        for row in tx.rows(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal"
            " AND tgrelid::regclass::text LIKE 'federation_%'"
        )
    }
    missing = sorted(EXPECTED_TRIGGERS - triggers.keys())
    off = sorted(name for name in EXPECTED_TRIGGERS & triggers.keys() if triggers[name] != "A")
    return (
        *digest_differences(tx),
        *_function_differences(tx),
        *(f"the trigger {name} is missing" for name in missing),
        *(f"the trigger {name} is disabled" for name in off),
        *_constraint_differences(tx),
    )


def _function_differences(tx: Tx) -> Iterator[str]:
    digests = {row["signature"]: row["digest"] for row in tx.rows(_FUNCTIONS)}
    later = revisions(tx).unknown  # which may have changed them
    for signature, expected in EXPECTED_FUNCTIONS.items():
        if signature not in digests:
            yield f"the function {signature} is missing"
        elif digests[signature] not in expected and not later:
            yield f"the function {signature} was changed"


def _constraint_differences(tx: Tx) -> Iterator[str]:
    constraints = {
        row["conname"]: row["convalidated"]
        for row in tx.rows(
            "SELECT conname, convalidated FROM pg_constraint"
            " WHERE conrelid::regclass::text LIKE 'federation_%'"
        )
    }
    unique = tx.rows(
        "SELECT c.relname AS name FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
        " WHERE i.indisunique AND i.indisvalid"
        " AND i.indrelid::regclass::text LIKE 'federation_%'"
    )
    for name in sorted(EXPECTED_CONSTRAINTS - constraints.keys()):
        yield f"the constraint {name} is missing"
    for name in sorted(name for name, validated in constraints.items() if not validated):
        yield f"the constraint {name} is not validated"
    for name in sorted(EXPECTED_UNIQUE_INDEXES - {row["name"] for row in unique}):
        yield f"the unique index {name} is missing"
