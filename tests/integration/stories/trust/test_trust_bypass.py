"""What would bypass or drop the rules of trust that hold: each way, refused and overridden."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.core.setting_values import SignatureSetting, SourceSetting
from reconciler.loops.run import Loop
from reconciler.loops.triggers import Triggers
from reconciler.store.db import Database
from tests.support.commands.in_process import GRANTED, shell
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.repositories.repository import Checkout
from tests.support.repositories.trust import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.process import Ended
    from tests.support.repositories.trust import Trust

ANCHOR = "SELECT revision, rules, prefix FROM federation_applied"


def refused(trust: Trust, done: Ended, *words: str) -> None:
    """Insist on exit code 6, on what to type, and that nothing was changed."""
    assert done.code == 6, done.err + done.out
    for word in ("--override-trust", *words):
        assert word in done.err, done.err
    assert trust.mosaic.grant("g")["scope"]["maxRowsPerQuery"] == 500


def widen(trust: Trust, rows: int = 900) -> str:
    trust.checkout.write(g=grant_manifest("g", rows=rows))
    return str(trust.checkout.path / "manifests")


def test_a_folder_is_refused_and_moves_nothing_that_is_judged_by(trust: Trust) -> None:
    (before,) = trust.mosaic.rows.rows(ANCHOR)
    folder = widen(trust)
    refused(trust, trust.mosaic("apply", "--yes", folder), "--ref REF --require-signed")
    refused(trust, trust.mosaic("apply", "--dry-run", folder))
    refused(trust, trust.mosaic("plan", folder))
    done = trust.mosaic("apply", "--yes", "--override-trust", folder)
    assert done.code == 0, done.err
    assert "a folder has no commits to judge" in done.err
    assert trust.mosaic.grant("g")["scope"]["maxRowsPerQuery"] == 900
    assert trust.mosaic.rows.rows(ANCHOR) == [before]


def test_an_override_is_audited_and_shows_until_a_trusted_apply(trust: Trust) -> None:
    trust.mosaic.ok("apply", "--yes", "--override-trust", widen(trust))
    override = trust.mosaic.document("status")["trustOverride"]
    assert override["reason"].endswith("a folder has no commits to judge")
    assert "overridden" in trust.mosaic.ok("status").out
    records = trust.mosaic.document("audit", "list")
    (record,) = [each for each in records if each["kind"] == "trust.overridden"]
    assert record["subject"] == "trust"
    assert record["data"]["reason"] == override["reason"]
    trust.ok("--target", "grant/g")
    assert trust.mosaic.document("status")["trustOverride"] is not None
    trust.ok()
    assert trust.mosaic.document("status")["trustOverride"] is None
    assert trust.mosaic.grant("g")["scope"]["maxRowsPerQuery"] == 500


def test_signatures_that_are_not_required_are_refused(trust: Trust) -> None:
    widen(trust)
    commit = trust.checkout.commit("Not signed")
    apply = ("apply", "--yes", *trust.where)
    refused(trust, trust.mosaic(*apply), "MOSAIC_REQUIRE_SIGNED=true")
    trust.mosaic.ok(*apply, "--override-trust")
    assert trust.mosaic.rows.one("SELECT revision FROM federation_applied") == commit
    assert trust.mosaic.rows.one("SELECT rules FROM federation_applied") == RULES
    trust.ada.commit(trust.checkout, "Signed again")
    trust.ok()
    assert trust.mosaic.document("status")["trustOverride"] is None


def test_commits_that_are_not_trusted_can_be_overridden_once(trust: Trust) -> None:
    widen(trust)
    commit = trust.checkout.commit("Not signed")
    assert trust.apply().code == 6
    done = trust.apply("--override-trust")
    assert done.code == 0, done.err
    assert f"untrusted commit {commit[:12]}" in done.err
    assert "it is not signed" in trust.mosaic.document("status")["trustOverride"]["reason"]


def test_rules_are_dropped_by_an_override_alone(trust: Trust) -> None:
    (trust.checkout.path / ".mosaic-trust.yaml").unlink()
    gone = trust.grace.commit(trust.checkout, "No rules, no judge")
    trust.ada.sign_off(trust.checkout, gone)
    refused(trust, trust.apply(), "it has no .mosaic-trust.yaml")
    assert trust.mosaic.rows.one("SELECT rules FROM federation_applied") == RULES
    trust.ok("--override-trust")
    assert trust.mosaic.rows.one("SELECT rules FROM federation_applied") is None


def test_another_repository_is_refused_though_its_commits_are_signed(
    trust: Trust, tmp_path: Path
) -> None:
    eve = trust.people.add("eve")
    other = Checkout.make(tmp_path / "other", beta=peer_manifest(), g=grant_manifest("g", rows=900))
    (other.path / ".mosaic-trust.yaml").write_text(RULES.replace("[ada, grace]", "[eve]"))
    other.write(g=grant_manifest("g", rows=901))
    eve.commit(other, "All mine")
    where = ("--source", str(other.path), "--ref", "main", "--path", "manifests")
    apply = ("apply", "--yes", "--require-signed", *where)
    assert trust.mosaic(*apply).code == 3
    done = trust.mosaic(*apply, "--allow-rewind")
    assert done.code == 6, done.err
    assert trust.mosaic.rows.one("SELECT rules FROM federation_applied") == RULES


def test_a_ref_that_lacks_the_applied_commit_is_refused_though_its_tip_is_trusted(
    trust: Trust,
) -> None:
    trust.checkout.git("checkout", "-q", "--orphan", "elsewhere")
    trust.grace.sign_off(trust.checkout, trust.ada.commit(trust.checkout, "All anew"))
    where = ("--source", str(trust.checkout.path), "--ref", "elsewhere", "--path", "manifests")
    done = trust.mosaic("apply", "--yes", "--require-signed", "--allow-rewind", *where)
    refused(trust, done, "its history does not contain", "whose rules hold")


def test_another_folder_of_the_repository_is_refused(trust: Trust) -> None:
    folder = trust.checkout.path / "elsewhere"
    folder.mkdir()
    (folder / "beta.yaml").write_text(peer_manifest())
    (folder / "g.yaml").write_text(grant_manifest("g", rows=900))
    trust.grace.commit(trust.checkout, "No rule matches, and nothing reads it")
    trust.ok()
    where = ("--source", str(trust.checkout.path), "--ref", "main", "--path", "elsewhere")
    done = trust.mosaic("apply", "--yes", "--require-signed", *where)
    refused(trust, done, "it reads the folder 'elsewhere'", "--path manifests")


def test_what_a_command_declares_is_refused(trust: Trust) -> None:
    create = ("grant", "create", "h", *GRANTED, "--no-write")
    refused(trust, trust.mosaic(*create), "what a command declares is signed by nobody")
    done = trust.mosaic(*create, "--override-trust")
    assert done.code == 64
    assert "--yes" in done.err
    assert trust.mosaic(*create, "--override-trust", "--yes").code == 0
    assert trust.mosaic.document("status")["trustOverride"] is not None


def test_the_loop_waits_for_a_person(trust: Trust) -> None:
    widen(trust)
    trust.checkout.commit("Not signed")
    database = Database(trust.mosaic.variables["MOSAIC_DATABASE_URL"], "test")
    repository = SourceSetting(str(trust.checkout.path), "main", "manifests")
    folder = SourceSetting(str(trust.checkout.path / "manifests"))
    signers = SignatureSetting(str(trust.people.file))
    for source, signatures in ((folder, None), (repository, None), (repository, signers)):
        Loop(database, Triggers(source), "loop:test", signatures=signatures).one_pass()
        (loop,) = trust.mosaic.document("status")["reconcilers"]
        assert loop["failure"]["code"] in ("trust_bypassed", "commit_untrusted")
        assert loop["waiting"]["for"] == "person"
    assert trust.mosaic.grant("g")["scope"]["maxRowsPerQuery"] == 500


def test_a_rename_by_an_operator_leaves_the_signatures_that_are_needed(trust: Trust) -> None:
    trust.checkout.write(g=grant_manifest("h", rows=900))
    commit = trust.grace.commit(trust.checkout, "Another name, and more")
    trust.mosaic.ok("rename", "grant/g", "h", "--no-write")
    trust.untrusted(commit, "it widens grant/h, signed off by grace: 1 of the 2")


def test_without_rules_nothing_is_overridden(tmp_path: Path, database_url: str) -> None:
    mosaic = shell(tmp_path, database_url)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "beta.yaml").write_text(peer_manifest())
    mosaic.ok("apply", "--yes", "--override-trust")
    assert mosaic.document("status")["trustOverride"] is None
    assert "trust.overridden" not in json.dumps(mosaic.document("audit", "list"))


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_an_override_asks_a_person(trust: Trust, answer: str, code: int) -> None:
    folder = widen(trust)
    done = trust.mosaic.at_terminal("apply", "--override-trust", folder, typed=answer)
    assert done.code == code, done.out
    assert "Apply these changes over the rules of trust?" in done.out
    assert trust.mosaic.grant("g")["scope"]["maxRowsPerQuery"] == (900 if code == 0 else 500)
