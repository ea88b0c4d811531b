"""A keyring of OpenPGP signers: read with all its keys, however many those are."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.core.setting_values import SignatureSetting
from reconciler.errors import NeedsEdit, Retry
from reconciler.source.git.command import Repository
from reconciler.source.git.signatures import read_commits
from tests.support.manifests.text import PEER
from tests.support.repositories.repository import Checkout
from tests.support.repositories.signers import Gpg

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = 90
LONG_NAME = "x" * 900  # so that these list as many octets as 200 usual ones


@pytest.fixture(scope="module")
def keyring() -> Iterator[Path]:
    """The public keys of many people, two of whom claim one mail address."""
    folder = Path(tempfile.mkdtemp(prefix="gpg-"))  # short: gpg's agent listens on a socket in it
    first = Gpg.make(folder / "h", "ada@alpha.example")
    try:
        people = folder / "people"
        people.write_text(
            "".join(
                "%no-protection\nKey-Type: eddsa\nKey-Curve: ed25519\nKey-Usage: sign\n"
                f"Name-Real: {LONG_NAME}{number}\nName-Email: {number % (KEYS - 1)}@alpha.example\n"
                "Expire-Date: 0\n%commit\n"
                for number in range(KEYS)
            )
        )
        first.run("--generate-key", str(people))
        (folder / "keys.asc").write_bytes(first.run("--armor", "--export"))
        yield folder / "keys.asc"
    finally:
        first.stop()
        shutil.rmtree(folder)


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    return Checkout.make(tmp_path / "repository", beta=PEER)


def read(repository: Checkout, keyring: Path) -> None:
    setting = SignatureSetting(None, str(keyring))
    read_commits(Repository(repository.path / ".git"), None, repository.head, setting)


def test_all_keys_of_a_large_keyring_are_judged(repository: Checkout, keyring: Path) -> None:
    with pytest.raises(NeedsEdit, match="2 keys claim the mail address 0@"):
        read(repository, keyring)


@pytest.mark.parametrize("call", ["--import", "--list-keys"])
def test_a_gpg_that_is_killed_is_run_again_and_says_nothing_of_the_keyring(
    repository: Checkout, keyring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    program = tmp_path / "bin" / "gpg"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ncase " $* " in *" {call} "*) kill -9 $$;; esac\n'
        f'exec {shutil.which("gpg")} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(Retry, match="gpg was ended by signal 9"):
        read(repository, keyring)
