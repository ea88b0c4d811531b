"""A gateway with something wrong: one line, the next thing to do, and nothing begun."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from reconciler.crypto.keyring import FileKeyring
from reconciler.embedded.postgres.home_server import cluster_of
from tests.support.commands.error_text import assert_error
from tests.support.commands.process import Command
from tests.support.gateways.gateway import TestGateway, gateway_folder
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Pair


@pytest.fixture(scope="module")
def delta() -> Iterator[TestGateway]:
    """Make a gateway whose files a test may spoil, as long as it mends them."""
    with gateway_folder("delta") as made:
        made.ok("init")
        yield made


@contextmanager
def spoilt(path: Path, content: str | None) -> Iterator[None]:
    """Have a file with another content, or not at all, until the block ends."""
    result = path.with_name(f"{path.name}.kept")
    path.rename(result)
    if content is not None:
        path.write_text(content)
        path.chmod(0o400)
    try:
        yield
    finally:
        result.replace(path)


def test_a_database_that_is_down_is_named_without_its_password(tmp_path: Path) -> None:
    port = free_port()
    url = f"postgresql://mosaic:s3cr3t@127.0.0.1:{port}/mosaic"

    refused = Command(tmp_path, {"MOSAIC_DATABASE_URL": url})("grant", "list")

    reason = f"the database mosaic on 127.0.0.1 port {port} cannot be reached: Connection refused"
    assert_error(refused, 1, reason, "MOSAIC_DATABASE_URL")
    assert "s3cr3t" not in refused.err


def test_a_home_without_its_data_is_not_begun_anew(delta: TestGateway) -> None:
    data = cluster_of(delta.home).data
    result = data.with_name("kept")
    data.rename(result)
    try:
        for command in (("grant", "list"), ("up",)):
            assert_error(delta(*command), 78, str(data), "backup")
        assert not data.exists()
    finally:
        result.rename(data)
    delta.ok("grant", "list")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("secrets/token-pepper", None, ("token-pepper",)),
        ("secrets/token-pepper", "short", ("token-pepper",)),
        ("ca/root_ca.crt", None, ("root_ca.crt",)),
        ("ca/root_ca.crt", "no certificate", ("root_ca.crt",)),
        ("provisioners/peers.json", None, ("peers.json",)),
        ("provisioners/gateway.json", "{}", ("gateway.json",)),
        ("keys", None, ("keys",)),
        ("keys/primary", None, ("primary",)),
        ("keys/primary", "0123456789abcdef", ("primary", "0123456789abcdef")),
        ("mosaic.toml", "listen = nowhere", ("mosaic.toml", "line 1")),
        ("mosaic.toml", 'lisen = "127.0.0.1:1"', ("mosaic.toml", "lisen", "listen")),
        ("mosaic.toml", 'listen = "nowhere"', ("listen", "nowhere")),
    ],
)
def test_up_does_not_begin_with_a_file_that_is_missing_or_wrong(
    delta: TestGateway, name: str, content: str | None, words: tuple[str, ...]
) -> None:
    with spoilt(delta.home.path / name, content):
        refused = delta("up")

        assert_error(refused, 78, *words)
        assert delta.processes() == {}


def test_a_sealing_key_that_is_missing_stops_what_needs_it(delta: TestGateway, pair: Pair) -> None:
    link = pair.create("sealed")
    delta.ok("peer", "add", link, "--name", "alpha")
    (sealing,) = delta.document("keys", "status")
    keys = delta.home.keys
    result = keys.rename(keys.with_name("keys.kept"))
    FileKeyring.create(keys)
    try:
        for command in (("up",), ("keys", "status"), ("peer", "add", link, "--name", "alpha")):
            refused = delta(*command)
            assert_error(refused, 78, sealing["id"])
            assert "ready" not in refused.out
        delta.ok("grant", "list")
    finally:
        shutil.rmtree(keys)
        result.rename(keys)
    assert delta.ok("peer", "add", link, "--name", "alpha").code == 0
