"""What lists and shows print: the contract's names as JSON, and tables that people can read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from ruamel.yaml import YAML

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

GRANT_NAMES: Final = (
    *("name", "id", "peer", "subjectUserId", "scope", "status", "suspended", "hold", "protect"),
    *("managed", "expiresAt", "activatedAt", "revokedAt", "revokedReason", "revision", "source"),
    "certificates",
)
PEER_NAMES: Final = (
    *("name", "id", "direction", "displayName", "labels", "endpoint", "status", "hold", "managed"),
    *("revision", "source", "grants"),
)
CERTIFICATE_NAMES: Final = ("serial", "fingerprint", "status", "notBefore", "notAfter")
OUTBOUND: Final = """
apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {name: acme}
spec: {direction: outbound, endpoint: "https://gateway.acme.example"}
"""


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside an applied source: an inbound peer with two grants, and an outbound one."""
    made = shell(tmp_path, database_url)
    write(
        tmp_path / "manifests",
        acme=OUTBOUND,
        beta=peer_manifest(),
        tasks=grant_manifest("beta-tasks"),
        notes=grant_manifest("beta-notes"),
    )
    made.ok("apply", "--yes")
    return made


def expire(mosaic: Quick, name: str) -> None:
    mosaic.rows.run(
        "UPDATE federation_grants SET expires_at = clock_timestamp() - interval '1 h'"
        " WHERE name = :name",
        name=name,
    )


def enroll_acme(mosaic: Quick, document: dict[str, Any]) -> None:
    """Make the outbound peer's row one that is enrolled under the grant that was `told`."""
    mosaic.rows.run(
        "UPDATE federation_peers SET status = 'active', activated_at = clock_timestamp(),"
        " cert_pem = 'leaf', cert_chain_pem = 'chain', roots_pem = 'root', csr_pem = 'csr',"
        " cert_serial = 'ab1', cert_fingerprint = 'sha256:00', cert_not_before ="
        " clock_timestamp(), cert_not_after = clock_timestamp() + interval '1 day',"
        " remote_grant = CAST(:grant AS jsonb), client_key_pem = 'MSEAL1 sealed'::bytea"
        " WHERE name = 'acme'",
        grant=json.dumps(document),
    )


def test_a_grant_as_json_has_the_names_of_the_contract_in_its_order(mosaic: Quick) -> None:
    serial = mosaic.enroll("beta-tasks")
    listed = mosaic.document("grant", "list")
    assert [each["name"] for each in listed] == ["beta-notes", "beta-tasks"]
    assert [tuple(each) for each in listed] == [GRANT_NAMES] * 2
    shown = mosaic.grant("beta-tasks")
    assert shown == listed[1]
    (certificate,) = shown["certificates"]
    assert tuple(certificate) == (*CERTIFICATE_NAMES, "use")
    assert (certificate["serial"], certificate["status"]) == (serial, "issued")
    assert shown["source"] == {"path": "tasks.yaml", "line": 4}
    assert shown["expiresAt"] == "2036-06-30T00:00:00Z"
    for at in (shown["activatedAt"], certificate["notBefore"], certificate["notAfter"]):
        assert at.endswith("Z")
    assert shown["scope"] == {
        "resources": [{"type": "tasks", "verbs": ["list", "get"]}],
        "maxRowsPerQuery": 500,
    }


def test_an_inbound_peer_as_json_has_the_names_of_the_contract(mosaic: Quick) -> None:
    shown = mosaic.document("peer", "show", "beta")
    assert tuple(shown) == PEER_NAMES
    assert (shown["grants"], shown["endpoint"]) == (["beta-notes", "beta-tasks"], None)
    assert shown in mosaic.document("peer", "list")


