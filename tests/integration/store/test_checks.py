"""What PostgreSQL itself takes as a name, a subject user, a key and a serial, to the letter."""

from __future__ import annotations

from typing import Final

import psycopg
import pytest

NAMES: Final = ("a", "0", "a-b", "a--b", "a" * 63)
NO_NAMES: Final = ("", "-", "-a", "a-", "a" * 64, "a" * 62 + "-", "A", "a.b", "é", "a\n", "\na")
CHECKS: Final = {
    "federation_peers_name_label": ("name", NAMES, NO_NAMES),
    "federation_grants_name_label": ("name", NAMES, NO_NAMES),
    "federation_grants_subject": (
        "subject_user_id",
        ("a", "@", "A.b-c_d@e", "a" * 128),
        ("", "a" * 129, "a b", "é", "a\n", "\n"),
    ),
    "federation_keys_spki": (
        "spki_sha256",
        ("0" * 64, "f" * 64),
        ("", "f" * 63, "f" * 65, "g" * 64, "F" * 64, "f" * 63 + "\n"),
    ),
    "federation_certificates_serial": (
        "serial",
        ("1", "10", "f" * 40),
        ("", "0", "01", "f" * 41, "F", "f\n"),
    ),
}


@pytest.mark.parametrize("check", CHECKS)
def test_a_column_takes_what_its_rule_says_and_nothing_else(database_url: str, check: str) -> None:
    column, taken, refused = CHECKS[check]
    with psycopg.connect(database_url) as connection:
        rule = connection.execute(
            "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conname = %s", [check]
        ).fetchone()
        assert rule is not None
        of_values = f"SELECT v.{column} FROM unnest(%s::text[]) AS v ({column}) WHERE {rule[0]}"
        passed = connection.execute(of_values, [[*taken, *refused]]).fetchall()
    assert [value for (value,) in passed] == list(taken)
