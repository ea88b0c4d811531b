"""Short options, dry runs, and verbs that read: each prints a document where one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands.applied_source import applied_source, declare, withdraw
from tests.support.commands.tree import VERBS
from tests.support.gateways.enrollee import grant_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.in_process import Quick

# what writes nothing and prints something that is neither a manifest, a script nor a schema
READING = (
    *("status", "drift", "history", "explain", "at", "plan", "validate", "doctor", "version"),
    *("grant list", "grant show", "peer list", "peer show", "keys status", "ca status"),
    *("db check", "db current", "db url", "audit list", "audit verify", "health"),
)


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    return applied_source(tmp_path, database_url)


@pytest.mark.parametrize("verb", READING)
def test_every_verb_that_reads_takes_an_output(verb: str) -> None:
    options = {o for each in VERBS["federation", *verb.split()].params for o in each.opts}
    assert {"-o", "--output"} <= options


def test_every_output_and_every_yes_has_its_short_form() -> None:
    for path, command in VERBS.items():
        options = {option for each in command.params for option in each.opts}
        assert ("-o" in options) == ("--output" in options), path
        assert ("-y" in options) == ("--yes" in options), path


def test_documents_of_what_is_checked(mosaic: Quick) -> None:
    verified = mosaic.ok("audit", "verify", "-o", "json").document
    logins = {"replace": ["mosaic"], "append": []}
    assert verified == {
        "entries": verified["entries"],
        "archive": None,
        "checkpoints": [],
        "logins": logins | {"append": verified["logins"]["append"]},  # as other tests left them
    }
    assert verified["entries"] > 4
    assert mosaic.ok("db", "check", "-ojson").document == {"inForce": True, "differences": []}
    url = mosaic.variables["MOSAIC_DATABASE_URL"]
    assert mosaic.ok("db", "url", "-o", "json").document == {"url": url}
    versions = mosaic.ok("version", "-o", "json").document
    assert list(versions) == ["version", "commit", "python", "stepCa", "postgresql"]
    mosaic.rows.run("DROP FUNCTION federation_serial(text)")
    broken = mosaic("db", "check", "-o", "json")
    assert broken.code == 1
    assert broken.document["differences"] == ["the function federation_serial(text) is missing"]
    assert broken.error["code"] == "schema_differs"


@pytest.mark.parametrize("output", [("-o", "json"), ("-ojson",), ("--output=json",)])
def test_errors_are_one_object_however_json_is_asked_for(
    mosaic: Quick, output: tuple[str, ...]
) -> None:
    for words in (("grant", "show", "nobody"), ("grant", "show"), ("plan", "missing"), ("nope",)):
        done = mosaic(*words, *output)
        assert done.err.count("\n") == 1, done.err
        assert done.error["message"]


@pytest.mark.parametrize("output", [("-vojson",), ("-vo", "json")])
def test_an_error_is_an_object_beside_other_short_options(
    mosaic: Quick, output: tuple[str, ...]
) -> None:
    assert mosaic("grant", "show", "nobody", *output).error["code"] == "name_unknown"


def test_what_fails_after_its_document_has_an_error_object_too(mosaic: Quick) -> None:
    declare(mosaic, e=grant_manifest("e").replace("list, get", "list, wirte"))
    invalid = mosaic("validate", "-o", "json")
    assert len(invalid.document) == 1
    assert (invalid.code, invalid.error["code"]) == (1, "manifest_invalid")
    assert invalid.error["message"] == "1 problem in the manifests"
    failed = mosaic("doctor", "-o", "json")
    assert "source" in [each["check"] for each in failed.document if each["state"] == "failed"]
    assert (failed.code, failed.error["code"]) == (1, "check_failed")
    assert "source" in failed.error["message"]


def test_a_dry_run_of_apply_shows_the_plan_and_changes_nothing(mosaic: Quick) -> None:
    declare(mosaic, e=grant_manifest("e"))
    before = mosaic.rows.rows("SELECT * FROM federation_grants ORDER BY name")
    done = mosaic.ok("apply", "--dry-run")
    assert "+ grant/e" in done.out
    assert "1 to add" in done.out
    assert done.err == "nothing was changed: this was a dry run\n"
    assert mosaic.ok("apply", "-y", "--dry-run", "-o", "json").document["summary"]["create"] == 1
    mosaic.ok("plan", "--save", "plan.json")
    mosaic.ok("apply", "plan.json", "--dry-run")
    assert mosaic.rows.rows("SELECT * FROM federation_grants ORDER BY name") == before
    mosaic.ok("apply", "-y")
    stale = mosaic("apply", "plan.json", "--dry-run")
    assert stale.code == 5
    withdraw(mosaic, *"abcde")
    assert mosaic("apply", "--dry-run").code == 3
    assert mosaic("apply", "--dry-run", "-o", "json").error["code"] == "guard_removals"


def test_a_dry_run_of_rename_says_what_it_would_do(mosaic: Quick) -> None:
    done = mosaic.ok("rename", "grant/a", "z", "--dry-run")
    assert "grant/a would be grant/z now" in done.out
    assert "would write" in done.out
    assert "name: a" in (mosaic.cwd / "manifests" / "grants" / "a.yaml").read_text()
    assert "z" not in mosaic.statuses()
    assert mosaic("rename", "grant/a", "b", "--dry-run").code == 1
    mosaic.ok("rename", "grant/a", "z")
    assert "z" in mosaic.statuses()


@pytest.mark.parametrize("kind", ["grant", "peer"])
def test_lists_show_what_lives_first_and_live_narrows_them(mosaic: Quick, kind: str) -> None:
    withdraw(mosaic, "a")
    mosaic.ok("apply", "-y")
    mosaic.ok("peer", "revoke", "beta", "-y") if kind == "peer" else None
    listed = mosaic.ok(kind, "list").out.splitlines()
    states = [line.split()[1] for line in listed[1:]]
    assert states == sorted(states, key=lambda each: each in ("revoked", "expired"))
    assert "revoked" in states
    live = mosaic.document(kind, "list", "--live")
    assert [each["status"] for each in live if each["status"] in ("revoked", "expired")] == []
    if kind == "peer":
        assert mosaic.ok("peer", "list", "--live").out == "no peer is live\n"
