"""What `peer add` obtained is used by something else: folders, Secrets, hooks, and their end."""

from __future__ import annotations

import base64
import json
import shlex
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest
from ruamel.yaml import YAML

from tests.support.commands.killed import run_and_kill

if TYPE_CHECKING:
    from tests.support.gateways.holder import Holder

FEWEST_STEPS: Final = 12  # the commit before; four files, their folder, a swap and four links


def test_a_folder_has_the_credential_and_what_it_is_for(holder: Holder) -> None:
    done = holder.release("--output", "json")

    assert done.code == 0, done.err
    held = holder.beta.held()
    assert held.certificate is not None
    assert holder.serial() == held.certificate.serial
    assert done.document["changed"] is True
    shown = holder.shell.document("peer", "show", "alpha")
    grant = json.loads((holder.folder / "grant.json").read_text())
    assert grant == {"grant": shown["grant"], "certificate": shown["certificate"]}
    assert done.document["certificate"] == shown["certificate"]
    assert (holder.folder / "ca.crt").read_text() == "".join(held.roots)
    assert holder.releases() == [
        {
            "id": str(held.id),
            "serial": held.certificate.serial,
            "fingerprint": held.certificate.fingerprint,
            "destination": str(holder.folder),
        }
    ]


def test_nothing_new_is_not_written_and_said_so(holder: Holder) -> None:
    holder.release()
    before = (holder.folder / "..data").readlink()
    again = holder.release()

    assert (again.code, (holder.folder / "..data").readlink()) == (0, before)
    assert "nothing new" in again.out
    assert len(holder.releases()) == 1


def test_a_renewed_certificate_takes_the_place_of_the_old_one(holder: Holder) -> None:
    holder.release()
    first = holder.serial()
    holder.renew()

    assert holder.release().code == 0
    assert holder.serial() != first
    assert [each["serial"] for each in holder.releases()] == [first, holder.serial()]


def test_a_hook_runs_after_a_change_and_not_again(holder: Holder) -> None:
    script = 'echo "$MOSAIC_PEER $MOSAIC_CREDENTIALS ${MOSAIC_DATABASE_URL-none}" >> ran'
    hook = shlex.join(["sh", "-c", f"cd {holder.shell.cwd} && {script}"])
    for _ in range(2):
        assert holder.release("--exec", hook).code == 0
    assert (holder.shell.cwd / "ran").read_text() == f"alpha {holder.folder} none\n"


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        ("sh -c 'echo no such proxy >&2; exit 3'", "(exit status 3): no such proxy"),
        ("no-such-program", "no-such-program cannot be started: No such file or directory"),
    ],
)
def test_a_hook_that_fails_leaves_the_files_and_is_told_once(
    holder: Holder, hook: str, why: str
) -> None:
    failed = holder.release("--exec", hook, "--output", "json")
    assert (failed.code, failed.error["code"]) == (1, "hook_failed")
    assert why in failed.error["message"]
    assert holder.serial()
    assert holder.release("--exec", hook).code == 0


def test_another_peers_folder_is_refused_and_nothing_is_recorded(holder: Holder) -> None:
    holder.folder.mkdir()
    (holder.folder / "..peer").write_text("gamma\n")
    refused = holder.release("--output", "json")
    assert (refused.code, refused.error["code"]) == (1, "state_conflict")
    assert "'gamma'" in refused.error["message"]
    assert holder.releases() == []


def test_a_peer_that_does_not_exist_takes_no_folder(holder: Holder) -> None:
    """A name that was mistyped would keep the folder from the peer that was meant."""
    words = ("peer", "credentials", "alhpa", "--dir", str(holder.folder), "--output", "json")
    refused = holder.shell(*words)
    assert (refused.code, refused.error["code"]) == (1, "name_unknown")
    assert not holder.folder.exists()
    assert holder.release().code == 0


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--dir", ""),
        ("--dir", "x", "--output", "k8s-secret"),
        ("--dir", "x", "--secret-name", "y"),
        ("--dir", "x", "--exec", ""),
        ("--dir", "x", "--exec", "'"),
    ],
)
def test_options_that_make_no_sense_together_are_usage_errors(
    holder: Holder, words: tuple[str, ...]
) -> None:
    assert holder.shell("peer", "credentials", "alpha", *words).code == 64


