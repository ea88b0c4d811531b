"""`ca move`: what it changes, what it refuses, and that a run that was killed is completed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.config.home import Home
from reconciler.embedded.destroy import destroy_home
from reconciler.embedded.stepca import config as ca_config
from reconciler.embedded.stepca.config import ALL_PLACES, ONE_PLACE, read_ca_config
from reconciler.files import replace_file
from tests.support.commands.in_process import Quick
from tests.support.gateways.home import open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.core.issuance.crl_locations import CrlLocations

OLD, NEW = "https://old.example:8443", "https://new.example:9443"


@pytest.fixture
def mosaic() -> Iterator[Quick]:
    """A home that is at `OLD`, whose CA is as an older version wrote it."""
    with open_folder() as folder:
        try:
            made = Quick(folder)
            made.ok("init", "--public-url", OLD)
            make_older(Home(folder / ".mosaic").ca)
            yield made
        finally:
            destroy_home(Home(folder / ".mosaic"))


def make_older(ca: Path) -> None:
    config = json.loads((ca / "ca.json").read_text())
    for each in config["authority"]["provisioners"]:
        del each["options"]["x509"]["templateData"]["crlUrls"]
    replace_file(ca / "ca.json", json.dumps(config).encode(), 0o444)
    for template in (ca / "templates").glob("*.tpl"):
        text = template.read_text().replace(ALL_PLACES, ONE_PLACE)
        replace_file(template, text.encode(), 0o444)


def places(mosaic: Quick) -> CrlLocations:
    return read_ca_config(mosaic.cwd / ".mosaic/ca")[1]


def states(mosaic: Quick) -> dict[str, str]:
    return {each["check"]: each["state"] for each in mosaic("doctor", "--output", "json").document}


def test_a_move_changes_authority_and_settings_and_keeps_the_rest(mosaic: Quick) -> None:
    toml = mosaic.cwd / ".mosaic/mosaic.toml"
    toml.write_text(f'# ours\n{toml.read_text()}\nrate_limit = "7/s"  # a few\n')
    done = mosaic.ok("ca", "move", NEW)
    assert f"the gateway is at {NEW}" in done.out
    assert places(mosaic).public_url == NEW
    assert places(mosaic).former_urls == (OLD,)
    text = toml.read_text()
    assert f'public_url = "{NEW}"\n' in text
    assert text.startswith("# ours\n")
    assert text.endswith('rate_limit = "7/s"  # a few\n')
    for name in ("peer.tpl", "server.tpl"):
        assert ALL_PLACES in (mosaic.cwd / ".mosaic/ca/templates" / name).read_text()
    assert states(mosaic)["public URL"] == "ok"
    before = places(mosaic)
    mosaic.ok("ca", "move", f"{NEW}/")
    assert places(mosaic) == before
    mosaic.ok("ca", "move", OLD)
    assert places(mosaic).public_url == OLD
    assert places(mosaic).former_urls == (NEW,)


@pytest.mark.parametrize("files", range(4))
def test_a_move_that_is_killed_after_any_file_is_completed_by_the_next(
    mosaic: Quick, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def die(path: Path, content: bytes, mode: int | None = None) -> None:
        if len(written) == files:
            raise KeyboardInterrupt
        written.append(path)
        replace_file(path, content, mode)

    with monkeypatch.context() as killed:
        killed.setattr(ca_config, "replace_file", die)
        killed.setattr("reconciler.config.document.replace_file", die)
        assert mosaic("ca", "move", NEW).code == 130
    assert len(written) == files
    places(mosaic)  # what is there is whole
    mosaic.ok("ca", "move", NEW)
    assert places(mosaic).public_url == NEW
    assert f'public_url = "{NEW}"\n' in (mosaic.cwd / ".mosaic/mosaic.toml").read_text()
    assert states(mosaic)["public URL"] == "ok"


@pytest.mark.parametrize("url", ["https://*.example", "http://a.example", "https://a/x", "a", ""])
def test_what_is_no_url_of_a_gateway_is_no_place_to_move_to(mosaic: Quick, url: str) -> None:
    before = places(mosaic)
    done = mosaic("ca", "move", url)
    assert (done.code, done.out) == (64, "")
    assert places(mosaic) == before


def test_a_template_that_was_changed_by_hand_stops_a_move_before_it_begins(mosaic: Quick) -> None:
    template = mosaic.cwd / ".mosaic/ca/templates/peer.tpl"
    template.chmod(0o600)
    template.write_text(template.read_text().replace(ONE_PLACE, '["https://elsewhere.example"]'))
    before = places(mosaic)
    done = mosaic("ca", "move", NEW)
    assert done.code == 78
    assert str(template) in done.err
    assert ALL_PLACES in done.err, "what to write"
    assert places(mosaic) == before


def test_a_variable_that_still_says_the_old_url_is_told(mosaic: Quick) -> None:
    done = mosaic.ok("ca", "move", NEW, MOSAIC_PUBLIC_URL=OLD)
    assert f"MOSAIC_PUBLIC_URL is {OLD}: change it to {NEW}" in done.err
    refused = mosaic.process("up", MOSAIC_PUBLIC_URL=OLD)
    assert refused.code == 78
    assert repr(NEW) in refused.err
    assert f"mosaic federation ca move {OLD}" in refused.err


def test_a_ca_elsewhere_is_moved_by_its_folder(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "trust").mkdir()
    variables = {
        "MOSAIC_DATABASE_URL": database_url,
        "MOSAIC_PUBLIC_URL": OLD,
        "MOSAIC_CA_URL": "https://127.0.0.1:1",
        "MOSAIC_CA_ROOT": "ca/root_ca.crt",
    }
    mosaic = Quick(tmp_path, variables)
    mosaic.ok("ca", "init", "--dir", "ca")
    nowhere = mosaic("ca", "move", NEW)
    assert nowhere.code == 64
    assert "--dir DIR" in nowhere.err
    done = mosaic.ok("ca", "move", NEW, "--dir", "ca")
    assert f"then each `serve` with MOSAIC_PUBLIC_URL={NEW}" in done.out
    document: Any
    document, now = read_ca_config(tmp_path / "ca")
    assert (now.public_url, now.former_urls) == (NEW, (OLD,))
    assert document["crl"]["idpURL"].startswith(f"{OLD}/federation"), "certificates that serve has"
    old = mosaic("ca", "init", "--dir", "ca")
    assert old.code == 78
    mosaic.ok("ca", "init", "--dir", "ca", MOSAIC_PUBLIC_URL=NEW)
