"""A certificate authority of an older version, which has no provisioner to revoke with."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.cli.ca import status
from reconciler.config import Settings
from reconciler.crypto.ca_material import GATEWAY, PEERS, PROVISIONERS, REVOCATIONS
from reconciler.crypto.certificates import CrlFacts
from reconciler.crypto.ott import Provisioner
from reconciler.embedded.stepca.ca_files import CaPlan, write_ca
from reconciler.embedded.stepca.upgrade import crl_differences, upgrade_ca

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def plan(tmp_path: Path) -> CaPlan:
    """Write an authority as versions before had it."""
    plan = CaPlan(
        folder=tmp_path / "ca",
        root_key=tmp_path / "root-key" / "root_ca_key",
        provisioners=tmp_path / "provisioners",
        public_url="https://alpha.example",
        address="127.0.0.1:9000",
        seen_as="/home/step",
    )
    assert write_ca(plan)
    document = config_of(plan)
    listed = document["authority"]["provisioners"]
    document["authority"]["provisioners"] = [each for each in listed if each["name"] != REVOCATIONS]
    config = plan.folder / "ca.json"
    config.unlink()
    config.write_text(json.dumps(document))
    (plan.folder / "templates" / "revocation.tpl").unlink()
    (plan.provisioners / f"{REVOCATIONS}.json").unlink()
    return plan


def config_of(plan: CaPlan) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((plan.folder / "ca.json").read_text())
    return document


def provisioners_of(plan: CaPlan) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in config_of(plan)["authority"]["provisioners"]}


def test_it_gets_the_provisioner_and_keeps_the_rest(plan: CaPlan) -> None:
    before = provisioners_of(plan)
    assert set(before) == {PEERS, GATEWAY}
    assert upgrade_ca(plan.folder, plan.provisioners) is True
    after = provisioners_of(plan)
    assert tuple(after) == PROVISIONERS
    added = after.pop(REVOCATIONS)
    assert after == before
    key = plan.provisioners / f"{REVOCATIONS}.json"
    assert stat.S_IMODE(key.stat().st_mode) == 0o400
    assert added["key"]["kid"] == Provisioner.load(key).kid
    assert "d" not in added["key"]
    assert added["options"]["x509"]["templateFile"] == "/home/step/templates/revocation.tpl"
    assert (plan.folder / "templates" / "revocation.tpl").is_file()


def test_one_that_has_it_is_not_touched(plan: CaPlan) -> None:
    upgrade_ca(plan.folder, plan.provisioners)
    before = (plan.folder / "ca.json").stat()
    assert upgrade_ca(plan.folder, plan.provisioners) is False
    after = (plan.folder / "ca.json").stat()  # reading it moves the time of its last access
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_a_run_that_was_interrupted_is_completed_with_its_key(plan: CaPlan) -> None:
    config = (plan.folder / "ca.json").read_bytes()
    upgrade_ca(plan.folder, plan.provisioners)
    kid = provisioners_of(plan)[REVOCATIONS]["key"]["kid"]
    (plan.folder / "ca.json").unlink()
    (plan.folder / "ca.json").write_bytes(config)
    assert upgrade_ca(plan.folder, plan.provisioners) is True
    assert provisioners_of(plan)[REVOCATIONS]["key"]["kid"] == kid


def test_its_list_is_made_by_the_clock_and_all_else_stays(plan: CaPlan) -> None:
    upgrade_ca(plan.folder, plan.provisioners)
    before = config_of(plan)
    config = plan.folder / "ca.json"
    config.unlink()
    older = before["crl"] | {"generateOnRevoke": True, "renewPeriod": "16h"}
    config.write_text(json.dumps(before | {"crl": older}))
    assert crl_differences(config_of(plan)) == (
        "crl.generateOnRevoke: got True, expected False",
        "crl.renewPeriod: got '16h', expected '30s'",
    )

    assert upgrade_ca(plan.folder, plan.provisioners) is True

    assert config_of(plan) == before
    assert upgrade_ca(plan.folder, plan.provisioners) is False


def test_a_list_of_a_ca_elsewhere_that_is_not_made_by_the_clock_is_told() -> None:
    now = datetime.now(UTC)
    young, old = (
        CrlFacts("ab", 1, now - age, now + timedelta(hours=24), frozenset())
        for age in (timedelta(seconds=40), timedelta(hours=3))
    )
    assert list(status.crl_differences(young, Settings())) == []
    (difference,) = status.crl_differences(old, Settings())
    assert "its list was made 3h ago, and is to be made every 30s" in difference
    assert '"generateOnRevoke": false' in difference
