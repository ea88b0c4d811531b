"""Signed commits and the rules in the repository, on real repositories with real keys."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import InvalidManifests
from reconciler.manifest.trust import parse_rules
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.repositories.signers import Gpg
from tests.support.repositories.trust import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.repositories.trust import Trust


def test_the_first_commit_is_judged_alone_and_who_signed_is_recorded(trust: Trust) -> None:
    rows = trust.mosaic.rows.rows(
        "SELECT signer, c.id = g.revision AS its FROM federation_commits AS c"
        " JOIN federation_grants AS g ON g.revision = c.id"
    )
    assert rows == [{"signer": "ada", "its": True}]


def test_every_commit_since_the_applied_one_is_judged(trust: Trust) -> None:
    trust.checkout.write(other=peer_manifest("other"))
    unsigned = trust.checkout.commit("Not signed")
    trust.ada.commit(trust.checkout, "Signed, on top")
    trust.untrusted(unsigned, "it is not signed", f"--amend --no-edit -S' {unsigned[:12]}~1")


def test_a_key_that_is_not_allowed_is_told(trust: Trust) -> None:
    mallory = trust.people.add("mallory", allow=False)
    commit = mallory.commit(trust.checkout, "Hello")
    trust.untrusted(commit, "by none of the allowed signers")


def test_a_signer_who_is_no_longer_allowed_is_told(trust: Trust) -> None:
    trust.people.remove("grace")
    commit = trust.grace.commit(trust.checkout, "Hello")
    trust.untrusted(commit, "by none of the allowed signers")


def test_who_changes_what_a_link_leads_to_changes_the_manifest(trust: Trust) -> None:
    eve = trust.people.add("eve")
    folder = trust.checkout.path / "manifests"
    (folder / ".data").mkdir()
    (folder / ".data" / "g.txt").write_text(grant_manifest("g", rows=4))
    (folder / "g.yaml").unlink()
    (folder / "g.yaml").symlink_to(".data/g.txt")
    commit = trust.ada.commit(trust.checkout, "By a link")
    trust.grace.sign_off(trust.checkout, commit)
    trust.ok()
    (folder / ".data" / "g.txt").write_text(grant_manifest("g", rows=3))
    commit = eve.commit(trust.checkout, "Not her file")
    trust.untrusted(commit, "eve may not change manifests/g.yaml")


def test_a_signed_commit_that_was_changed_is_told(trust: Trust) -> None:
    trust.ada.commit(trust.checkout, "Right")
    raw = trust.checkout.git("cat-file", "commit", "HEAD").replace("Right", "Wrong")
    forged = trust.checkout.object("commit", f"{raw}\n".encode())
    trust.checkout.git("update-ref", "refs/heads/main", forged)
    trust.untrusted(forged, "its signature is bad")


def test_a_path_may_be_changed_by_those_alone_whom_every_rule_names(trust: Trust) -> None:
    trust.checkout.write(beta=peer_manifest().replace("displayName: beta", "displayName: other"))
    commit = trust.grace.commit(trust.checkout, "Not hers")
    trust.untrusted(commit, "grace may not change manifests/beta.yaml")


def test_a_widening_needs_two_and_a_narrowing_one(trust: Trust) -> None:
    trust.checkout.write(g=grant_manifest("g", rows=100))
    trust.grace.commit(trust.checkout, "Less")
    trust.ok()
    trust.checkout.write(g=grant_manifest("g", rows=900))
    wider = trust.grace.commit(trust.checkout, "More")
    trust.untrusted(wider, "it widens grant/g, signed off by grace: 1 of the 2")
    trust.grace.sign_off(trust.checkout, wider)
    trust.untrusted(wider, "1 of the 2")
    trust.ada.sign_off(trust.checkout, wider)
    trust.ok()
    assert trust.mosaic.grant("g")["scope"]["maxRowsPerQuery"] == 900


def test_rules_are_changed_by_the_quorum_of_the_rules_that_were_applied(trust: Trust) -> None:
    loose = RULES.replace("quorum: 2", "quorum: 1").replace("widening: 2", "widening: 1")
    (trust.checkout.path / ".mosaic-trust.yaml").write_text(loose)
    commit = trust.grace.commit(trust.checkout, "I alone say so")
    trust.untrusted(commit, "1 of the 2 that the rules ask for")
    (trust.checkout.path / ".mosaic-trust.yaml").unlink()
    gone = trust.grace.commit(trust.checkout, "No rules, no judge")
    trust.ada.sign_off(trust.checkout, commit)
    trust.untrusted(gone, "1 of the 2 that the rules ask for")
    trust.ada.sign_off(trust.checkout, gone)
    done = trust.apply()
    assert done.code == 6
    assert "it has no .mosaic-trust.yaml, so no rules would hold any more" in done.err
    (trust.checkout.path / ".mosaic-trust.yaml").write_text(loose)
    trust.ada.sign_off(trust.checkout, trust.grace.commit(trust.checkout, "Rules again"))
    trust.ok()
    assert trust.mosaic.rows.one("SELECT rules FROM federation_applied") == loose


def test_a_merge_answers_for_what_it_changes_itself(trust: Trust) -> None:
    checkout = trust.checkout
    checkout.git("checkout", "-q", "-b", "side")
    checkout.write(beta=peer_manifest().replace("displayName: beta", "displayName: side"))
    trust.ada.commit(checkout, "On the side")
    checkout.git("checkout", "-q", "main")
    checkout.write(g=grant_manifest("g", rows=7))
    trust.grace.commit(checkout, "Meanwhile")
    checkout.git("merge", "-q", "--no-ff", "--no-commit", "side")
    trust.grace.commit(checkout, "A clean merge")
    trust.ok()

    checkout.git("checkout", "-q", "-b", "again")
    checkout.write(other=peer_manifest("other"))
    trust.grace.commit(checkout, "On another side")
    checkout.git("checkout", "-q", "main")
    trust.grace.commit(checkout, "Meanwhile")
    checkout.git("merge", "-q", "--no-ff", "--no-commit", "again")
    checkout.write(beta=peer_manifest().replace("displayName: beta", "displayName: evil"))
    evil = trust.grace.commit(checkout, "A merge that does more")
    trust.untrusted(evil, "grace may not change manifests/beta.yaml")


def test_a_merge_that_drops_what_the_other_side_did_answers_for_it(trust: Trust) -> None:
    checkout = trust.checkout
    checkout.git("checkout", "-q", "-b", "side")
    checkout.write(beta=peer_manifest().replace("displayName: beta", "displayName: side"))
    trust.ada.commit(checkout, "On the side")
    checkout.git("checkout", "-q", "main")
    trust.grace.commit(checkout, "Meanwhile")
    checkout.git("merge", "-q", "--no-ff", "--no-commit", "-s", "ours", "side")
    dropped = trust.grace.commit(checkout, "Ours")
    trust.untrusted(dropped, "grace may not change manifests/beta.yaml")


def test_programs_that_a_repository_names_do_not_verify(trust: Trust, tmp_path: Path) -> None:
    accomplice = tmp_path / "yes"
    accomplice.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 0\n")
    accomplice.chmod(0o755)
    for name in ("gpg.program", "gpg.ssh.program", "gpg.openpgp.program"):
        trust.checkout.git("config", name, str(accomplice))
    mallory = trust.people.add("mallory", allow=False)
    trust.checkout.git("config", "gpg.ssh.allowedSignersFile", str(tmp_path / "theirs"))
    (tmp_path / "theirs").write_text(mallory.allowed)
    trust.checkout.git("config", "--unset", "gpg.ssh.program")
    commit = mallory.commit(trust.checkout, "Trust me")
    trust.checkout.git("config", "gpg.ssh.program", str(accomplice))
    trust.untrusted(commit, "by none of the allowed signers")
    assert not (tmp_path / "ran").exists()


def test_a_rewind_to_an_older_commit_is_judged_by_it(trust: Trust) -> None:
    trust.checkout.git("reset", "-q", "--hard", "HEAD~1")
    unsigned = trust.checkout.head
    assert trust.apply().code == 3
    done = trust.apply("--allow-rewind")
    assert done.code == 6
    assert f"{unsigned[:12]} by Ada Lovelace" in done.err


def test_a_folder_has_no_commits_to_judge(trust: Trust) -> None:
    folder = str(trust.checkout.path / "manifests")
    done = trust.mosaic("plan", "--require-signed", "--source", folder)
    assert done.code == 78
    assert "name its ref by --ref" in done.err


def test_without_anybody_who_may_sign_it_says_what_to_set(trust: Trust) -> None:
    del trust.mosaic.variables["MOSAIC_ALLOWED_SIGNERS"]
    assert "MOSAIC_ALLOWED_SIGNERS" in trust.apply().err
    assert trust.apply().code == 78


@pytest.fixture
def gpg_home() -> Iterator[Path]:
    """A short path: gpg's agent listens on a socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="gpg-"))
    yield folder / "h"
    shutil.rmtree(folder, ignore_errors=True)


