"""A peer that is a shell with openssl and curl enrolls, by the commands that the docs show."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.crypto.certificates import read_certificate
from tests.support.project import checkout
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Pair

PAGE: Final = checkout.ROOT / "docs" / "enroll-with-curl.md"
ROOT, KEY, ENROLL, AGAIN, PICKUP, VERIFY = range(6)
PROGRAMS: Final = (
    *("openssl", "curl"),
    *("sh", "awk", "cat", "cmp", "cp", "date", "rm", "sed", "tail", "tr"),  # POSIX has these
)


class Shell:
    """A folder in which blocks of the page are typed, with no other programs than its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "peer"
        self.folder.mkdir()
        self._bin = folder / "bin"
        self._bin.mkdir()
        for program in PROGRAMS:
            result = shutil.which(program)
            assert result is not None, f"there is no {program}: sh tools/apt.sh {program} 'a test'"
            (self._bin / program).symlink_to(result)
        self._blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
        assert len(self._blocks) == 6

    def type(self, invitation: str, *numbers: int) -> subprocess.CompletedProcess[str]:
        """Run some blocks of the page in one shell."""
        return subprocess.run(
            [self._bin / "sh", "-eu"],
            input="\n".join(self._blocks[number] for number in numbers),
            cwd=self.folder,
            env={"PATH": str(self._bin), "INVITATION": invitation},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_openssl_and_curl_enroll_as_the_docs_show(shell: Shell, pair: Pair) -> None:
    invitation = pair.invite("beta-events")

    done = shell.type(invitation, ROOT, KEY, ENROLL, AGAIN, PICKUP, VERIFY)

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[:4] == ["enroll: 201", "again: 410", "pickup: 200", "certificate.pem: OK"]
    facts = read_certificate((shell.folder / "certificate.pem").read_text())
    grant = pair.alpha.grant("beta-events")
    assert grant["status"] == "active"
    assert [each["serial"] for each in grant["certificates"]] == [facts.serial]
    assert {value for _, value in facts.other_names} == {grant["id"], grant["subjectUserId"]}

    pair.alpha.ok("grant", "revoke", "beta-events", "--yes")
    wait_until(
        lambda: "certificate revoked" in shell.type(invitation, ROOT, VERIFY).stderr,
        "the revocation list has the certificate",
    )


def test_the_wrong_gateway_is_sent_nothing(shell: Shell, pair: Pair) -> None:
    invitation = pair.create("kept")
    another_pin = f"{invitation[:-4]}{'0000' if invitation[-4:] != '0000' else '1111'}"

    done = shell.type(another_pin, ROOT, KEY, ENROLL)

    assert done.returncode == 1
    assert done.stderr == "this is not the gateway that invited you: stop here\n"
    assert not (shell.folder / "token.header").exists()
    assert pair.alpha.grant("kept")["status"] == "pending"