def test_a_secret_for_kubernetes(holder: Holder) -> None:
    words = ("--output", "k8s-secret", "--namespace", "apps")
    done = holder.shell.ok("peer", "credentials", "alpha", *words)
    secret = YAML(typ="safe").load(done.out)
    assert (secret["apiVersion"], secret["kind"]) == ("v1", "Secret")
    assert secret["type"] == "kubernetes.io/tls"
    assert secret["metadata"] == {"name": "mosaic-alpha", "namespace": "apps"}
    data = {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}
    held = holder.beta.held()
    assert held.certificate is not None
    assert data["ca.crt"] == "".join(held.roots)
    assert data["tls.crt"].startswith(held.certificate.pem)
    assert data["tls.key"].startswith("-----BEGIN PRIVATE KEY-----")
    assert [each["destination"] for each in holder.releases()] == ["k8s-secret"]


def test_no_other_output_holds_the_key(holder: Holder) -> None:
    for output in ("table", "json", "yaml"):
        done = holder.release("--output", output)
        assert "PRIVATE" not in done.out + done.err


def test_a_release_that_is_killed_anywhere_is_finished_by_the_next(holder: Holder) -> None:
    for step in count(1):
        folder = holder.shell.cwd / f"killed-{step}"
        words = ("peer", "credentials", "alpha", "--dir", str(folder), "--exec", "touch ran")
        (holder.shell.cwd / "ran").unlink(missing_ok=True)
        killed = run_and_kill(holder.shell, folder, step, *words)
        if not killed:
            assert step > FEWEST_STEPS
            return
        holder.shell.ok(*words)
        generation = (folder / "..data").readlink()
        left = sorted(each.name for each in folder.iterdir())
        files = ["ca.crt", "grant.json", "tls.crt", "tls.key"]
        assert left == sorted(["..data", "..peer", str(generation), *files])
        assert (holder.shell.cwd / "ran").exists(), f"the hook was lost at step {step}"


def refreshed(holder: Holder) -> Any:
    return holder.shell.document("peer", "show", "alpha", "--refresh")


def test_what_the_other_side_takes_back_is_shown(holder: Holder) -> None:
    assert refreshed(holder)["withdrawn"] is None
    change = "UPDATE federation_grants SET scope = jsonb_set(scope, '{maxRowsPerQuery}', '%d')"
    holder.alpha.rows.run(change % 10)
    narrowed = refreshed(holder)
    assert narrowed["withdrawn"]["what"] == "narrowed"
    assert refreshed(holder)["withdrawn"] == narrowed["withdrawn"], "learned once"

    holder.alpha.rows.run("UPDATE federation_grants SET status = 'suspended', suspended = true")
    assert refreshed(holder)["withdrawn"]["what"] == "suspended"
    (trouble,) = holder.shell.document("status")["outbound"]
    assert trouble["withdrawn"]["what"] == "suspended"

    holder.alpha.rows.run("UPDATE federation_grants SET status = 'active', suspended = false")
    assert refreshed(holder)["withdrawn"]["what"] == "narrowed"
    holder.alpha.rows.run(change % 500)
    assert refreshed(holder)["withdrawn"] is None
    kinds = [
        row["kind"]
        for row in holder.beta.rows.rows(
            "SELECT kind FROM federation_audit_log WHERE kind LIKE 'peer.grant_%' ORDER BY seq"
        )
    ]
    assert kinds == [*["peer.grant_withdrawn"] * 3, "peer.grant_restored"]


def test_what_is_held_of_another_gateway_is_explained(holder: Holder) -> None:
    (story,) = holder.shell.document("explain", "peer", "alpha")
    shown = holder.shell.document("peer", "show", "alpha")
    assert (story["grant"]["id"], story["withdrawn"]) == (shown["grant"]["id"], None)
    certificate = story["certificate"]
    assert (certificate["holds"], certificate["fingerprint"]) == (
        True,
        shown["certificate"]["fingerprint"],
    )
    for name in ("serial", "fingerprint"):
        assert holder.shell.document("explain", "certificate", certificate[name]) == [story]

    holder.end_grant()
    withdrawn = refreshed(holder)["withdrawn"]
    output = holder.shell.ok("explain", "peer", "alpha").out
    assert f"  ended over there, learned at {withdrawn['learnedAt']}\n" in output
    assert f"{certificate['serial']}: invalid: the other side has ended its grant\n" in output
    assert " peer.grant_withdrawn by " in output.splitlines()[-1]
    assert output.endswith(": ended\n")


def test_a_grant_that_has_ended_over_there_is_released_no_more(holder: Holder) -> None:
    holder.end_grant()
    assert refreshed(holder)["withdrawn"]["what"] == "ended"
    refused = holder.release("--output", "json")
    assert (refused.code, refused.error["code"]) == (1, "state_conflict")
    assert "has ended over there" in refused.error["message"]
    assert not holder.folder.exists()
    assert "ended" in holder.shell.ok("peer", "list").out