def test_openpgp_keys_of_the_operators_keyring_count(trust: Trust, gpg_home: Path) -> None:
    person = Gpg.make(gpg_home, "ada")
    try:
        commit = person.commit(trust.checkout, "By OpenPGP")
        trust.untrusted(commit, "by none of the allowed signers")
        keyring = person.export(gpg_home.parent / "keys.asc")
        trust.mosaic.variables["MOSAIC_SIGNERS_KEYRING"] = str(keyring)
        trust.ok()
        value = trust.mosaic.rows.one(
            "SELECT signer FROM federation_commits WHERE id = :id", id=commit
        )
        assert value == person.fingerprint
        rules = trust.checkout.path / ".mosaic-trust.yaml"
        rules.write_text(RULES.replace("signers: [ada]", f"signers: ['{person.fingerprint}']"))
        trust.grace.sign_off(trust.checkout, trust.ada.commit(trust.checkout, "A key"))
        trust.ok()
        trust.checkout.write(beta=peer_manifest().replace("displayName: beta", "displayName: b"))
        commit = trust.ada.commit(trust.checkout, "Not by the key")
        trust.untrusted(
            commit, f"have the same change committed and signed by one who may: {value}"
        )
    finally:
        person.stop()


def test_an_openpgp_key_that_was_revoked_or_has_expired_signs_nothing(
    trust: Trust, gpg_home: Path
) -> None:
    past = ("--faked-system-time", "20200102T000000")
    person = Gpg.make(gpg_home, "ada", "--faked-system-time", "20200101T000000")
    keyring = gpg_home.parent / "keys.asc"
    trust.mosaic.variables["MOSAIC_SIGNERS_KEYRING"] = str(keyring)
    try:
        commit = person.commit(trust.checkout, "By OpenPGP")
        person.run(*past, "--quick-set-expire", person.fingerprint, "1d")
        person.export(keyring)
        trust.untrusted(commit, "by a key that has expired")
        person.run(*past, "--quick-set-expire", person.fingerprint, "0")
        revocation = gpg_home / "openpgp-revocs.d" / f"{person.fingerprint}.rev"
        revocation.write_text(revocation.read_text().replace(":-----BEGIN", "-----BEGIN"))
        person.run("--import", "--", str(revocation))
        person.export(keyring)
        trust.untrusted(commit, "by a key that was revoked")
    finally:
        person.stop()


