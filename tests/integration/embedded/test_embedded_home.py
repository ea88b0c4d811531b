"""A home and its certificate authority: made once, completed after a kill, closed to others."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.config.home import Home, find_home
from reconciler.crypto.ca_material import new_ca
from reconciler.embedded import processes
from reconciler.embedded.destroy import destroy_home
from reconciler.embedded.init import create_home
from reconciler.embedded.postgres.home_server import postgres
from reconciler.embedded.postgres.server import never
from reconciler.embedded.stepca.ca_files import CONFIG, CaPlan, write_ca
from reconciler.embedded.stepca.install import find_step_ca
from reconciler.embedded.stepca.process import StepCa
from reconciler.errors import MosaicError, NeedsEdit
from reconciler.files import write_new
from reconciler.store.connection import probe
from tests.support.gateways.home import made_home, open_folder
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """Give one home to all: each test leaves it as it found it."""
    with open_folder() as folder, made_home(folder) as made:
        yield made


def test_nothing_secret_in_a_home_is_open_to_others(home: Home) -> None:
    secret = [home.keys, home.secrets, home.ca_root_key.parent, home.provisioners, home.ca]
    for folder in secret:
        assert folder.stat().st_mode & 0o077 == 0, folder
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files
    for name in ("key", "secrets/*", "provisioners/*", "root-key/*"):
        for path in home.path.glob(name):
            assert path.stat().st_mode & 0o777 == 0o400, path


def test_what_a_home_is_fixed_to_is_not_changed_in_silence(home: Home) -> None:
    for fixed in ({"public_url": "https://other.example"}, {"oid_arc": "1.2.3.4"}):
        with pytest.raises(MosaicError, match="is fixed") as refused:
            create_home(home, fixed)
        assert refused.value.code == "state_conflict"


def test_a_lost_configuration_is_written_again_as_the_authority_has_it(home: Home) -> None:
    before = without_private_port(home.config.read_text())
    home.config.unlink()

    assert create_home(home) is True
    assert without_private_port(home.config.read_text()) == before


def without_private_port(text: str) -> str:
    """Return `mosaic.toml` without the port of the private listener, which nothing else knows."""
    return re.sub(r'(private_listen = "127.0.0.1:)[0-9]+"', r"\1", text)


def test_a_second_init_changes_nothing(home: Home) -> None:
    before = {path: path.read_bytes() for path in home.path.rglob("*.toml")}
    pepper = home.token_pepper.read_bytes()

    assert create_home(home) is False
    assert {path: path.read_bytes() for path in home.path.rglob("*.toml")} == before
    assert home.token_pepper.read_bytes() == pepper


def test_an_interrupted_init_is_completed_with_what_it_chose(folder: Path) -> None:
    home = Home(folder / ".mosaic")
    create_home(home)
    settings, pepper = home.config.read_text(), home.token_pepper.read_text()
    home.config.rename(home.path / "mosaic.toml.draft")  # killed before its last step
    (home.ca / CONFIG).rename(folder / "kept")

    (folder / "kept").rename(home.ca / CONFIG)
    assert create_home(home) is True
    assert (home.config.read_text(), home.token_pepper.read_text()) == (settings, pepper)
    destroy_home(home)


def plan_in(folder: Path) -> CaPlan:
    files = (folder / "ca", folder / "root" / "key", folder / "provisioners")
    return CaPlan(*files, "https://127.0.0.1:1", "127.0.0.1:2")


def test_an_interrupted_ca_init_is_completed_with_the_same_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_in(tmp_path)
    written: list[Path] = []

    def die_after_three(path: Path, content: bytes, mode: int = 0o400) -> bool:
        if ".new" not in path.parts and len(written) == 3:
            raise KeyboardInterrupt
        if ".new" not in path.parts:
            written.append(path)
        return real(path, content, mode)

    real = write_new
    monkeypatch.setattr("reconciler.embedded.stepca.ca_files.write_new", die_after_three)
    with pytest.raises(KeyboardInterrupt):
        write_ca(plan)
    first = {path: path.read_bytes() for path in written}
    monkeypatch.undo()

    assert write_ca(plan) is True
    assert {path: path.read_bytes() for path in written} == first
    assert not (plan.folder / ".new").exists()
    assert write_ca(plan) is False


def test_a_step_ca_that_was_left_behind_is_ended_before_a_new_one_starts(home: Home) -> None:
    binary = find_step_ca()
    assert binary is not None
    left = StepCa(home, binary)
    left.start(never)
    (identity,) = processes.working_in(home.ca, "step-ca")

    taking_over = StepCa(home, binary)
    taking_over.start(never)

    assert not processes.alive(identity)
    assert taking_over.answers()
    assert left.alive() is False
    taking_over.stop()
    left.stop()


def test_a_step_ca_under_another_root_is_told_at_once_and_stopped(home: Home) -> None:
    binary = find_step_ca()
    assert binary is not None
    root, step_ca = home.ca / "root_ca.crt", StepCa(home, binary)
    own, mode = root.read_bytes(), root.stat().st_mode
    root.chmod(0o600)
    root.write_text(new_ca("Other", datetime.now(UTC)).root)
    try:
        with pytest.raises(NeedsEdit, match="does not lead to this root: ") as caught:
            step_ca.start(never)
    finally:
        root.write_bytes(own)
        root.chmod(mode)
    assert str(root) in caught.value.message
    assert processes.working_in(home.ca, "step-ca") == []


def test_a_home_is_found_from_below_as_git_finds_a_repository(home: Home) -> None:
    below = home.path.parent / "manifests" / "deep"
    below.mkdir()

    assert find_home(below) == home
    assert find_home(Path("/")) is None


def test_what_a_ca_init_left_that_was_killed_at_its_very_end_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_in(tmp_path)
    with monkeypatch.context() as killed:
        killed.setattr(
            "reconciler.embedded.stepca.ca_files.shutil.rmtree", lambda *_args, **_kw: None
        )
        write_ca(plan)
    assert (plan.folder / ".new" / "root_ca_key").exists()

    assert write_ca(plan) is False
    assert not (plan.folder / ".new").exists()


def test_of_two_inits_at_once_one_makes_the_home_and_the_other_finds_it(folder: Path) -> None:
    command = [sys.executable, "-m", "reconciler.cli.main", "federation", "init"]
    running = [
        subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(3)
    ]

    outputs = [each.communicate(timeout=PATIENCE_S)[0] for each in running]

    home = Home(folder / ".mosaic")
    address = json.loads((home.ca / CONFIG).read_text())["address"]
    assert f'ca_url = "https://{address}"' in home.config.read_text()
    assert [each.returncode for each in running] == [0, 0, 0], outputs
    assert sum("made a gateway" in each for each in outputs) == 1
    assert sum("nothing was changed" in each for each in outputs) == 2
    destroy_home(home)


@pytest.mark.parametrize("delay_s", [0.3, 0.7, 0.9, 1.1, 1.4])
def test_an_init_that_is_killed_anywhere_is_completed_by_the_next(
    folder: Path, delay_s: float
) -> None:
    home = Home(folder / ".mosaic")
    command = [sys.executable, "-m", "reconciler.cli.main", "federation", "init"]
    killed = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    time.sleep(delay_s)
    killed.kill()
    killed.wait()

    create_home(home)

    with postgres(home) as url:
        assert probe.answers(url)
    binary = find_step_ca()
    assert binary is not None
    step_ca = StepCa(home, binary)
    step_ca.start(never)
    step_ca.stop()
    destroy_home(home)
