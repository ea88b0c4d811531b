"""`doctor` on a gateway that runs, on one that does not, and on one that was broken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.embedded.supervise import gateway_process

if TYPE_CHECKING:
    import pytest

    from tests.support.gateways.gateway import TestGateway


def states(findings: list[dict[str, Any]]) -> dict[str, str]:
    return {each["check"]: each["state"] for each in findings}


def test_gits_version_is_told_and_one_that_is_too_old_is_named(
    gateway: TestGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "ok       git            git 2." in gateway("doctor").out
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.25.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = gateway("doctor")
    assert result.code == 0, "a folder is read without git"
    assert f"warning  git            {old} is git 2.25, expected 2.30 or later" in result.out
    assert "-> install a later git" in result.out


def test_a_gateway_that_runs_is_well(alpha: TestGateway) -> None:
    result = alpha("doctor", "--output", "json")
    assert result.code == 0
    # another worker's tests may leave data for a while
    bad = [each for each in result.document if each["state"] != "ok" and each["check"] != "orphans"]
    (warned,) = bad
    assert (warned["check"], warned["state"]) == ("root key", "warning")
    assert f"{alpha.home.ca_root_key} is online" in warned["detail"]


def test_no_core_is_dumped_of_what_runs(alpha: TestGateway) -> None:
    gateway = gateway_process(alpha.home)
    assert gateway is not None
    pids = {gateway.pid, *alpha.processes()}
    assert len(pids) > 2, "PostgreSQL and step-ca run, too"
    for pid in pids:
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (core,) = (line for line in limits if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"], pid


def test_what_is_broken_is_told_with_what_to_do(gateway: TestGateway) -> None:
    stopped = gateway("doctor", "--output", "json")
    assert stopped.code == 0, "that it does not run now is a warning"
    (_, warned) = (each for each in stopped.document if each["state"] != "ok")
    assert (warned["check"], warned["state"]) == ("gateway", "warning")
    assert "stopped: neither" in warned["detail"]
    assert warned["hint"] == f"`mosaic federation up --home {gateway.home.path}`"

    pepper = gateway.home.token_pepper
    pepper.chmod(0o600)
    pepper.write_text("no pepper")
    (gateway.manifests / "empty.yaml").write_text("")
    broken = gateway("doctor")
    assert broken.code == 1
    assert "failed   token pepper" in broken.out
    assert "-> restore it from its backup" in broken.out
    assert "failed   source" in broken.out
