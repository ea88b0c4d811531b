"""`validate` of folders, of single files, of standard input and of rules of trust."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.manifests import fmt
from tests.support.commands.in_process import Quick
from tests.support.commands.process import COMMAND
from tests.support.manifests.text import GRANT, PEER

if TYPE_CHECKING:
    from pathlib import Path

PASSED = GRANT.replace("2036", "2020").replace("beta-tasks", "old")
RULES = """\
apiVersion: federation.mosaicstack.dev/v1
kind: TrustRules
rules:
  - {paths: ["*"], signers: [ada], widening: 2}
rulesChange: {signers: [ada]}
"""


@pytest.fixture
def mosaic(tmp_path: Path) -> Quick:
    (tmp_path / "m/grants").mkdir(parents=True)
    (tmp_path / "m/beta.yaml").write_text(PEER)
    (tmp_path / "m/grant.yaml").write_text(GRANT)
    return Quick(tmp_path, {})


def test_of_a_file_only_that_file_is_checked_and_its_peer_is_found_beside_it(
    mosaic: Quick,
) -> None:
    (mosaic.cwd / "m/bad.yaml").write_text("kind: nothing\n")
    done = mosaic.ok("validate", "m/grant.yaml")
    assert (done.out, done.err) == ("valid: 0 peers and 1 grant\n", "")
    (mosaic.cwd / "m/beta.yaml").write_text(
        PEER.replace("inbound", "outbound, endpoint: https://b")
    )
    assert 'the Peer "beta" is outbound' in mosaic("validate", "m/grant.yaml").out


def test_a_peer_that_is_not_found_is_a_warning_of_a_file_and_an_error_of_a_folder(
    mosaic: Quick,
) -> None:
    (mosaic.cwd / "m/beta.yaml").unlink()
    done = mosaic.ok("validate", "m/grant.yaml")
    assert done.out.startswith("m/grant.yaml:6:9: warning[grant.peer] spec.peer: ")
    assert done.err == "1 warning\n"
    assert mosaic("validate", "m/grant.yaml", "--strict").code == 1
    assert mosaic("validate", "m").out.startswith("grant.yaml:6:9: error[grant.peer]")
    assert mosaic("validate", "m", "m/grants").code == 1


def test_several_files_are_one_source(mosaic: Quick) -> None:
    (mosaic.cwd / "m/grants/twice.yaml").write_text(GRANT)
    both = ("m/grant.yaml", "m/grants/twice.yaml")
    assert f"is declared already, at {both[0]}:4" in mosaic("validate", *both).out
    mosaic.ok("validate", both[0], f"{mosaic.cwd}/{both[0]}")
    (mosaic.cwd / "m/grants/twice.yaml").unlink()
    done = mosaic.ok("validate", "m", both[0])
    assert done.out == "valid: 1 peer and 1 grant\n"
    assert mosaic("validate", both[0], "https://x.example/r").code == 64
    missing = mosaic("validate", both[0], "nowhere.yaml")
    assert (missing.code, missing.err.splitlines()[0]) == (1, "error: nowhere.yaml does not exist")


def test_standard_input_is_a_file(mosaic: Quick) -> None:
    done = mosaic("validate", "-", stdin=PEER.replace("inbound", "inbuond"))
    assert done.code == 1
    assert done.out.startswith("<stdin>:4:19: error[field.value] spec.direction: ")
    assert mosaic.ok("validate", "-", stdin=PEER).out == "valid: 1 peer and 0 grants\n"
    assert mosaic.ok("validate", "-", "m/grant.yaml", stdin=PEER).err == ""
    assert mosaic("validate", "-", stdin="").code == 1
    assert mosaic.ok("fmt", "-", stdin=PEER.replace(": inbound", ":   inbound")).out == PEER


def test_fmt_writes_over_no_file_that_was_changed_after_it_was_read(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    untidy = PEER.replace(": inbound", ":   inbound")
    (mosaic.cwd / "m/beta.yaml").write_text(untidy)
    edited = untidy.replace("beta", "renamed")
    read_all = fmt._different

    def read_before_an_edit(files: list[Path]) -> dict[Path, tuple[str, str]]:
        different = read_all(files)
        (mosaic.cwd / "m/beta.yaml").write_text(edited)
        return different

    monkeypatch.setattr(fmt, "_different", read_before_an_edit)
    done = mosaic("fmt", "m")
    assert (done.code, (mosaic.cwd / "m/beta.yaml").read_text()) == (1, edited)
    assert "has changed since it was read" in done.err


def test_octets_and_sizes_of_standard_input_are_problems_at_their_place(mosaic: Quick) -> None:
    done = subprocess.run(
        [*COMMAND, "validate", "-", "--output", "json"],
        input=PEER.encode() + b"# \xff\n",
        capture_output=True,
        check=False,
        cwd=mosaic.cwd,
        env=mosaic.environ(),
    )
    (problem,) = json.loads(done.stdout)
    assert (problem["file"], problem["code"], problem["line"]) == ("<stdin>", "yaml.encoding", 5)
    assert done.returncode == 1


def test_a_file_of_any_name_is_read(mosaic: Quick) -> None:
    (mosaic.cwd / "other.txt").write_text(PEER)
    (mosaic.cwd / "link.yaml").symlink_to("other.txt")
    for name in ("other.txt", "link.yaml"):
        assert mosaic.ok("validate", name).out == "valid: 1 peer and 0 grants\n"
    (mosaic.cwd / "large").write_text("#" * 300_000)
    assert "error[file.too_large]" in mosaic("validate", "large").out


def test_an_end_that_has_passed_is_a_warning_and_an_error_under_strict(mosaic: Quick) -> None:
    (mosaic.cwd / "m/old.yaml").write_text(PASSED)
    done = mosaic.ok("validate", "m")
    first, last = done.out.splitlines()
    assert first.startswith(
        'old.yaml:8:14: warning[grant.expired] spec.expiresAt: "2020-06-30T00:00:00Z" has passed'
    )
    assert (last, done.err) == ("valid: 1 peer and 2 grants", "1 warning\n")
    (problem,) = mosaic.ok("validate", "m", "--output", "json").document
    assert (problem["severity"], problem["line"], problem["column"]) == ("warning", 8, 14)
    annotation = mosaic.ok("validate", "m", "--output", "github").out
    assert annotation.startswith("::warning file=old.yaml,line=8,col=14,title=grant.expired::")
    strict = mosaic("validate", "m", "--strict")
    assert (strict.code, strict.err) == (1, "1 problem\n")
    assert strict.out.startswith("old.yaml:8:14: error[grant.expired]")
    assert mosaic("validate", "m", "--strict", "--output", "github").out.startswith("::error file")


def test_warnings_stand_beside_errors(mosaic: Quick) -> None:
    (mosaic.cwd / "m/old.yaml").write_text(PASSED.replace("500", "0"))
    done = mosaic("validate", "m")
    assert done.code == 1
    assert done.err == "1 problem and 1 warning\n"
    assert [line.split(" ")[1] for line in done.out.splitlines()] == [
        "warning[grant.expired]",
        "error[field.value]",
    ]
    assert ["severity" in each for each in mosaic("validate", "m", "-o", "json").document] == [
        True,
        False,
    ]


def test_bad_rules_of_trust_are_found_by_their_line(mosaic: Quick) -> None:
    path = mosaic.cwd / "m/.mosaic-trust.yaml"
    path.write_text(RULES)
    text = "4:46: error[trust.quorum] rules[0].widening: got 2, and there are 1 signers"
    for given, name in (("m", ""), ("m/.mosaic-trust.yaml", "m/")):
        done = mosaic("validate", given)
        assert done.code == 1
        assert done.out.startswith(f"{name}.mosaic-trust.yaml:{text}")
    path.write_text(RULES.replace("widening: 2", "widening: 1"))
    mosaic.ok("validate", "m")
    path.write_text(RULES.replace("rulesChange", "ruleschange"))
    assert "error[field.unknown] ruleschange:" in mosaic("validate", "m").out


def test_rules_at_the_top_of_the_checkout_are_found_too(mosaic: Quick) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=mosaic.cwd, check=True)
    (mosaic.cwd / ".mosaic-trust.yaml").write_text(RULES)
    assert mosaic("validate", "m").out.startswith("../.mosaic-trust.yaml:4:46: error[trust.quorum]")
    mosaic.ok("validate", "m/grant.yaml")
