"""`serve` outside a home asks the CA where the gateway is, before a port is bound."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND
from tests.support.gateways.gateway import Up
from tests.support.gateways.step_ca import authority
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gateways.step_ca import Authority


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Authority]:
    folder = tmp_path / "ca"
    folder.mkdir()
    with authority(folder, "https://127.0.0.1:8443") as ca:
        yield ca


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str, made: Authority) -> Quick:
    result = shell(tmp_path, database_url)
    result.variables.update(
        {
            "MOSAIC_PUBLIC_URL": "https://127.0.0.1:8443",
            "MOSAIC_LISTEN": f"127.0.0.1:{free_port()}",
            "MOSAIC_CA_URL": made.url,
            "MOSAIC_CA_ROOT": str(made.folder / "root_ca.crt"),
            "MOSAIC_CA_PROVISIONERS": str(made.folder),
        }
    )
    return result


@contextmanager
def serving(mosaic: Quick) -> Iterator[Up]:
    started = Up.begin([*COMMAND, "serve"], mosaic.cwd, mosaic.environ())
    try:
        yield started
    finally:
        started.stop()


@pytest.mark.parametrize(
    ("variable", "value", "has"),
    [
        ("MOSAIC_PUBLIC_URL", "https://b.example", "https://127.0.0.1:8443"),
        ("MOSAIC_OID_ARC", "1.2.3", "1.3.6.1.4.1.99999"),
    ],
)
def test_serve_does_not_begin_with_settings_that_are_not_its_cas(
    mosaic: Quick, variable: str, value: str, has: str
) -> None:
    done = mosaic.process("serve", **{variable: value})
    assert done.code == 78
    assert "ready" not in done.out
    assert f"error: {variable}: got {value!r}" in done.err
    assert repr(has) in done.err
    result = mosaic("doctor", "--output", "json", **{variable: value})
    findings = {each["check"]: each for each in result.document}
    assert findings["public URL"]["state"] == "failed"
    assert f"to {has}" in findings["public URL"]["hint"]


def test_serve_waits_for_a_ca_that_is_down_and_compares_then(
    mosaic: Quick, made: Authority
) -> None:
    made.stop()
    with serving(mosaic) as started:
        started.wait_for("the port opens when the CA answers")
        made.start()
        started.wait_for("ready: https://127.0.0.1:8443 (listening on 127.0.0.1 port ")
        assert started.stop() == 0


def test_serve_that_waits_for_its_ca_ends_at_once_when_it_is_told_to(
    mosaic: Quick, made: Authority
) -> None:
    made.stop()
    with serving(mosaic) as started:
        started.wait_for("the port opens when the CA answers")
        assert started.stop() == 0
