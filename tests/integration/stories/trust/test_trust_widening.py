"""What grants more needs its signatures when it takes effect, whichever commit brought it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from tests.support.repositories.trust import Trust

ONE_OF_TWO = "signed off by grace: 1 of the 2"


def open_folder(trust: Trust, **files: str) -> None:
    """Write files below `manifests/open`, where one of ada, grace and eve is enough."""
    folder = trust.checkout.path / "manifests" / "open"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


def test_a_widening_that_a_hold_kept_back_is_judged_when_the_hold_is_lifted(trust: Trust) -> None:
    trust.mosaic.ok("grant", "revoke", "g", "--yes")
    trust.checkout.write(g=grant_manifest("g", rows=900))
    wider = trust.grace.commit(trust.checkout, "While nobody looks")
    trust.ok()
    trust.ada.commit(trust.checkout, "Something else")
    trust.ok()
    trust.mosaic.ok("grant", "resume", "g")
    trust.untrusted(wider, f"it widens grant/g, {ONE_OF_TWO}")
    trust.ada.sign_off(trust.checkout, wider)
    trust.ok()
    assert trust.mosaic.grant("g")["scope"]["maxRowsPerQuery"] == 900


def test_a_signature_that_was_given_before_the_hold_was_lifted_counts(trust: Trust) -> None:
    trust.mosaic.ok("grant", "revoke", "g", "--yes")
    trust.checkout.write(g=grant_manifest("g", rows=900))
    wider = trust.grace.commit(trust.checkout, "More")
    trust.ada.sign_off(trust.checkout, wider)
    trust.checkout.write(g=grant_manifest("g", rows=800))
    trust.grace.commit(trust.checkout, "Less again")
    trust.ok()
    trust.mosaic.ok("grant", "resume", "g")
    trust.ok()
    assert trust.mosaic.grant("g")["scope"]["maxRowsPerQuery"] == 800


def test_a_widening_that_a_target_left_out_is_judged_when_it_is_applied(trust: Trust) -> None:
    trust.checkout.write(g=grant_manifest("g", rows=900))
    wider = trust.grace.commit(trust.checkout, "More")
    trust.ok("--exclude", "grant/g")
    trust.untrusted(wider, ONE_OF_TWO)


def test_each_commit_on_the_way_needs_the_quorum_not_only_the_last(trust: Trust) -> None:
    trust.checkout.write(g=grant_manifest("g", rows=900))
    first = trust.grace.commit(trust.checkout, "Much more")
    trust.checkout.write(g=grant_manifest("g", rows=901))
    trust.ada.sign_off(trust.checkout, trust.grace.commit(trust.checkout, "One more"))
    trust.untrusted(first, ONE_OF_TWO)


def test_a_widening_that_was_taken_back_is_not_asked_for(trust: Trust) -> None:
    trust.checkout.write(g=grant_manifest("g", rows=900))
    trust.grace.commit(trust.checkout, "More")
    trust.checkout.write(g=grant_manifest("g", rows=400))
    trust.grace.commit(trust.checkout, "Rather less")
    trust.ok()
    trust.checkout.write(g=grant_manifest("g", rows=450))
    trust.ada.sign_off(trust.checkout, trust.grace.commit(trust.checkout, "A little more"))
    trust.ok()


def test_a_manifest_that_moves_to_where_no_rule_matches_is_nobodys(trust: Trust) -> None:
    trust.checkout.git("mv", "manifests/g.yaml", "manifests/x.yaml")
    moved = trust.grace.commit(trust.checkout, "Away")
    trust.untrusted(moved, "no rule matches manifests/x.yaml, so nobody may change it")


def test_a_manifest_that_moves_to_a_looser_rule_needs_the_quorum_of_the_old_one(
    trust: Trust,
) -> None:
    open_folder(trust)
    trust.checkout.git("mv", "manifests/g.yaml", "manifests/open/g.yaml")
    moved = trust.grace.commit(trust.checkout, "Away")
    trust.untrusted(moved, f"it widens grant/g, {ONE_OF_TWO} that manifests/g.yaml asks for")
    trust.ada.sign_off(trust.checkout, moved)
    trust.ok()
    open_folder(trust, g=grant_manifest("g", rows=900))
    trust.grace.commit(trust.checkout, "More, by the rule of its new place")
    trust.ok()
    assert trust.mosaic.grant("g")["scope"]["maxRowsPerQuery"] == 900


@pytest.mark.parametrize("rows", [500, 900])
def test_a_manifest_that_is_removed_and_added_elsewhere_has_moved(trust: Trust, rows: int) -> None:
    (trust.checkout.path / "manifests" / "g.yaml").unlink()
    trust.grace.commit(trust.checkout, "Gone")
    open_folder(trust, g=grant_manifest("g", rows=rows))
    added = trust.grace.commit(trust.checkout, "And there again")
    trust.untrusted(added, f"{ONE_OF_TWO} that manifests/g.yaml asks for")


def test_a_manifest_that_gets_another_name_is_a_new_grant(trust: Trust) -> None:
    trust.checkout.write(g=grant_manifest("g").replace("name: g", "name: h"))
    renamed = trust.grace.commit(trust.checkout, "Another name")
    trust.untrusted(renamed, f"it widens grant/h, {ONE_OF_TWO}")


def test_a_commit_that_changes_another_object_of_the_same_file_is_no_step(trust: Trust) -> None:
    both = f"{grant_manifest('g')}---\n{grant_manifest('k', rows=100)}"
    trust.checkout.write(g=both)
    trust.ada.sign_off(trust.checkout, trust.grace.commit(trust.checkout, "Two in a file"))
    trust.checkout.write(g=both.replace("maxRowsPerQuery: 100", "maxRowsPerQuery: 90"))
    trust.grace.commit(trust.checkout, "Less for k")
    more = both.replace("maxRowsPerQuery: 100", "maxRowsPerQuery: 90").replace("500", "900")
    trust.checkout.write(g=more)
    trust.ada.sign_off(trust.checkout, trust.grace.commit(trust.checkout, "More for g"))
    trust.ok()
    assert trust.mosaic.grant("g")["scope"]["maxRowsPerQuery"] == 900


def test_a_merge_that_brings_a_wider_manifest_back_needs_the_quorum_itself(trust: Trust) -> None:
    checkout = trust.checkout
    checkout.git("branch", "wide")
    checkout.write(g=grant_manifest("g", rows=100))
    trust.grace.commit(checkout, "Less")
    trust.ok()
    checkout.git("checkout", "-q", "wide")
    trust.grace.commit(checkout, "Nothing of it")
    checkout.git("checkout", "-q", "main")
    checkout.git("merge", "-q", "--no-ff", "--no-commit", "wide")
    checkout.write(g=grant_manifest("g"))
    evil = trust.grace.commit(checkout, "The other side, I say")
    trust.untrusted(evil, f"it widens grant/g, {ONE_OF_TWO}")


@pytest.mark.parametrize("sides", [("b", "c"), ("crossed",)], ids=["octopus", "criss-cross"])
def test_no_shape_of_a_merge_brings_a_wider_manifest_back(
    trust: Trust, sides: tuple[str, ...]
) -> None:
    checkout, merge = trust.checkout, ("merge", "-q", "--no-ff", "--no-commit")
    for side in "abc":
        checkout.git("branch", side)
    checkout.write(g=grant_manifest("g", rows=100))
    trust.grace.commit(checkout, "Less")
    trust.ok()
    for side in "abc":
        checkout.git("checkout", "-q", side)
        trust.grace.commit(checkout, f"Nothing of it on {side}")
    checkout.git("checkout", "-q", "-b", "crossed", "a")
    checkout.git(*merge, "main")
    trust.grace.commit(checkout, "One way")
    checkout.git("checkout", "-q", "main")
    checkout.git(*merge, "a")
    trust.grace.commit(checkout, "The other way")
    trust.ok()
    checkout.git(*merge, "-s", "ours", *sides)
    checkout.write(g=grant_manifest("g"))
    evil = trust.grace.commit(checkout, "All of them, I say")
    assert len(checkout.git("rev-parse", f"{evil}^@").split()) == 1 + len(sides)
    trust.untrusted(evil, f"it widens grant/g, {ONE_OF_TWO}")


@pytest.mark.parametrize("removed", [True, False])
def test_a_merge_with_a_branch_that_renamed_the_file_brings_nothing_back(
    trust: Trust, *, removed: bool
) -> None:
    checkout = trust.checkout
    checkout.git("checkout", "-q", "-b", "side")
    checkout.git("mv", "manifests/g.yaml", "manifests/ga.yaml")
    trust.grace.commit(checkout, "Only another file")
    checkout.git("checkout", "-q", "main")
    if removed:
        (checkout.path / "manifests" / "g.yaml").unlink()
    else:
        checkout.write(g=grant_manifest("g", rows=100))
    trust.grace.commit(checkout, "Less")
    trust.ok()
    checkout.git("merge", "-q", "--no-ff", "--no-commit", "-s", "ours", "side")
    (checkout.path / "manifests" / "g.yaml").unlink(missing_ok=True)
    checkout.write(ga=grant_manifest("g"))
    evil = trust.grace.commit(checkout, "A rename, nothing else")
    trust.untrusted(evil, f"it widens grant/g, {ONE_OF_TWO}")


def test_a_clean_merge_is_no_step_and_what_it_brings_is(trust: Trust) -> None:
    checkout = trust.checkout
    checkout.git("checkout", "-q", "-b", "side")
    checkout.write(g=grant_manifest("g", rows=900))
    wider = trust.grace.commit(checkout, "On the side")
    checkout.git("checkout", "-q", "main")
    trust.grace.commit(checkout, "Meanwhile")
    checkout.git("merge", "-q", "--no-ff", "--no-commit", "side")
    trust.grace.commit(checkout, "A clean merge")
    trust.untrusted(wider, f"it widens grant/g, {ONE_OF_TWO}")
    trust.ada.sign_off(checkout, wider)
    trust.ok()


def test_a_widening_through_a_link_needs_the_quorum(trust: Trust) -> None:
    folder = trust.checkout.path / "manifests"
    (folder / ".data").mkdir()
    (folder / ".data" / "g.txt").write_text(grant_manifest("g"))
    (folder / "g.yaml").unlink()
    (folder / "g.yaml").symlink_to(".data/g.txt")
    trust.grace.commit(trust.checkout, "The same by a link")
    trust.ok()
    (folder / ".data" / "g.txt").write_text(grant_manifest("g", rows=900))
    wider = trust.grace.commit(trust.checkout, "More, behind it")
    trust.untrusted(wider, f"it widens grant/g, {ONE_OF_TWO}")


def test_what_was_declared_when_the_rules_came_is_accepted_after_a_hold(trust: Trust) -> None:
    trust.mosaic.ok("grant", "revoke", "g", "--yes")
    trust.mosaic.ok("grant", "resume", "g")
    trust.ok()
    assert trust.mosaic.grant("g")["status"] == "pending"


def test_a_peer_that_leaves_its_rule_needs_who_may_change_it(trust: Trust) -> None:
    open_folder(trust, beta=peer_manifest())
    (trust.checkout.path / "manifests" / "beta.yaml").unlink()
    moved = trust.grace.commit(trust.checkout, "Mine now")
    trust.untrusted(moved, "grace may not change manifests/beta.yaml")
