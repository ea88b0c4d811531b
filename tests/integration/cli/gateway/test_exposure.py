"""What `doctor` says of a certificate authority that is in reach of more than it must be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.gateway.examination import exposures
from reconciler.config import Settings
from reconciler.config.home import Home
from reconciler.embedded.stepca.ca_files import CaPlan, write_ca

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / ".mosaic")
    plan = CaPlan(
        folder=home.ca,
        root_key=home.ca_root_key,
        provisioners=home.provisioners,
        public_url="https://alpha.example",
        address="127.0.0.1:9000",
    )
    write_ca(plan)
    return home


def states(settings: Settings) -> dict[str, str]:
    return {each.check: each.state for each in exposures(settings)}


def test_a_root_key_is_told_until_it_is_offline(home: Home) -> None:
    assert states(Settings(home=home)) == {"root key": "warning", "CA network": "ok"}
    home.ca_root_key.unlink()
    assert states(Settings(home=home)) == {"root key": "ok", "CA network": "ok"}
    (home.ca / "secrets").mkdir()
    (home.ca / "secrets" / "root_ca_key").touch()
    assert states(Settings(home=home))["root key"] == "warning"


@pytest.mark.parametrize(
    ("address", "state"),
    [
        (":9000", "warning"),
        ("0.0.0.0:9000", "warning"),
        ("[::]:9000", "warning"),
        ("8.8.8.8:9000", "warning"),
        ("[2606:4700::1111]:9000", "warning"),
        ("127.0.0.1:9000", "ok"),
        ("[::1]:9000", "ok"),
        ("10.0.0.7:9000", "ok"),
    ],
)
def test_where_step_ca_listens_is_judged(home: Home, address: str, state: str) -> None:
    config = home.ca / "ca.json"
    document = json.loads(config.read_text()) | {"address": address}
    config.chmod(0o600)
    config.write_text(json.dumps(document))
    assert states(Settings(home=home))["CA network"] == state


@pytest.mark.parametrize(
    ("url", "state"), [("https://8.8.8.8:9000", "warning"), ("https://10.0.0.7:9000", "ok")]
)
def test_where_the_url_of_a_ca_elsewhere_leads_is_judged(url: str, state: str) -> None:
    elsewhere = Settings(database_url="postgresql://db", ca_url=url)
    assert states(elsewhere) == {"CA network": state}
