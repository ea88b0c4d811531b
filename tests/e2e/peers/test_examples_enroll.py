"""Peers without Mosaic: the examples in Go and Node enroll and renew at a real gateway."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from reconciler.crypto.certificates import read_certificate
from tests.support.project import checkout
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Pair

EXAMPLES = checkout.ROOT / "examples" / "enroll"


class Example:
    """One of the programs, in a folder where it keeps its credential."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._command = command
        self.folder = folder

    def enroll(self, invitation: str) -> subprocess.CompletedProcess[str]:
        return self._run("enroll", invitation)

    def renew(self) -> subprocess.CompletedProcess[str]:
        return self._run("renew", "")

    @property
    def language(self) -> str:
        return "node" if self._command[-1].endswith(".mjs") else "go"

    @property
    def serial(self) -> str:
        """The certificate's serial; key and certificate are checked to belong together."""
        credential = self.folder / "credential.pem"
        assert credential.stat().st_mode & 0o077 == 0
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(credential)
        blocks = credential.read_text().split("-----BEGIN CERTIFICATE-----")
        assert len(blocks) == 3  # the key; the leaf; one intermediate
        return read_certificate(f"-----BEGIN CERTIFICATE-----{blocks[1]}").serial

    def lose_the_answer(self) -> None:
        """Have it as if the run had been killed between its request and the answer."""
        credential = self.folder / "credential.pem"
        key = credential.read_text().partition("-----BEGIN CERTIFICATE-----")[0]
        (self.folder / "next-key.pem").write_text(key)
        credential.unlink()

    def _run(self, verb: str, standard_input: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, verb, self.folder],
            input=standard_input,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


@pytest.fixture(scope="module", params=["go", "node"])
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What runs the example: the program that Go builds, or Node and its script."""
    tool = shutil.which(request.param)
    assert tool is not None, f"there is no {request.param}: `make test` installs it"
    if request.param == "node":
        return [tool, str(EXAMPLES / "node" / "enroll.mjs")]
    program = tmp_path_factory.mktemp("go") / "enroll"
    offline = {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    subprocess.run(
        [tool, "build", "-o", program, "."],
        cwd=EXAMPLES / "go",
        env=os.environ | offline,
        check=True,
    )
    return [str(program)]


@pytest.fixture
def example(command: list[str], tmp_path: Path) -> Example:
    return Example(command, tmp_path / "credential")


def test_an_example_enrolls_and_renews(example: Example, pair: Pair) -> None:
    name = f"renews-{example.language}"
    invitation = pair.create(name)

    enrolled = example.enroll(f"{invitation}\n")
    assert enrolled.returncode == 0, enrolled.stderr
    first = example.serial
    assert first in enrolled.stdout
    assert json.loads((example.folder / "gateway.json").read_text())["root"].startswith(
        "-----BEGIN"
    )

    example.lose_the_answer()
    again = example.enroll(invitation)
    assert again.returncode == 0, again.stderr
    assert example.serial == first

    pair.alpha.sql(
        "UPDATE federation_certificates SET not_before = not_before - interval '20 hours',"
        f" not_after = not_after - interval '20 hours' WHERE serial = '{first}'"
    )
    renewed = example.renew()
    assert renewed.returncode == 0, renewed.stderr
    second = example.serial
    assert second != first
    assert not (example.folder / "next-key.pem").exists()
    certificates = pair.alpha.grant(name)["certificates"]
    assert {each["serial"] for each in certificates} == {first, second}

    pair.alpha.ok("grant", "revoke", name, "--yes")
    refused = example.renew()
    assert refused.returncode == 1
    assert "410 grant_ended" in refused.stderr
    assert example.serial == second  # what it has stays whole


def test_an_invitation_that_cannot_be_used_changes_nothing(example: Example, pair: Pair) -> None:
    name = f"unchanged-{example.language}"
    invitation = pair.create(name)
    assert example.enroll(invitation).returncode == 0
    before = {each.name: each.read_text() for each in example.folder.iterdir()}

    def refused(used: str, why: str) -> None:
        done = example.enroll(used)
        assert (done.returncode, why in done.stderr) == (1, True), done.stderr

    refused(invitation, "410 token_spent")
    assert {each.name: each.read_text() for each in example.folder.iterdir()} == before
    theft = pair.alpha.ok("audit", "list", "--kind", "theft", "--subject", f"grant/{name}").out
    assert "theft" not in theft

    of_another_gateway = invitation.replace("127.0.0.1", "localhost")
    token = of_another_gateway.partition("#token=")[2].partition(",")[0]
    refused(of_another_gateway.replace(token, f"x{token}"), "401 token_invalid")
    assert (example.folder / "gateway.json").read_text() == before["gateway.json"]

    example.renew()  # too early, so its next key is left
    refused(invitation, "410 token_spent")


def test_an_example_sends_nothing_to_another_gateway(example: Example, pair: Pair) -> None:
    invitation = pair.create(f"unsent-{example.language}")
    another_pin = f"{invitation[:-4]}{'0000' if invitation[-4:] != '0000' else '1111'}"

    refused = example.enroll(another_pin)

    assert refused.returncode == 1
    assert "stop here" in refused.stderr
    assert not (example.folder / "credential.pem").exists()


def test_an_example_says_what_an_invitation_is(example: Example) -> None:
    refused = example.enroll("https://gateway.alpha.example/federation/v1/enroll")

    assert refused.returncode == 1
    assert "standard input is not an invitation" in refused.stderr
