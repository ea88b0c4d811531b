"""Settings that are fixed for good, tried by a real step-ca before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.core.model.origin import read_origin
from reconciler.core.setting_values import read_oid_arc
from reconciler.embedded import processes
from reconciler.embedded.stepca.install import require_step_ca
from reconciler.embedded.stepca.trial import try_settings
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from pathlib import Path

LONG = ".".join(["a" * 60] * 4)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:8443",
        "https://[::1]:8443",
        "https://[2001:db8::1]",
        "https://müller.example:8443",
        "https://Gateway.Example.",
        "https://my_gateway",
        "https://r3---sn.example",
        f"https://{LONG}:8443",
    ],
)
def test_a_url_that_settings_take_gets_a_certificate_that_clients_take(
    tmp_path: Path, url: str
) -> None:
    folder = tmp_path / "trial"
    listen = ("127.0.0.1", 8443)
    try_settings(folder, require_step_ca(), read_origin(url), DEFAULT_OID_ARC, listen)
    assert not folder.exists()


@pytest.mark.parametrize("arc", ["2.999.1", "1.39.4294967295", "2.4294967295.1", "0.0.0"])
def test_an_arc_that_settings_take_is_one_that_the_ca_signs(tmp_path: Path, arc: str) -> None:
    listen = ("127.0.0.1", 8443)
    url = "https://gateway.example"
    try_settings(tmp_path / "trial", require_step_ca(), url, read_oid_arc(arc), listen)


@pytest.mark.parametrize(
    ("url", "arc"),
    [
        ("https://gateway.example", "1.40.1"),
        ("https://ü.example", DEFAULT_OID_ARC),
    ],
)
def test_what_no_certificate_can_be_made_for_is_refused_and_leaves_nothing(
    tmp_path: Path, url: str, arc: str
) -> None:
    folder = tmp_path / "trial"
    with pytest.raises(NeedsEdit) as refused:
        try_settings(folder, require_step_ca(), url, arc, ("127.0.0.1", 8443))
    assert refused.value.code == "config_invalid"
    assert url in refused.value.message
    assert arc in refused.value.message
    assert not folder.exists()
    assert processes.working_in(folder / "ca", "step-ca") == []


def test_what_a_trial_left_that_was_killed_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    (folder / "ca").mkdir(parents=True)
    (folder / "ca" / "ca.json").write_text("{")
    listen = ("127.0.0.1", 8443)
    try_settings(folder, require_step_ca(), "https://a.example", DEFAULT_OID_ARC, listen)
    assert not folder.exists()
