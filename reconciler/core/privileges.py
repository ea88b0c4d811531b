"""The database's roles, and what each may do with each table, view and function: the one table.

Nothing is open that is not named here. `store/roles/making.py` makes the database so, and a
test tries every verb as every role.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Role(StrEnum):
    """A role of the database. The owner of the tables is not among them: it may do everything."""

    AUTHORITY = "mosaic_authority"  # who asks whether a certificate is valid now
    READER = "mosaic_reader"  # lists, shows, audits
    OPERATOR = "mosaic_operator"  # plan, apply, run, grants, peers, holds
    GATEWAY = "mosaic_gateway"  # the endpoint and its workers


OWNER: Final = "mosaic_owner"  # of the tables, where a superuser made them
COMMAND_LINE: Final = "mosaic_cli"  # a login for people: operator, and gateway for client keys
LOGINS: Final[Mapping[str, tuple[Role, ...]]] = {
    **dict.fromkeys(Role, ()),
    COMMAND_LINE: (Role.OPERATOR, Role.GATEWAY),
}  # each with the roles that it is a member of

READING: Final = (Role.READER, Role.OPERATOR, Role.GATEWAY)
WRITING: Final = (Role.OPERATOR, Role.GATEWAY)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a role may write in a table: these columns, and rows that it may delete."""

    insert: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    delete: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """What roles may do with a table. Every role but the authority's reads it.

    `hidden` are the columns that only the roles named with them read.
    """

    hidden: Mapping[str, tuple[Role, ...]] = field(default_factory=dict)
    operator: Rights = Rights()
    gateway: Rights = Rights()


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SOURCE: Final = _words("managed spec_digest source_path source_line revision")
_END: Final = _words("revoked_at revoked_reason")
_PEER_SPEC: Final = _words("name direction display_name labels endpoint_url protect")
_GRANT_SPEC: Final = _words("name peer_id subject_user_id scope suspended protect lifetime")
# An UPDATE of one column is what locking a row takes. This one has a single possible value.
_LOCK: Final = Rights(update=("only_row",))
_NOTICE: Final = _words("id seq event document")
# an UPDATE of a column, here too, is what locking a row takes
_CONDITIONS: Final = Rights(insert=_words("condition key facts"), update=("facts",), delete=True)

TABLES: Final[Mapping[str, Table]] = {
    "alembic_version": Table(),
    "federation_applied": Table(
        operator=Rights(
            update=_words(
                "generation at actor source revision dirty rules paused source_revision prefix"
                " rules_since overridden"
            )
        )
    ),
    "federation_audit_archives": Table(),
    "federation_audit_head": Table(operator=_LOCK, gateway=_LOCK),
    "federation_audit_log": Table(),
    "federation_certificates": Table(
        hidden={"csr_pem": (Role.GATEWAY,)},
        operator=Rights(update=("status",)),  # to `revoking` alone: a trigger holds it to that
        gateway=Rights(
            insert=_words(
                "id grant_id token_id predecessor_id serial spki_sha256 csr_pem lease_until"
            ),
            update=_words(
                "status lease_until next_attempt_at attempts last_error cert_pem chain_pem answer"
                " fingerprint not_before not_after issued_at revoked_at"
            ),
        ),
    ),
    "federation_certificate_use": Table(),
    "federation_commits": Table(
        operator=Rights(insert=_words("id author subject authored_at signer"), update=("signer",))
    ),
    "federation_conditions": Table(operator=_CONDITIONS, gateway=_CONDITIONS),
    "federation_control": Table(),
    "federation_crls": Table(
        gateway=Rights(
            insert=_words("issuer_key_id der number this_update next_update"),
            update=_words("der number this_update next_update"),
        )
    ),
    "federation_enrollment_tokens": Table(
        hidden={"mac": (Role.GATEWAY,)},
        operator=Rights(
            insert=_words("id grant_id public_id mac expires_at created_by"),
            update=("status",),  # to `void` alone: a trigger holds it to that
        ),
        gateway=Rights(update=_words("status claimed_spki claimed_at unanswered")),
    ),
    "federation_grants": Table(
        operator=Rights(
            insert=(*_words("id hold expires_at"), *_GRANT_SPEC, *_SOURCE),
            update=(
                *_words("status hold expires_at activated_at"),
                *_GRANT_SPEC,
                *_SOURCE,
                *_END,
            ),
        ),
        gateway=Rights(update=_words("status activated_at")),
    ),
    "federation_hand_changes": Table(),
    "federation_keys": Table(gateway=Rights(insert=_words("spki_sha256 grant_id"))),
    "federation_moves": Table(),
    "federation_notice_targets": Table(
        gateway=Rights(
            insert=_words("name kind events position"),
            update=_words(
                "kind events position seen_at lease lease_until attempts next_attempt_at"
                " last_success_at last_error last_error_at given_up given_up_at"
            ),
            delete=True,
        )
    ),
    "federation_notices": Table(
        operator=Rights(insert=_NOTICE), gateway=Rights(insert=_NOTICE, delete=True)
    ),
    "federation_peers": Table(
        hidden={
            "client_key_pem": (Role.GATEWAY,),
            "next_client_key_pem": (Role.GATEWAY,),
            "csr_pem": (Role.GATEWAY,),
            "next_csr_pem": (Role.GATEWAY,),
        },
        operator=Rights(
            insert=("id", *_PEER_SPEC, *_SOURCE),
            update=(*_words("status hold"), *_PEER_SPEC, *_SOURCE, *_END),
        ),
        gateway=Rights(
            update=_words(
                "status activated_at cert_pem cert_chain_pem roots_pem csr_pem cert_serial"
                " cert_fingerprint cert_not_before cert_not_after remote_grant client_key_pem"
                " next_client_key_pem next_csr_pem released_serial credential_error grant_terms"
                " withdrawn"
            )
        ),
    ),
    "federation_reconcile_runs": Table(
        operator=Rights(insert=_words("id actor source revision dirty digest summary"))
    ),
    "federation_reconcilers": Table(
        operator=Rights(
            insert=_words(
                "actor source revision every failing_since code message hint watch waits_for"
                " next_at problems problem_count"
            ),
            update=_words(
                "at source revision every failing_since code message hint watch waits_for"
                " next_at problems problem_count"
            ),
            delete=True,
        )
    ),
    "federation_theft_signals": Table(
        operator=Rights(update=_words("acknowledged_at acknowledged_by")),
        gateway=Rights(
            insert=_words("id grant_id secret code spki_sha256 address"),
            update=_words("last_at repeats unrecorded counted_at seq recorded_at"),
        ),
    ),
}