def test_an_outbound_peer_adds_its_certificate_and_its_grant_and_never_a_key(
    mosaic: Quick,
) -> None:
    before = mosaic.document("peer", "show", "acme")
    assert tuple(before) == (*PEER_NAMES, "certificate", "grant", "withdrawn")
    assert (before["certificate"], before["grant"]) == (None, None)
    values = {
        "id": "0198c0de-0000-7000-8000-000000000000",
        "name": "alpha-tasks",
        "peer": "alpha",
        "subjectUserId": "ada",
        "scope": {"resources": [], "maxRowsPerQuery": 1},
        "status": "active",
        "expiresAt": "2036-01-01T00:00:00Z",
    }
    enroll_acme(mosaic, values)
    done = mosaic.ok("peer", "show", "acme", "--output", "json")
    shown = done.document
    assert tuple(shown["certificate"]) == CERTIFICATE_NAMES
    assert shown["certificate"]["status"] == "issued"
    assert shown["grant"] == {name: values[name] for name in values if name != "peer"}
    for output in ("json", "yaml", "table"):
        text = mosaic.ok("peer", "show", "acme", "--output", output).out
        assert "MSEAL1" not in text
        assert "acme" in text
    assert "alpha-tasks" in mosaic.ok("peer", "list").out


def test_yaml_says_what_json_says(mosaic: Quick) -> None:
    mosaic.enroll("beta-tasks")
    for arguments in (("grant", "list"), ("grant", "show", "beta-tasks"), ("peer", "list")):
        text = mosaic.ok(*arguments, "--output", "yaml").out
        assert YAML(typ="safe", pure=True).load(text) == mosaic.document(*arguments)


def test_a_passed_end_shows_as_expired_with_no_timer_running(mosaic: Quick) -> None:
    expire(mosaic, "beta-notes")
    assert mosaic.statuses() == {"beta-notes": "expired", "beta-tasks": "pending"}
    assert mosaic.grant("beta-notes")["status"] == "expired"
    assert mosaic.document("peer", "show", "beta")["grants"] == ["beta-tasks"]
    assert (
        mosaic.rows.one("SELECT status FROM federation_grants WHERE name = 'beta-notes'")
        == "pending"
    )  # nothing has moved it


def test_lists_show_every_state_unless_status_narrows_them(mosaic: Quick) -> None:
    mosaic.enroll("beta-tasks")
    expire(mosaic, "beta-notes")
    assert list(mosaic.statuses()) == ["beta-notes", "beta-tasks"]

    def listed(kind: str, *statuses: str) -> list[str]:
        options = [word for each in statuses for word in ("--status", each)]
        return [each["name"] for each in mosaic.document(kind, "list", *options)]

    assert listed("grant", "active") == ["beta-tasks"]
    assert listed("grant", "expired") == ["beta-notes"]
    assert listed("grant", "pending") == []
    assert listed("grant", "expired", "active") == ["beta-notes", "beta-tasks"]
    assert listed("peer", "revoked") == []
    assert listed("peer", "pending") == ["acme", "beta"]


def test_a_list_of_nothing_says_so_to_people_and_is_empty_to_scripts(mosaic: Quick) -> None:
    nothing = ("--status", "revoked")
    assert mosaic.ok("grant", "list", *nothing).out == "no grant is revoked\n"
    assert mosaic.ok("peer", "list", *nothing).out == "no peer is revoked\n"
    assert mosaic.document("grant", "list", *nothing) == []


def test_a_table_fits_a_terminal_of_80_columns(mosaic: Quick) -> None:
    name = "a-grant-" + 50 * "x"
    subject = "somebody.with.a.long.name@" + 40 * "y" + ".example"
    write(mosaic.cwd / "manifests", wide=grant_manifest(name, subject=subject))
    mosaic.ok("apply", "--yes")
    mosaic.ok("grant", "suspend", name, "--reason", "because " * 20)
    lines = mosaic.at_terminal("grant", "list").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[:2] == ["NAME", "STATUS"]
    assert any(line.startswith(name) for line in lines)  # whole, where columns go
    assert "because" not in "".join(lines)
    narrow = mosaic.ok("grant", "list", COLUMNS="80").out
    assert narrow.splitlines() == lines[: len(narrow.splitlines())]
    piped = mosaic.ok("grant", "list").out
    assert name in piped
    assert subject in piped
    assert max(map(len, mosaic.at_terminal("peer", "list").out.splitlines())) <= 80


