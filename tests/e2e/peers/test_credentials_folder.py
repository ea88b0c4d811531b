"""`up` keeps a folder for each outbound peer: from its enrollment to its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.gateways.gateway import gateway_folder
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.e2e.conftest import Pair


def test_the_folder_of_a_peer_appears_and_goes_with_it(pair: Pair) -> None:
    invitation = pair.create("credentials-folder")
    with gateway_folder("gamma") as gamma:
        gamma.ok("init")
        folder = gamma.cwd / "credentials"
        hook = f"touch {gamma.cwd / 'reloaded'}"
        with gamma.up(MOSAIC_CREDENTIALS_DIR=str(folder), MOSAIC_CREDENTIALS_EXEC=hook):
            (old,) = (each["id"] for each in gamma.document("keys", "status"))
            gamma.ok("keys", "rotate")  # `up` goes on with the keyring as it is now
            gamma.ok("keys", "retire", old, "--yes")
            gamma.ok("peer", "add", invitation, "--name", "alpha")
            wait_until((folder / "alpha" / "grant.json").exists, "its folder is written")
            document = json.loads((folder / "alpha" / "grant.json").read_text())
            shown = gamma.document("peer", "show", "alpha")
            assert document["certificate"] == shown["certificate"]
            wait_until((gamma.cwd / "reloaded").exists, "the hook has run")
            assert gamma.document("status")["outbound"] == []

            pair.alpha.ok("grant", "suspend", "credentials-folder")
            refreshed = gamma.document("peer", "show", "alpha", "--refresh")
            assert refreshed["withdrawn"]["what"] == "suspended"
            assert (folder / "alpha" / "tls.key").exists(), "a suspended grant may be resumed"

            pair.alpha.ok("grant", "revoke", "credentials-folder", "--yes")
            gamma.ok("peer", "show", "alpha", "--refresh")
            wait_until(lambda: not (folder / "alpha").exists(), "its folder is removed")


def test_a_command_that_failed_is_no_trouble_once_no_folder_is_kept(pair: Pair) -> None:
    invitation = pair.create("credentials-command")
    with gateway_folder("delta") as delta:
        delta.ok("init")

        def troubles() -> list[object]:
            errors = [each["credentialError"] for each in delta.document("status")["outbound"]]
            return [each for each in errors if each is not None]

        folder = str(delta.cwd / "credentials")
        with delta.up(MOSAIC_CREDENTIALS_DIR=folder, MOSAIC_CREDENTIALS_EXEC="false"):
            delta.ok("peer", "add", invitation, "--name", "alpha")
            wait_until(troubles, "status shows it")
        assert troubles() == ["false failed (exit status 1)"]
        with delta.up():
            wait_until(lambda: not troubles(), "status shows it no more")
