"""`grant create`: a manifest, its rows and an invitation, or none of them."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.issuance.invitation import parse_invitation
from reconciler.core.setting_values import SourceSetting
from reconciler.loops.run import After, Loop
from reconciler.loops.triggers import Triggers
from reconciler.store.locks import locked
from tests.support.commands.in_process import GRANTED, SCOPE, Quick, invitation_of
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest


def counts(mosaic: Quick) -> tuple[int, int]:
    peers = mosaic.rows.one("SELECT count(*) FROM federation_peers")
    grants = mosaic.rows.one("SELECT count(*) FROM federation_grants")
    return peers, grants


def test_create_writes_the_grant_and_its_missing_peer_and_prints_one_invitation(
    mosaic: Quick,
) -> None:
    done = mosaic.ok("grant", "create", "beta-tasks", *GRANTED)
    assert mosaic.manifests() == ["beta-tasks.yaml", "beta.yaml"]
    acting, *lines = done.err.splitlines()
    assert acting.startswith("acting on the database")
    assert lines[:3] == [
        f"wrote {mosaic.cwd / 'manifests' / 'beta.yaml'}",
        f"wrote {mosaic.cwd / 'manifests' / 'beta-tasks.yaml'}",
        "grant/beta-tasks is pending",
    ]
    assert "shown once" in lines[3]
    assert "mosf1_" not in done.err
    assert parse_invitation(done.out).url() == done.out.strip(), "the bare URL, to be piped"
    text = (mosaic.cwd / "manifests" / "beta-tasks.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=")
    assert "mosf1_" not in text
    assert mosaic.ok("validate").out == "valid: 1 peer and 1 grant\n"


def test_an_apply_right_after_a_create_is_a_no_op_that_adopts(mosaic: Quick) -> None:
    created = mosaic.create("beta-tasks")
    assert created["managed"] is False
    assert mosaic("plan", "--detailed-exitcode").code == 0
    applied = mosaic.document("apply", "--yes")
    assert applied["changes"] == []
    assert applied["summary"]["total"] == 2
    after = mosaic.grant("beta-tasks")
    assert (after["managed"], after["id"]) == (True, created["id"])
    assert mosaic.document("peer", "show", "beta")["managed"] is True


def test_create_prints_the_grant_and_its_invitation_as_json(mosaic: Quick) -> None:
    created = mosaic.create("beta-tasks", "--token-life", "2h")
    invitation = created.pop("invitation")
    assert created == mosaic.grant("beta-tasks")
    assert set(invitation) == {"url", "expiresAt"}
    left = datetime.fromisoformat(invitation["expiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=115) < left <= timedelta(hours=2)
    assert created["scope"] == json.loads(SCOPE)
    assert mosaic.token_status(invitation_of({"invitation": invitation}).token) == "open"


def test_a_peer_that_is_declared_is_not_declared_again(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", all=peer_manifest())
    mosaic.create("beta-tasks")
    assert mosaic.manifests() == ["all.yaml", "beta-tasks.yaml"]
    mosaic.create("beta")  # its file's name is free, for a grant
    assert mosaic.manifests() == ["all.yaml", "beta-tasks.yaml", "beta.yaml"]


def test_a_create_leaves_other_pending_changes_alone(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    mosaic.ok("apply", "--yes")
    write(
        mosaic.cwd / "manifests",
        tasks=grant_manifest("beta-tasks", rows=9),
        gamma=peer_manifest("gamma"),
    )
    mosaic.create("beta-notes")
    assert mosaic.grant("beta-tasks")["scope"]["maxRowsPerQuery"] == 500
    assert mosaic.statuses("peer") == {"beta": "pending"}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ('{"resources": [{"type": "taks", "verbs": ["list"]}], "maxRowsPerQuery": 5}', "tasks"),
        (
            '{"resources": [{"type": "credentials", "verbs": ["list"]}], "maxRowsPerQuery": 5}',
            "never",
        ),
        ('{"resources": [{"type": "tasks", "verbs": ["list"]}]}', "maxRowsPerQuery"),
        ('{"resources": [}', "scope"),
        ("nowhere.json", "'nowhere.json' cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_wrong_scope_is_refused_with_nothing_written(
    mosaic: Quick, scope: str, expected: str
) -> None:
    items = ("--peer", "beta", "--subject-user", "maria", "--scope", scope)
    done = mosaic("grant", "create", "beta-tasks", *items)
    assert done.code == 1
    assert expected in done.err
    assert (mosaic.manifests(), counts(mosaic)) == ([], (0, 0))


@pytest.mark.parametrize(
    "options",
    [
        ("--expires", "2020-01-01T00:00:00Z"),
        ("--expires", "soon"),
        ("--expires", "2027-13-01T00:00:00Z"),
        ("--lifetime", "1m"),
        ("--lifetime", "8d"),
        ("--subject-user", "two words"),
        ("--peer", "Not_A_Label"),
    ],
)
def test_a_wrong_value_is_refused_with_nothing_written(
    mosaic: Quick, options: tuple[str, ...]
) -> None:
    done = mosaic("grant", "create", "beta-tasks", *GRANTED, *options, "--output", "json")
    assert done.code == 1
    assert set(done.error) == {"code", "message", "hint", "exitCode"}
    assert (mosaic.manifests(), counts(mosaic)) == ([], (0, 0))


def test_a_token_that_would_live_too_long_is_refused_with_nothing_written(mosaic: Quick) -> None:
    done = mosaic("grant", "create", "beta-tasks", *GRANTED, "--token-life", "8d")
    assert done.code in (1, 64)
    assert "7d" in done.err
    assert (mosaic.manifests(), counts(mosaic)) == ([], (0, 0))


def test_its_options_are_in_the_manifest_and_in_the_row(mosaic: Quick) -> None:
    end = "2036-06-30T00:00:00Z"
    created = mosaic.create("beta-tasks", "--expires", end, "--lifetime", "1h", "--suspended")
    assert (created["expiresAt"], created["suspended"]) == (end, True)
    assert created["status"] == "pending"
    text = (mosaic.cwd / "manifests" / "beta-tasks.yaml").read_text()
    assert "lifetime: 1h" in text
    assert "suspended: true" in text
    lifetime = mosaic.rows.one("SELECT lifetime FROM federation_grants")
    assert lifetime == timedelta(hours=1)
    soon = mosaic.create("beta-soon", "--expires", "30d")
    left = datetime.fromisoformat(soon["expiresAt"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)


def test_with_no_write_there_are_rows_and_no_manifest_and_no_loop_removes_them(
    mosaic: Quick,
) -> None:
    write(mosaic.cwd / "manifests", gamma=peer_manifest("gamma"))
    done = mosaic.ok("grant", "create", "beta-tasks", *GRANTED, "--no-write")
    assert mosaic.manifests() == ["gamma.yaml"]
    assert "wrote" not in done.err
    plan = mosaic.document("apply", "--yes")
    assert {note["name"]: note["note"] for note in plan["notes"]} == {
        "beta": "not_in_git_yet",
        "beta-tasks": "not_in_git_yet",
    }
    assert mosaic.statuses() == {"beta-tasks": "pending"}


def test_a_scope_comes_from_a_file_or_standard_input_or_stands_there(mosaic: Quick) -> None:
    (mosaic.cwd / "scope.yaml").write_text(
        "resources: [{type: notes, verbs: [get]}]\nmaxRowsPerQuery: 7\n"
    )
    items = ("--peer", "beta", "--subject-user", "maria", "--output", "json", "--scope")
    of_file = mosaic.ok("grant", "create", "a", *items, "scope.yaml").document
    piped = mosaic.ok("grant", "create", "b", *items, "-", stdin=SCOPE).document
    inline = mosaic.ok("grant", "create", "c", *items, f" {SCOPE}").document
    assert of_file["scope"]["maxRowsPerQuery"] == 7
    assert piped["scope"] == inline["scope"] == json.loads(SCOPE)


def test_a_name_that_is_taken_is_refused_wherever_it_is(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    in_git = mosaic("grant", "create", "beta-tasks", *GRANTED, "--output", "json")
    assert (in_git.code, in_git.error["code"]) == (1, "name_taken")
    assert "tasks.yaml:4" in in_git.error["message"]
    mosaic.ok("apply", "--yes")
    (mosaic.cwd / "manifests" / "tasks.yaml").unlink()
    in_rows = mosaic("grant", "create", "beta-tasks", *GRANTED, "--output", "json")
    assert (in_rows.code, in_rows.error["code"]) == (1, "name_taken")
    assert "grant invite beta-tasks" in in_rows.error["hint"]
    assert mosaic.manifests() == ["beta.yaml"]


def test_a_name_that_an_operator_revoked_is_refused_until_it_is_resumed(mosaic: Quick) -> None:
    first = mosaic.create("beta-tasks")
    mosaic.ok("grant", "revoke", "beta-tasks", "--yes")
    (mosaic.cwd / "manifests" / "beta-tasks.yaml").unlink()
    held = mosaic("grant", "create", "beta-tasks", *GRANTED)
    assert held.code == 1
    assert "mosaic federation grant resume beta-tasks" in held.err
    assert mosaic.manifests() == ["beta.yaml"]
    mosaic.ok("grant", "resume", "beta-tasks")
    assert mosaic.create("beta-tasks")["id"] != first["id"]


def test_an_apply_that_fails_leaves_no_file(mosaic: Quick) -> None:
    with locked(mosaic.rows.database, timedelta(seconds=5)):
        done = mosaic("grant", "create", "beta-tasks", *GRANTED, "--wait-lock", "1s")
    assert done.code == 4
    assert (mosaic.manifests(), counts(mosaic)) == ([], (0, 0))
    assert mosaic.create("beta-tasks")["status"] == "pending"


def test_no_loop_sees_a_manifest_before_its_rows_are_there(mosaic: Quick) -> None:
    with ThreadPoolExecutor() as pool, locked(mosaic.rows.database, timedelta(seconds=5)) as tx:
        creating = pool.submit(mosaic.process, "grant", "create", "beta-tasks", *GRANTED)
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not tx.rows(waiting)[0]["count"]:
            assert not creating.done()
            time.sleep(0.05)
        assert mosaic.manifests() == []
    assert creating.result().code == 0
    assert mosaic.manifests() == ["beta-tasks.yaml", "beta.yaml"]


def test_a_grant_that_came_to_be_meanwhile_is_left_as_it_is(mosaic: Quick) -> None:
    with ThreadPoolExecutor() as pool:
        many = [
            pool.submit(mosaic.process, "grant", "create", "beta-tasks", *GRANTED, *options)
            for options in ((), ("--no-write", "--subject-user", "other"), ("--no-write",))
        ]
    codes = sorted(each.result().code for each in many)
    assert codes == [0, 1, 1], [each.result().err for each in many]
    assert counts(mosaic) == (1, 1)
    assert mosaic.rows.one("SELECT count(*) FROM federation_enrollment_tokens") == 1


@pytest.mark.parametrize(
    "variable", ["MOSAIC_TOKEN_PEPPER_FILE", "MOSAIC_PUBLIC_URL", "MOSAIC_CA_ROOT"]
)
def test_what_an_invitation_needs_is_checked_before_anything_is_written(
    mosaic: Quick, variable: str
) -> None:
    del mosaic.variables[variable]
    done = mosaic("grant", "create", "beta-tasks", *GRANTED)
    assert done.code == 78
    assert variable in done.err
    if variable != "MOSAIC_PUBLIC_URL":
        missing = mosaic(
            "grant", "create", "beta-tasks", *GRANTED, **{variable: str(mosaic.cwd / "nowhere")}
        )
        assert missing.code == 78
        assert "nowhere" in missing.err
    assert (mosaic.manifests(), counts(mosaic)) == ([], (0, 0))


def test_an_invalid_manifest_elsewhere_in_the_source_stops_a_create(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", bad="kind: Nothing\n")
    done = mosaic("grant", "create", "beta-tasks", *GRANTED)
    assert done.code == 1
    assert "bad.yaml:1" in done.err
    assert (mosaic.manifests(), counts(mosaic)) == (["bad.yaml"], (0, 0))


def test_a_loop_elsewhere_removes_a_created_grant_only_once_git_has_had_it(
    mosaic: Quick,
) -> None:
    mosaic.create("beta-tasks")
    write(mosaic.cwd / "elsewhere", gamma=peer_manifest("gamma"))
    elsewhere = Triggers(SourceSetting(str(mosaic.cwd / "elsewhere")))
    loop = Loop(mosaic.rows.database, elsewhere, "loop:tests")
    assert loop.one_pass() is After.WAIT
    assert mosaic.statuses() == {"beta-tasks": "pending"}
    mosaic.ok("apply", "--yes")
    loop.one_pass()
    assert mosaic.statuses() == {"beta-tasks": "revoked"}