# C0, DEL, C1, bidirectional and other format controls, separators of lines and paragraphs
HOSTILE = "\x1b[2J\x7f\x9b2J\u202e\u2066\u200b\ufeff\u2028\u2029\U000e0041bad\nnews\r"


def test_control_characters_of_data_reach_no_terminal(mosaic: Quick) -> None:
    mosaic.ok("grant", "suspend", "beta-tasks", "--reason", HOSTILE)
    mosaic.ok("pause", "--reason", HOSTILE)
    mosaic.rows.run(
        "UPDATE federation_peers SET display_name = :name WHERE name = 'beta'",
        name=f"Beta\x1b]0;owned\x07{HOSTILE}",
    )
    for arguments in (
        *(("grant", "list"), ("grant", "show", "beta-tasks")),
        *(("peer", "list"), ("peer", "show", "beta")),
        *(("plan",), ("drift",), ("status",), ("doctor",)),
        *(("history",), ("explain", "grant", "beta-tasks"), ("at", "0s"), ("audit", "list")),
    ):
        for output in ("text" if arguments == ("plan",) else "table", "json", "yaml", "markdown"):
            shown = mosaic(*arguments, "--output", output)
            text = (shown.out + shown.err).replace("\n", "")
            assert text.isprintable(), (arguments, output, text)
    mosaic.ok("resume")
    assert mosaic.grant("beta-tasks")["hold"]["reason"] == HOSTILE


def test_an_error_is_one_line_whatever_it_quotes(mosaic: Quick) -> None:
    for output in ("table", "json"):
        shown = mosaic("grant", "show", HOSTILE, "--output", output)
        assert shown.code != 0
        assert shown.err.replace("\n", "").isprintable()


def test_a_show_is_a_line_a_fact_for_people(mosaic: Quick) -> None:
    lines = mosaic.ok("grant", "show", "beta-tasks").out.splitlines()
    facts = {
        line.partition(":")[0]: line.partition(":")[2].strip()
        for line in lines
        if not line.startswith(" ")
    }
    assert tuple(facts) == GRANT_NAMES
    assert (facts["managed"], facts["protect"], facts["hold"]) == ("yes", "no", "-")


@pytest.mark.parametrize("kind", ["grant", "peer"])
def test_a_name_that_is_not_there_is_told_the_nearest(mosaic: Quick, kind: str) -> None:
    done = mosaic(kind, "show", "beta-taks", "--output", "json")
    assert (done.code, done.out, done.error["code"]) == (1, "", "name_unknown")
    assert ("beta-tasks" if kind == "grant" else "beta") in done.error["hint"]


def test_a_show_has_a_line_for_each_part_of_a_fact(mosaic: Quick) -> None:
    serial = mosaic.enroll("beta-tasks")
    mosaic.ok("grant", "suspend", "beta-tasks", "--reason", "a leak")
    lines = mosaic.ok("grant", "show", "beta-tasks").out.splitlines()
    items = [line.partition(":")[2] if line[0] != " " else line for line in lines]
    parts = {part.strip().removeprefix("- ") for part in items}
    assert {"kind: suspend", "reason: a leak", f"serial: {serial}", "status: issued"} <= parts


def test_the_certificate_of_a_revoked_peer_counts_no_more(mosaic: Quick) -> None:
    enroll_acme(mosaic, {"name": "alpha-tasks"})
    assert "in 23h" in mosaic.ok("peer", "list").out
    mosaic.ok("peer", "revoke", "acme", "--yes")
    assert "in 23h" not in mosaic.ok("peer", "list").out
    assert mosaic.document("peer", "show", "acme")["certificate"]["status"] == "revoked"


def test_a_certificate_of_another_gateway_is_said_to_be_erased_and_not_revoked(
    mosaic: Quick,
) -> None:
    enroll_acme(mosaic, {"name": "alpha-tasks"})
    (mosaic.cwd / "manifests" / "acme.yaml").unlink()
    assert "1 live certificate will be erased\n" in mosaic.ok("plan").out
    assert "- 1 live certificate would be **erased**" in mosaic.ok("plan", "-o", "markdown").out
