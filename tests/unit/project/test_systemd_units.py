"""The units of deploy/systemd, judged by systemd itself, beside the unit that step-ca ships."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.services.service_manager import UNITS, credentials_of, read_unit

SERVICES: Final = sorted(UNITS.glob("*.service"))
LASTING: Final = ("mosaic-federation-run", "mosaic-federation-serve")
# the hardening of systemd/step-ca.service in step-ca 0.30.2; a list is one that ours is part of
STEP_CA: Final = """
NoNewPrivileges=yes
ProtectSystem=full
ProtectHome=true
RestrictNamespaces=true
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
PrivateTmp=true
ProtectClock=true
ProtectControlGroups=true
ProtectKernelTunables=true
ProtectKernelLogs=true
ProtectKernelModules=true
LockPersonality=true
RestrictSUIDSGID=true
RemoveIPC=true
RestrictRealtime=true
PrivateDevices=true
SystemCallFilter=@system-service
SystemCallArchitectures=native
MemoryDenyWriteExecute=true
"""
STRICTER: Final = {"full": "strict", "true": "yes"}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Give a copy of the units whose program is this checkout's: `verify` looks for it."""
    programs = str(Path(sys.executable).parent)
    for unit in UNITS.glob("mosaic-federation-*"):
        text = unit.read_text().replace("/opt/mosaic/bin", programs)
        text = text.replace("/usr/local/bin/step-ca", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def analyze(*arguments: str | Path) -> str:
    """Run systemd-analyze, which must be content; return what it prints."""
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_systemd_finds_nothing_wrong_with_the_units(installed: Path) -> None:
    analyze("verify", "--man=no", *sorted(installed.iterdir()))


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_a_service_is_exposed_less_than_2(path: Path) -> None:
    words = ("security", "--offline=yes", "--no-pager", "--threshold=19")
    exposure = re.search(r"exposure level .*: ([0-9.]+) OK", analyze(*words, path))
    assert exposure is not None
    assert float(exposure[1]) < 2.0


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_a_service_is_hardened_as_step_ca_is(path: Path) -> None:
    unit = read_unit(path)
    for line in STEP_CA.split("\n")[1:-1]:
        name, _, value = line.partition("=")
        assert unit[name][0] in (value, STRICTER.get(value)), name
    reads_keys = path.stem == "mosaic-federation-backup"
    assert unit["CapabilityBoundingSet"] == ["CAP_DAC_READ_SEARCH" if reads_keys else ""]


def test_a_lasting_service_tells_systemd_how_it_is() -> None:
    for name in LASTING:
        unit = read_unit(UNITS / f"{name}.service")
        assert unit["Type"] == ["notify"]
        assert unit["NotifyAccess"] == ["main"]
        assert int(unit["WatchdogSec"][0]) > 0
        assert unit["RestartPreventExitStatus"] == ["78"], "a person must edit it"


def test_each_service_has_a_user_and_a_login_of_its_own() -> None:
    units = {path.stem.removeprefix("mosaic-federation-"): read_unit(path) for path in SERVICES}
    users = {name: unit["User"][0] for name, unit in units.items()}
    assert len(set(users.values())) == len(users)
    created = re.findall(
        r"^u (\S+)", (UNITS / "mosaic-federation.sysusers").read_text(), re.MULTILINE
    )
    assert sorted(created) == sorted(users.values())
    logins = {
        name: Path(credentials_of(unit)["database-url"]).parent.name
        for name, unit in units.items()
        if name not in ("backup", "step-ca")  # the one has the owner's, the other none
    }
    assert logins == {
        "serve": "mosaic_gateway",
        "run": "mosaic_operator",
        "checkpoint": "mosaic_reader",
    }


def test_every_timer_starts_a_service_that_is_there() -> None:
    timers = sorted(UNITS.glob("*.timer"))
    assert [path.stem for path in timers] == [
        "mosaic-federation-backup",
        "mosaic-federation-checkpoint",
    ]
    assert all(path.with_suffix(".service").exists() for path in timers)
    assert all(read_unit(path)["Persistent"] == ["yes"] for path in timers)
