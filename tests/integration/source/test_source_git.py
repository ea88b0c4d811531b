"""Manifests out of a repository, end to end: what is applied, what is recorded, what is refused."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.setting_values import SourceSetting
from reconciler.reconcile import ApplyOptions, apply, read
from reconciler.store.apply.provenance import last_applied
from reconciler.store.db import Database
from tests.support.commands.in_process import GRANTED, Quick, shell
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.repositories.repository import Checkout

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    """A repository with beta and two grants to it."""
    grants = {name: grant_manifest(name) for name in "ab"}
    return Checkout.make(tmp_path / "repository", beta=peer_manifest(), **grants)


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str, repository: Checkout) -> Quick:
    """A shell whose source is that repository, as a remote."""
    made = shell(tmp_path, database_url)
    made.variables.update(
        MOSAIC_SOURCE=repository.url,
        MOSAIC_REF="main",
        MOSAIC_PATH="manifests",
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    return made


def revisions(mosaic: Quick) -> dict[str, str]:
    return {each["name"]: each["revision"] for each in mosaic.document("grant", "list")}


def applied(mosaic: Quick) -> dict[str, Any]:
    (row,) = mosaic.rows.rows("SELECT generation, revision, source, dirty FROM federation_applied")
    return row


def test_the_commit_lands_on_rows_runs_and_audit_records(
    mosaic: Quick, repository: Checkout
) -> None:
    mosaic.ok("apply", "--yes")
    tip, label = repository.head, f"{repository.url}@{repository.head[:12]}:manifests"
    who = {
        "id": tip,
        "author": "Ada Lovelace <ada@alpha.example>",
        "subject": "first",
        "signer": None,
    }
    columns = "id, author, subject, signer"
    assert mosaic.rows.rows(f"SELECT {columns} FROM federation_commits") == [who]
    assert set(revisions(mosaic).values()) == {tip}
    runs = mosaic.rows.rows("SELECT source, revision, dirty FROM federation_reconcile_runs")
    assert runs == [{"source": label, "revision": tip, "dirty": False}]
    assert applied(mosaic) == {"generation": 1, **runs[0]}
    created = [
        json.loads(each["body"])["data"]["from"] for each in mosaic.rows.audited("grant.created")
    ]
    assert created == [{"source": label, "commit": who, "dirty": False}] * 2


def test_an_older_reading_does_not_take_the_applied_commit_back(
    mosaic: Quick, repository: Checkout, database_url: str
) -> None:
    mosaic.ok("apply", "--yes")
    source = SourceSetting(str(repository.path), "main", "manifests")
    database = Database(database_url, "tests")
    with database.transaction() as tx:
        older = read(source, "loop:slow", last_applied(tx))
    repository.commit("nothing of it is a manifest")
    mosaic.ok("apply", "--yes")

    options = ApplyOptions(generation=older.generation)
    assert apply(database, older.desired, older.by, options).plan.empty
    assert applied(mosaic)["revision"] == repository.head


def test_pushes_are_followed_and_a_row_keeps_the_commit_that_changed_it(
    mosaic: Quick, repository: Checkout
) -> None:
    mosaic.ok("apply", "--yes")
    first = repository.head
    repository.write(b=grant_manifest("b", rows=9))
    assert mosaic.document("plan")["changes"] == []  # not committed
    second = repository.commit("b gets less")
    plan = mosaic.document("plan")
    assert plan["source"] == {
        "path": f"{repository.url}@{second[:12]}:manifests",
        "revision": second,
        "dirty": False,
    }
    assert [each["name"] for each in plan["changes"]] == ["b"]
    mosaic.ok("apply", "--yes")
    assert revisions(mosaic) == {"a": first, "b": second}
    third = repository.commit("nothing of ours")
    assert "Nothing to do" in mosaic.ok("apply", "--yes").out
    assert applied(mosaic)["revision"] == third
    assert revisions(mosaic) == {"a": first, "b": second}


@pytest.mark.parametrize("place", ["remote", "here"])
def test_a_forced_push_is_refused_until_the_flag_allows_it_once(
    mosaic: Quick, repository: Checkout, place: str
) -> None:
    options = ("--source", str(repository.path)) if place == "here" else ()
    mosaic.ok("apply", "--yes", *options)
    before = repository.head
    repository.write(b=grant_manifest("b", rows=9))
    after = repository.commit("rewritten", "--amend")
    for verb in (("plan",), ("apply", "--yes")):
        refused = mosaic(*verb, *options, "--output", "json")
        assert (refused.code, refused.error["code"]) == (3, "rewind")
        message = f"{after[:12]} does not contain {before[:12]}, which was applied last"
        assert refused.error["message"] == message
        assert "--allow-rewind" in refused.error["hint"]
    assert applied(mosaic)["revision"] == before
    assert mosaic("plan", "--allow-rewind", *options).code == 0
    mosaic.ok("apply", "--yes", "--allow-rewind", *options)
    assert (applied(mosaic)["revision"], revisions(mosaic)["b"]) == (after, after)
    mosaic.ok("apply", "--yes", *options)


def test_another_repository_is_refused_as_a_rewind(mosaic: Quick, tmp_path: Path) -> None:
    mosaic.ok("apply", "--yes")
    other = Checkout.make(tmp_path / "other", beta=peer_manifest())
    refused = mosaic("apply", "--yes", "--source", other.url, "--output", "json")
    assert (refused.code, refused.error["code"]) == (3, "rewind")
    assert "the repository does not have" in refused.error["message"]


def test_a_fetch_that_fails_changes_nothing_and_may_be_tried_again(
    mosaic: Quick, repository: Checkout
) -> None:
    mosaic.ok("apply", "--yes")
    was = applied(mosaic)
    away = repository.path.rename(repository.path.with_name("away"))
    failed = mosaic("apply", "--yes", "--output", "json")
    assert (failed.code, failed.error["code"]) == (1, "source_unavailable")
    assert "nothing was changed" in failed.error["hint"]
    assert (applied(mosaic), set(mosaic.statuses().values())) == (was, {"pending"})
    away.rename(repository.path)
    mosaic.ok("apply", "--yes")


def test_a_branch_that_is_gone_changes_nothing(mosaic: Quick, repository: Checkout) -> None:
    mosaic.ok("apply", "--yes")
    repository.git("branch", "-m", "main", "trunk")
    failed = mosaic("apply", "--yes", "--output", "json")
    assert (failed.code, failed.error["code"]) == (1, "source_unreadable")
    assert "trunk" in failed.error["hint"]
    assert set(mosaic.statuses().values()) == {"pending"}


def test_without_a_ref_it_is_the_remotes_head(mosaic: Quick, repository: Checkout) -> None:
    repository.git("checkout", "-q", "-b", "trunk")
    tip = repository.commit("on the trunk")
    del mosaic.variables["MOSAIC_REF"]
    assert mosaic.document("plan")["source"]["revision"] == tip


def test_a_work_tree_that_differs_is_recorded_as_dirty(mosaic: Quick, repository: Checkout) -> None:
    del mosaic.variables["MOSAIC_REF"], mosaic.variables["MOSAIC_PATH"]
    folder = str(repository.path / "manifests")
    mosaic.variables["MOSAIC_SOURCE"] = folder
    tip = repository.head
    mosaic.ok("apply", "--yes")
    assert applied(mosaic) | {"generation": 1} == {
        "generation": 1,
        "revision": None,  # only a reading of git moves what the next commits follow
        "source": folder,
        "dirty": False,
    }
    assert mosaic.document("status")["applied"]["revision"] == tip
    repository.write(c=grant_manifest("c"))
    assert mosaic.document("plan")["source"] == {"path": folder, "revision": tip, "dirty": True}
    mosaic.ok("apply", "--yes")
    assert applied(mosaic)["dirty"]
    (*_, created) = mosaic.rows.audited("grant.created")
    assert json.loads(created["body"])["data"]["from"]["dirty"]
    assert repository.git("status", "--porcelain") == "?? manifests/c.yaml"


def test_a_saved_plan_is_of_its_commit_though_the_branch_moves_on(
    mosaic: Quick, repository: Checkout
) -> None:
    approved = repository.head
    mosaic.ok("plan", "--save", "plan.json")
    repository.write(c=grant_manifest("c"))
    repository.commit("later")
    mosaic.ok("apply", "plan.json")
    assert revisions(mosaic) == {"a": approved, "b": approved}
    assert applied(mosaic)["revision"] == approved
    mosaic.ok("apply", "--yes")
    assert mosaic("apply", "plan.json").code == 3  # older than what was applied


def test_the_flags_name_the_ref_and_the_path(mosaic: Quick, repository: Checkout) -> None:
    tip = repository.head
    repository.write(c=grant_manifest("c"))
    for name in ("MOSAIC_SOURCE", "MOSAIC_REF", "MOSAIC_PATH"):
        del mosaic.variables[name]
    place = str(repository.path)
    for words in (
        ("--source", place, "--ref", "main", "--path", "manifests"),
        ("--source", f"{place}/manifests", "--ref", tip),
        (place, "--ref", "HEAD", "--path", "manifests"),
        (repository.url, "--path", "manifests"),
    ):
        plan = mosaic.document("plan", *words)
        assert (plan["source"]["revision"], plan["summary"]["create"]) == (tip, 3)
    assert mosaic.document("plan", f"{place}/manifests")["summary"]["create"] == 4
    shown = mosaic.ok("plan", "--source", place, "--ref", "main").out.splitlines()[-1]
    assert shown == f"Next: mosaic federation apply --source {place} --ref main"


def test_the_path_within_is_that_of_the_url_given_and_not_of_the_source(
    mosaic: Quick, repository: Checkout
) -> None:
    for name in ("MOSAIC_REF", "MOSAIC_PATH"):
        del mosaic.variables[name]
    mosaic.variables["MOSAIC_SOURCE"] = str(repository.path / "manifests")
    words = (repository.url, "--path", "manifests")
    assert mosaic.document("plan", *words)["source"]["revision"] == repository.head
    shown = mosaic.ok("plan", *words).out.splitlines()[-1]
    assert shown == f"Next: mosaic federation apply {shlex.join(words)}"
    assert "3 added" in mosaic.ok("apply", "--yes", *words).out


@pytest.mark.parametrize(
    "words",
    [
        ("--ref=-x",),
        ("--source=--upload-pack=x",),
        ("--path=-x",),
        ("--source=manifests", "--path=x"),
    ],
)
def test_what_git_could_take_for_an_option_is_a_wrong_setting(
    mosaic: Quick, words: tuple[str, ...]
) -> None:
    del mosaic.variables["MOSAIC_REF"]
    refused = mosaic("plan", *words, "--output", "json")
    assert (refused.code, refused.error["code"]) == (78, "config_invalid")


def test_validate_tells_every_problem_of_a_tree(mosaic: Quick, repository: Checkout) -> None:
    (repository.path / "manifests" / "link.yaml").symlink_to("../beta.yaml")
    repository.write(c=grant_manifest("c", peer="nobody"))
    repository.commit("wrong")
    done = mosaic("validate", "--output", "json")
    assert done.code == 1
    assert [(each["file"], each["code"]) for each in done.document] == [
        ("c.yaml", "grant.peer"),
        ("link.yaml", "file.link"),
    ]


def test_a_manifest_is_not_written_into_a_repository(mosaic: Quick, repository: Checkout) -> None:
    refused = mosaic("grant", "create", "c", *GRANTED, "--output", "json")
    assert (refused.code, refused.error["code"]) == (78, "config_invalid")
    assert "--no-write" in refused.error["hint"]
    mosaic.ok("apply", "--yes")
    made = mosaic.create("c", "--no-write")
    assert (made["managed"], made["revision"]) == (False, None)
    repository.write(c=grant_manifest("c"))
    tip = repository.commit("c")
    mosaic.ok("apply", "--yes")
    assert (mosaic.grant("c")["managed"], mosaic.grant("c")["revision"]) == (True, tip)
