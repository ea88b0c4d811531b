"""`health`: a container's health check, by the settings that `serve` reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from reconciler.crypto.ca_material import new_ca
from tests.support.commands.in_process import Quick
from tests.support.gateways.web_server import Parts, serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shell(tmp_path: Path, web_parts: Parts) -> Quick:
    (tmp_path / "roots.pem").write_text("".join(web_parts.roots))
    return Quick(tmp_path, {"MOSAIC_CA_ROOT": "roots.pem"})


def test_an_endpoint_that_is_ready_ends_with_0(shell: Quick, web_parts: Parts) -> None:
    with serving(web_parts) as running:
        done = shell.ok("health", MOSAIC_LISTEN=f"0.0.0.0:{running.port}")
    assert done.out == "ready\n"


def test_nobody_who_listens_ends_with_1(shell: Quick, web_parts: Parts) -> None:
    with serving(web_parts) as running:
        pass
    done = shell("health", "--listen", f"127.0.0.1:{running.port}")
    assert done.code == 1
    assert "is not ready: Connection refused\n" in done.err
    assert "`mosaic federation up`" in done.err


def test_an_endpoint_of_another_authority_ends_with_1(shell: Quick, web_parts: Parts) -> None:
    other = new_ca("Other", datetime.now(UTC)).root
    (shell.cwd / "roots.pem").write_text(other)
    with serving(web_parts) as running:
        done = shell("health", "--listen", f"127.0.0.1:{running.port}")
    assert done.code == 1
    assert "certificate verify failed" in done.err


def test_without_a_root_it_names_the_setting(shell: Quick) -> None:
    done = Quick(shell.cwd)("health")
    assert done.code == 78
    assert done.err.startswith("error: MOSAIC_CA_ROOT: ")
