"""Tests for checkpoints: what is kept elsewhere shows that the log was rewritten."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from reconciler.core.audit.chain import GENESIS, Head, chain
from reconciler.core.audit.events import EarlierEvent, parse_event
from tests.support.commands.in_process import shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.repositories.signers import Signers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.in_process import Quick

NAMESPACE = "mosaic-checkpoint"


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """Give a gateway whose log has entries."""
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), a=grant_manifest("a"))
    made.ok("apply", "--yes")
    made.ok("grant", "suspend", "a")
    return made


@pytest.fixture
def signers(tmp_path: Path) -> Signers:
    (tmp_path / "people").mkdir()
    return Signers(tmp_path / "people", namespace=NAMESPACE)


def rewrite(mosaic: Quick) -> None:
    """Do what an owner of the database can: write another chain, which verifies by itself."""
    rows = mosaic.rows.rows("SELECT at, kind, subject, body FROM federation_audit_log ORDER BY seq")
    last = Head(0, GENESIS)
    for row in rows:
        event = parse_event(row["kind"], row["subject"], json.loads(row["body"])["data"])
        assert not isinstance(event, EarlierEvent)
        (entry,) = chain(last, row["at"], "user:nobody", [event], login="tests")
        last = Head(entry.seq, entry.hash)
        mosaic.rows.tamper(
            "UPDATE federation_audit_log SET actor = :actor, subject = :subject, body = :body,"
            " prev = :prev, hash = :hash WHERE seq = :seq",
            seq=entry.seq,
            actor=entry.actor,
            subject=entry.subject,
            body=entry.body,
            prev=entry.prev,
            hash=entry.hash,
        )
    mosaic.rows.tamper("UPDATE federation_audit_head SET hash = :hash", hash=last.hash)


def test_a_checkpoint_says_what_the_log_comes_to_and_verifies_later(mosaic: Quick) -> None:
    printed = json.loads(mosaic.ok("audit", "checkpoint").out)
    newest = mosaic.rows.one("SELECT max(seq) FROM federation_audit_log")
    assert printed["format"] == "mosaic-checkpoint-v1"
    assert printed["seq"] == newest

    done = mosaic.ok("audit", "checkpoint", "kept")
    assert done.out == f"{newest} records verified; the checkpoint is in kept\n"
    mosaic.ok("grant", "resume", "a")
    lines = mosaic.ok("audit", "verify", "--checkpoint", "kept").out.splitlines()
    assert lines[0] == f"{newest + 1} records verified"
    assert lines[1].startswith(f"kept: seq {newest} is unchanged since 20")
    assert lines[1].endswith("its signature was not verified")


def test_another_chain_that_verifies_by_itself_is_found_by_the_checkpoint(mosaic: Quick) -> None:
    mosaic.ok("audit", "checkpoint", "kept")
    rewrite(mosaic)
    mosaic.ok("audit", "verify")
    done = mosaic("audit", "verify", "--checkpoint", "kept")
    assert (done.code, done.out) == (1, "")
    assert "breaks at seq 1: a checkpoint has another hash for it" in done.err


def test_entries_that_were_cut_off_are_found_by_the_checkpoint(mosaic: Quick) -> None:
    mosaic.ok("audit", "checkpoint", "kept")
    newest = mosaic.rows.one("SELECT max(seq) FROM federation_audit_log")
    mosaic.rows.tamper("DELETE FROM federation_audit_log WHERE seq = :seq", seq=newest)
    mosaic.rows.tamper(
        "UPDATE federation_audit_head AS h SET seq = l.seq, hash = l.hash"
        " FROM federation_audit_log AS l WHERE l.seq = :seq",
        seq=newest - 1,
    )
    mosaic.ok("audit", "verify")
    done = mosaic("audit", "verify", "--checkpoint", "kept")
    assert f"records are missing: a checkpoint was taken at seq {newest}" in done.err
    assert done.code == 1


def test_a_signed_checkpoint_names_its_signer_here_and_at_ssh_keygen(
    mosaic: Quick, signers: Signers, tmp_path: Path
) -> None:
    ada = signers.add("ada")
    mosaic.ok("audit", "checkpoint", "kept", "--sign-with", str(ada.key))
    mosaic.variables["MOSAIC_ALLOWED_SIGNERS"] = str(signers.file)
    output = mosaic.ok("audit", "verify", "--checkpoint", "kept").out
    assert "; signed by ada\n" in output

    words = ["ssh-keygen", "-Y", "verify", "-f", str(signers.file), "-I", "ada"]
    with (tmp_path / "kept").open("rb") as file:
        done = subprocess.run(
            [*words, "-n", NAMESPACE, "-s", str(tmp_path / "kept.sig")],
            stdin=file,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr


def test_a_checkpoint_that_nobody_allowed_signed_is_refused(
    mosaic: Quick, signers: Signers, tmp_path: Path
) -> None:
    ada, eve = signers.add("ada"), signers.add("eve", allow=False)
    mosaic.variables["MOSAIC_ALLOWED_SIGNERS"] = str(signers.file)
    mosaic.ok("audit", "checkpoint", "eves", "--sign-with", str(eve.key))
    mosaic.ok("audit", "checkpoint", "bare")
    mosaic.ok("audit", "checkpoint", "kept", "--sign-with", str(ada.key))
    (tmp_path / "other").write_bytes((tmp_path / "bare").read_bytes())
    (tmp_path / "other.sig").write_bytes((tmp_path / "kept.sig").read_bytes())
    for name, reason in (
        ("eves", "eves: its signature is by none of the allowed signers"),
        ("other", "other: its signature does not verify"),
        ("bare", "bare.sig cannot be read"),
    ):
        done = mosaic("audit", "verify", "--checkpoint", name)
        assert (done.code, done.out) == (1, "")
        assert reason in done.err


def test_a_key_for_commits_alone_signs_no_checkpoint(
    mosaic: Quick, signers: Signers, tmp_path: Path
) -> None:
    ada = signers.add("ada")
    mosaic.ok("audit", "checkpoint", "kept", "--sign-with", str(ada.key))
    signers.file.write_text(ada.allowed.replace(NAMESPACE, "git"))
    mosaic.variables["MOSAIC_ALLOWED_SIGNERS"] = str(signers.file)
    done = mosaic("audit", "verify", "--checkpoint", "kept")
    assert done.code == 1
    assert f'namespaces="{NAMESPACE}"' in done.err


def test_what_cannot_be_done_says_so_and_writes_nothing(mosaic: Quick, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("hello\n")
    for words, reason in (
        (("audit", "checkpoint", "note"), "note exists already"),
        (("audit", "checkpoint", "no/where"), "no/where cannot be written"),
        (("audit", "checkpoint", "new", "--sign-with", "note"), "'note' cannot sign"),
        (("audit", "verify", "--checkpoint", "note"), "note: it is not what"),
        (("audit", "verify", "--checkpoint", "none"), "none cannot be read"),
    ):
        done = mosaic(*words)
        assert (done.code, done.out) == (1, "")
        assert reason in done.err
    assert mosaic("audit", "checkpoint", "--sign-with", "note").code == 64
    assert not (tmp_path / "new").exists()


def test_a_log_that_breaks_has_no_checkpoint(mosaic: Quick, tmp_path: Path) -> None:
    mosaic.rows.tamper("UPDATE federation_audit_log SET actor = 'x' WHERE seq = 2")
    done = mosaic("audit", "checkpoint", "kept")
    assert (done.code, done.out) == (1, "")
    assert "breaks at seq 2" in done.err
    assert not (tmp_path / "kept").exists()