VIEWS: Final[Mapping[str, tuple[Role, ...]]] = {
    "federation_authority": (Role.AUTHORITY, *READING),
    "federation_grants_now": READING,
}

# by signature, as `regprocedure` writes it; who may call it. Triggers are called by nobody.
FUNCTIONS: Final[Mapping[str, tuple[Role, ...]]] = {
    "federation_append_audit(jsonb)": WRITING,
    "federation_append_events(text, jsonb)": WRITING,
    "federation_fingerprint(text)": (Role.AUTHORITY, *READING),
    "federation_record_use(jsonb)": (Role.AUTHORITY, Role.GATEWAY),
    "federation_restored()": (Role.AUTHORITY, *READING),
    "federation_sealed_values()": READING,
    "federation_serial(text)": (Role.AUTHORITY, *READING),
    "federation_suspend_grant(uuid, jsonb)": (Role.GATEWAY,),
}


def table_version() -> str:
    """Return a text that differs where the roles or their rights do."""
    return repr((LOGINS, TABLES, VIEWS, FUNCTIONS))


@dataclass(frozen=True, slots=True, order=True)
class Privilege:
    """One right: `kind` is the object's, as GRANT names it; `column` is empty for all of it."""

    kind: str
    name: str
    verb: str
    role: str
    column: str = ""

    def __str__(self) -> str:
        column = f" ({self.column})" if self.column else ""
        return f"{self.verb}{column} on {self.kind.lower()} {self.name}"


def table_privileges(columns: Mapping[str, tuple[str, ...]]) -> frozenset[Privilege]:
    """Return the rights on the tables and views that there are, by name with their columns."""
    granted: set[Privilege] = set()
    for name in columns.keys() & VIEWS.keys():
        granted |= {Privilege("TABLE", name, "SELECT", role) for role in VIEWS[name]}
    for name in columns.keys() & TABLES.keys():
        table = TABLES[name]
        for role in READING:
            granted |= _reading(name, table, role, columns[name])
        for role, access in ((Role.OPERATOR, table.operator), (Role.GATEWAY, table.gateway)):
            for verb, named in (("INSERT", access.insert), ("UPDATE", access.update)):
                there = set(named) & set(columns[name])
                granted |= {Privilege("TABLE", name, verb, role, column) for column in there}
            if access.delete:
                granted.add(Privilege("TABLE", name, "DELETE", role))
    return frozenset(granted)


def _reading(name: str, table: Table, role: Role, columns: tuple[str, ...]) -> set[Privilege]:
    visible = [each for each in columns if role in table.hidden.get(each, READING)]
    if len(visible) == len(columns):
        return {Privilege("TABLE", name, "SELECT", role)}
    return {Privilege("TABLE", name, "SELECT", role, column) for column in visible}
