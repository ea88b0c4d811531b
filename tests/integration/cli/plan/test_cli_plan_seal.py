"""Saved plans: no octet of one can be changed, and one from elsewhere is signed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.crypto.plan_seal import covered, signature, with_seal
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.repositories.signers import Signers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.commands.process import Ended


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), g=grant_manifest("g"))
    return made


@pytest.fixture
def plan(mosaic: Quick) -> Path:
    mosaic.ok("plan", "--save", "f.plan")
    return mosaic.cwd / "f.plan"


def refused(mosaic: Quick, done: Ended, reason: str) -> None:
    assert done.code == 6, done.err
    assert reason in done.err
    assert "nothing was applied" in done.err
    assert mosaic.document("grant", "list") == []


def test_no_octet_of_a_saved_plan_can_be_changed(mosaic: Quick, plan: Path) -> None:
    content = plan.read_bytes()
    step = max(1, len(content) // 40)
    for place in (*range(0, len(content), step), *range(len(content) - 12, len(content))):
        plan.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert mosaic("apply", "f.plan").code == 6, place
    for other in (content[:-1], content + b" ", b" " + content, content.replace(b"\n", b"\r\n")):
        plan.write_bytes(other)
        refused(mosaic, mosaic("apply", "f.plan"), "")
    plan.write_bytes(content)
    assert mosaic("apply", "f.plan").code == 0
    assert "wrote g.plan, which changes nothing\n" in mosaic.ok("plan", "--save", "g.plan").err


def test_a_file_that_cannot_be_read_is_told_as_that(mosaic: Quick) -> None:
    done = mosaic("apply", "/proc/self/mem")  # whoever runs the test
    assert (done.code, "/proc/self/mem cannot be read: Input/output error" in done.err) == (1, True)


CHANGES: list[Callable[[Any], Any]] = [
    lambda plan: plan["reading"].update(location="/tmp/elsewhere"),
    lambda plan: plan.update(digest="sha256:" + "0" * 64),
    lambda plan: plan["options"].update(targets=[["Peer", "beta"]]),
    lambda plan: plan["options"].update(requireSigned=False, allowEmpty=True),
    lambda plan: plan["changes"][0].update(reason="harmless"),
    lambda plan: plan["changes"].clear(),
    lambda plan: plan.pop("seal"),
    lambda plan: plan.update(seal="none"),
    lambda plan: plan.update(seal="hmac-sha256:" + "0" * 64),
    lambda plan: plan.update(more=1),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_saved_plan_says_cannot_be_edited(
    mosaic: Quick, plan: Path, change: Callable[[Any], Any]
) -> None:
    document = json.loads(plan.read_text())
    change(document)
    plan.write_text(json.dumps(document, indent=2) + "\n")
    refused(mosaic, mosaic("apply", "f.plan"), "plan --save FILE")


def test_the_key_is_a_file_of_its_own_that_nobody_else_may_read(mosaic: Quick, plan: Path) -> None:
    key = mosaic.cwd / "gateway" / "keys" / "plan-mac-key"
    assert key.stat().st_mode & 0o777 == 0o400
    mosaic.ok("keys", "status")
    assert key.read_text().split()[1] not in plan.read_text()
    key.chmod(0o644)
    done = mosaic("apply", "f.plan")
    assert done.code == 78
    assert "mode 0644, expected 0400" in done.err


def test_a_plan_of_another_gateway_is_refused(mosaic: Quick, plan: Path, tmp_path: Path) -> None:
    mosaic.variables["MOSAIC_PLAN_KEY_FILE"] = str(tmp_path / "other" / "key")
    refused(mosaic, mosaic("apply", str(plan)), "this gateway has no key for saved plans")
    mosaic.ok("plan", "--save", "mine.plan")
    refused(mosaic, mosaic("apply", str(plan)), "or another gateway saved it")
    mosaic.ok("apply", "mine.plan")


def test_without_a_place_for_a_key_it_says_what_to_set(mosaic: Quick) -> None:
    del mosaic.variables["MOSAIC_KEYRING"]
    done = mosaic("plan", "--save", "f.plan")
    assert done.code == 78
    assert "MOSAIC_PLAN_KEY_FILE" in done.err
    assert "--sign-key" in done.err
    assert not (mosaic.cwd / "f.plan").exists()


def test_a_plan_that_was_made_elsewhere_is_signed_by_a_key_that_is_allowed(
    mosaic: Quick, tmp_path: Path
) -> None:
    people = Signers(tmp_path, "mosaic-plan")
    ci, mallory = people.add("ci"), people.add("mallory", allow=False)
    elsewhere = Quick(mosaic.cwd, {**mosaic.variables})
    del elsewhere.variables["MOSAIC_KEYRING"]
    elsewhere.ok("plan", "--save", "f.plan", "--sign-key", str(ci.key))
    elsewhere.ok("plan", "--save", "theirs.plan", "--sign-key", str(mallory.key))
    refused(mosaic, mosaic("apply", "f.plan"), "MOSAIC_ALLOWED_SIGNERS")
    mosaic.variables["MOSAIC_ALLOWED_SIGNERS"] = str(people.file)
    content = (mosaic.cwd / "f.plan").read_bytes()
    (mosaic.cwd / "edited.plan").write_bytes(content.replace(b"new in git", b"old in git"))
    for name in ("theirs", "edited"):
        refused(mosaic, mosaic("apply", f"{name}.plan"), "its signature")
    assert "the plan is signed by ci" in mosaic.ok("apply", "f.plan").err


def test_a_signed_plan_that_was_made_for_another_gateway_is_refused(
    mosaic: Quick, tmp_path: Path, shared_database_url: str
) -> None:
    people = Signers(tmp_path, "mosaic-plan")
    signed = ("plan", "--save", "f.plan", "--sign-key", str(people.add("ci").key))
    mosaic.variables["MOSAIC_ALLOWED_SIGNERS"] = str(people.file)
    other = Quick(mosaic.cwd, mosaic.variables | {"MOSAIC_DATABASE_URL": shared_database_url})
    for gateway in (mosaic, other):
        gateway.ok("apply", "--yes", "--exclude", "grant/g")
    mosaic.ok(*signed, "--target", "grant/g")
    for words in (("apply", "f.plan"), ("apply", "f.plan", "--dry-run")):
        refused(other, other(*words), "it was made for another gateway")
    mosaic.ok("apply", "f.plan")


def test_a_key_that_may_sign_commits_alone_signs_no_plan(mosaic: Quick, tmp_path: Path) -> None:
    people = Signers(tmp_path, "git")
    signer = people.add("ada")
    mosaic.variables["MOSAIC_ALLOWED_SIGNERS"] = str(people.file)
    mosaic.ok("plan", "--save", "f.plan", "--sign-key", str(signer.key))
    refused(mosaic, mosaic("apply", "f.plan"), 'namespaces="mosaic-plan"')


def test_required_signatures_stay_required(mosaic: Quick, plan: Path, tmp_path: Path) -> None:
    people = Signers(tmp_path)
    people.add("ada")
    mosaic.variables["MOSAIC_ALLOWED_SIGNERS"] = str(people.file)
    for word, value in (("--require-signed", "false"), ("--yes", "true")):
        done = mosaic("apply", str(plan), word, MOSAIC_REQUIRE_SIGNED=value)
        assert done.code == 78
        assert "a folder has no commits to judge" in done.err


@pytest.mark.parametrize(
    "change",
    [
        {"reading": {"location": "/\x1b]0;mine\x07", "ref": None, "path": None}},
        {
            "options": {
                "targets": [["Peer", "\x1b[2J"]],
                "excludes": [],
                "refuseWidening": False,
                "requireSigned": False,
            }
        },
        {"digest": "\x9b31m"},
    ],
)
def test_controls_of_a_signed_plan_reach_no_terminal(
    mosaic: Quick, plan: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    people = Signers(tmp_path, "mosaic-plan")
    signer = people.add("ci")
    mosaic.variables["MOSAIC_ALLOWED_SIGNERS"] = str(people.file)
    document = json.loads(plan.read_text())
    del document["seal"]
    content = covered({**document, **change})
    plan.write_bytes(with_seal(content, signature(content, signer.key)))
    done = mosaic("apply", "f.plan")
    refused(mosaic, done, "it is not of the form")
    assert not any(each in done.err + done.out for each in "\x1b\x07\x9b")
