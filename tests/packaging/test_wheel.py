"""The wheel as a stranger gets it: installed by the README's lines, run far from any checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.embedded.postgres.account import runnable
from reconciler.embedded.processes import SystemAccount, working_in
from reconciler.embedded.stepca.install import SERVICES_PATH
from tests.support.gateways.gateway import Up
from tests.support.project.checkout import ROOT
from tests.support.project.install_lines import copy_checkout, readme_lines

if TYPE_CHECKING:
    from tests.packaging.conftest import Place

NOBODY: Final = SystemAccount("nobody", 65534, 65534)

pytestmark = pytest.mark.packaging


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def installed(elsewhere: Place, interpreter: str) -> Path:
    """Type what the README says, with another folder for /opt and another name of Python."""
    checkout, environment = (
        copy_checkout(elsewhere.folder / "checkout"),
        elsewhere.folder / "mosaic",
    )
    (checkout / ".venv").symlink_to(sys.prefix)
    *lines, ca_install = readme_lines()
    assert "mosaic federation ca install" in ca_install  # test_ca_install types it
    for line in lines:
        command = line.replace("/opt/mosaic", str(environment)).replace("python3.11", interpreter)
        elsewhere.run("bash", "-euc", command, cwd=checkout)
    return environment


def mounts() -> bool:
    """Tell whether we may have mounts of our own."""
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return os.geteuid() == 0 and subprocess.run(probe, check=False).returncode == 0


@pytest.mark.parametrize("folder", ["manifests", "migrations", "schemas", "step-ca"])
def test_wheel_carries_the_folder_as_it_is_in_the_checkout(
    folder: str, installed: Path, elsewhere: Place
) -> None:
    script = f"from reconciler.packaged_files import data_dir; print(data_dir({folder!r}))"

    path = Path(elsewhere.run(installed / "bin" / "python", "-c", script).strip())

    assert path.is_relative_to(installed)
    assert files_below(ROOT / folder), "nothing to compare"
    assert files_below(path) == files_below(ROOT / folder)


def test_wheel_carries_the_templates_of_the_pages(installed: Path, elsewhere: Place) -> None:
    script = "from reconciler.web.private import pages; print(pages.__path__[0])"

    path = Path(elsewhere.run(installed / "bin" / "python", "-c", script).strip())

    assert path.is_relative_to(installed)
    for name in ("templates", "static"):
        expected = files_below(ROOT / "reconciler" / "web" / "private" / "pages" / name)
        assert expected, "nothing to compare"
        assert files_below(path / name) == expected


def test_environment_has_what_the_wheel_asks_for_and_no_more(
    installed: Path, elsewhere: Place
) -> None:
    elsewhere.run(installed / "bin" / "python", "-m", "pip", "check")

    present = elsewhere.run(installed / "bin" / "python", "-m", "pip", "freeze").lower()

    assert "mosaic-federation" in present
    assert "pytest" not in present


def test_help_is_printed_far_from_the_checkout(installed: Path, elsewhere: Place) -> None:
    assert "federation" in elsewhere.run(installed / "bin" / "mosaic", "--help")


def test_demo_succeeds_far_from_the_checkout(installed: Path, elsewhere: Place) -> None:
    folder = elsewhere.folder / "demo"
    folder.mkdir()

    assert elsewhere.run(
        installed / "bin" / "mosaic", "federation", "demo", cwd=folder, timeout_s=240
    )


@pytest.mark.skipif(not mounts(), reason="gives root a /usr/local/lib of the test's own")
def test_a_service_of_another_user_has_the_step_ca_that_root_installed(
    installed: Path, elsewhere: Place, interpreter: str
) -> None:
    if not runnable(Path(interpreter), NOBODY):
        pytest.skip("there is no Python here that another user can run")
    mosaic, home = installed / "bin" / "mosaic", elsewhere.folder / "service"
    home.mkdir()
    os.chown(home, NOBODY.uid, NOBODY.gid)
    command = readme_lines()[-1].partition("#")[0].replace("/opt/mosaic", str(installed))
    as_service = "exec setpriv --reuid=65534 --regid=65534 --clear-groups env -i"
    script = f"""
        mount -t tmpfs -o mode=0755 tmpfs /usr/local/lib
        umask 077
        {command.strip()}
        cd {home}
        {as_service} HOME={home} PATH={SERVICES_PATH} {mosaic} federation up
    """

    service = Up.begin(
        ["unshare", "--mount", "sh", "-euc", script], elsewhere.folder, elsewhere.environ()
    )
    try:
        service.wait_for("ready: ")
        (step_ca,) = working_in(home / ".mosaic" / "ca", "step-ca")
        assert Path(f"/proc/{step_ca.pid}").stat().st_uid == NOBODY.uid
    finally:
        assert service.stop() == 0, service.output
    assert "step-ca 0.30.2: /usr/local/lib/mosaic-federation/" in service.output