def test_the_mail_of_an_openpgp_key_is_no_signer(trust: Trust, gpg_home: Path) -> None:
    person = Gpg.make(gpg_home, "ada")
    try:
        trust.checkout.write(beta=peer_manifest().replace("displayName: beta", "displayName: b"))
        commit = person.commit(trust.checkout, "I say that I am ada")
        keyring = person.export(gpg_home.parent / "keys.asc")
        trust.mosaic.variables["MOSAIC_SIGNERS_KEYRING"] = str(keyring)
        trust.untrusted(commit, f"{person.fingerprint} may not change manifests/beta.yaml")
    finally:
        person.stop()


def test_two_openpgp_keys_that_claim_one_mail_are_refused(trust: Trust, gpg_home: Path) -> None:
    person = Gpg.make(gpg_home, "ada@alpha.example")
    try:
        person.run("--quick-generate-key", "Also <Ada@alpha.example>", "ed25519", "sign", "0")
        keyring = gpg_home.parent / "keys.asc"
        keyring.write_bytes(person.run("--armor", "--export"))
        trust.mosaic.variables["MOSAIC_SIGNERS_KEYRING"] = str(keyring)
        trust.ada.commit(trust.checkout, "Hello")
        done = trust.apply()
        assert done.code == 78
        assert "2 keys claim the mail address ada@alpha.example" in done.err
    finally:
        person.stop()


def test_rules_are_told_all_their_problems() -> None:
    with pytest.raises(InvalidManifests, match="problem") as caught:
        parse_rules(RULES.replace("widening: 2", "widening: 0").replace("signers: [ada]", "who: x"))
    assert {each.line for each in caught.value.problems} == {6, 7, 8}
    with pytest.raises(InvalidManifests, match="1 problem") as caught:
        parse_rules(RULES.replace("quorum: 2", "quorum: 3"))
    assert "there are 2 signers" in str(caught.value.problems[0])
