"""`trust check`: who signed a range of commits, and whether that suffices, without a database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.commands.in_process import Quick
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.repositories.repository import Checkout
from tests.support.repositories.signers import Signer, Signers
from tests.support.repositories.trust import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.repositories.trust import Trust


class PullRequest:
    """A checkout in CI: `main` has the rules, and what is on top of it is judged."""

    def __init__(self, folder: Path) -> None:
        self.people = Signers(folder)
        self.ada, self.grace = self.people.add("ada"), self.people.add("grace")
        self.checkout = Checkout.make(folder / "repository", beta=peer_manifest())
        self.checkout.write(g=grant_manifest("g"))
        (self.checkout.path / ".mosaic-trust.yaml").write_text(RULES)
        self.ada.commit(self.checkout, "With rules")
        self.checkout.git("checkout", "-q", "-b", "change")
        variables = {"MOSAIC_ALLOWED_SIGNERS": str(self.people.file), "MOSAIC_SOURCE": "manifests"}
        self.mosaic = Quick(self.checkout.path, variables)

    def widen(self, signer: Signer) -> str:
        self.checkout.write(g=grant_manifest("g", rows=900))
        return signer.commit(self.checkout, "More")

    def check(self, code: int, *words: str) -> Any:
        done = self.mosaic("trust", "check", *(words or ("main..",)), "--output", "json")
        assert done.code == code, done.err
        assert code == 0 or done.error["code"] == "commit_untrusted"
        return json.loads(done.out)


@pytest.fixture
def change(tmp_path: Path) -> PullRequest:
    return PullRequest(tmp_path)


def test_a_widening_that_one_has_signed_does_not_suffice_until_another_signs_it_off(
    change: PullRequest,
) -> None:
    wider = change.widen(change.grace)
    document = change.check(6)
    (commit,) = document["commits"]
    assert not document["trusted"]
    assert (commit["id"], commit["signer"], commit["trusted"]) == (wider, "grace", False)
    assert commit["paths"] == ["manifests/g.yaml"]
    (fault,) = commit["faults"]
    assert fault["reason"].startswith("it widens grant/g, signed off by grace: 1 of the 2")
    assert f"Signs-off: {wider}" in fault["remedy"]
    change.ada.sign_off(change.checkout, wider)
    document = change.check(0)
    assert document["trusted"]
    assert document["commits"][0]["signedOffBy"] == ["ada"]
    assert document["commits"][1]["signsOff"] == [wider]


def test_people_read_a_table_and_what_to_do(change: PullRequest) -> None:
    change.widen(change.grace)
    unsigned = change.checkout.commit("Not signed")
    done = change.mosaic("trust", "check", "main..HEAD")
    assert done.code == 6
    assert "SIGNED BY" in done.out
    assert f"! {unsigned[:12]} it is not signed" in done.out
    assert "Signs-off: " in done.out
    assert change.mosaic("trust", "check", "main", "--output", "yaml").code == 6


def test_without_a_range_it_is_what_was_not_applied_yet(trust: Trust) -> None:
    wider = trust.grace.commit(trust.checkout, "Nothing")
    trust.ok()
    trust.checkout.write(g=grant_manifest("g", rows=900))
    wider = trust.grace.commit(trust.checkout, "More")
    done = trust.mosaic("trust", "check", *trust.where, "--output", "json")
    assert done.code == 6, done.err
    assert [each["id"] for each in json.loads(done.out)["commits"]] == [wider]


def test_without_a_range_and_a_gateway_it_asks_for_one(change: PullRequest) -> None:
    done = change.mosaic("trust", "check")
    assert done.code == 64
    assert "BASE..TIP" in done.err


def test_the_rules_are_those_of_the_base(change: PullRequest) -> None:
    rules = change.checkout.path / ".mosaic-trust.yaml"
    rules.write_text(RULES.replace("widening: 2", "widening: 1").replace("quorum: 2", "quorum: 1"))
    change.grace.commit(change.checkout, "I alone say so")
    change.widen(change.grace)
    first, second = change.check(6)["commits"]
    assert "1 of the 2 that the rules ask for" in first["faults"][0]["reason"]
    assert "1 of the 2" in second["faults"][0]["reason"]


def test_what_others_did_meanwhile_is_not_in_the_range(change: PullRequest) -> None:
    change.checkout.git("checkout", "-q", "main")
    change.checkout.write(g=grant_manifest("g", rows=100))
    change.grace.commit(change.checkout, "Less, on the trunk")
    change.checkout.git("checkout", "-q", "change")
    change.grace.commit(change.checkout, "Nothing of it")
    assert change.check(0)["trusted"]
    assert change.check(0, "main..main")["commits"] == []
    assert change.check(0, "change..main~1")["commits"] == []


def test_a_range_that_is_none_and_signers_that_nobody_named_are_told(change: PullRequest) -> None:
    assert change.mosaic("trust", "check", "..main").code == 64
    done = change.mosaic("trust", "check", "nowhere..main")
    assert done.code == 1
    assert "no ref 'nowhere'" in done.err
    del change.mosaic.variables["MOSAIC_ALLOWED_SIGNERS"]
    done = change.mosaic("trust", "check", "main..")
    assert done.code == 78
    assert "MOSAIC_SIGNERS_KEYRING" in done.err
