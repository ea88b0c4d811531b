"""Whose a home is: one that others own, may write or may replace is not acted on."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.in_process import Quick
from tests.support.gateways.home import as_root, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.commands.process import Ended

NOBODY = 65534


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the folder of a home with settings and no more, in a folder of its own."""
    with open_folder() as folder:
        (folder / "source").mkdir()
        home = folder / ".mosaic"
        home.mkdir(mode=0o700)
        (home / "mosaic.toml").write_text(f'source = "{folder}/source"\n')
        (home / "mosaic.toml").chmod(0o600)
        (home / "mosaic-home").touch()
        yield home


def run(home: Path, *words: str, cwd: Path | None = None, **variables: str) -> Ended:
    return Quick(cwd or home.parent, variables)(*words)


def refused(done: Ended) -> str:
    """Return the error of a command that did not use the home."""
    assert (done.code, done.out) == (78, ""), done.err
    assert "is not used" in done.err
    return done.err


def test_a_home_of_ones_own_is_used(home: Path) -> None:
    assert run(home, "validate").code == 0


@as_root
@pytest.mark.parametrize("owned", ["", "mosaic.toml", "keys"])
@pytest.mark.parametrize("how", ["below", "flag", "variable"])
def test_another_users_home_is_refused_with_what_to_type(home: Path, how: str, owned: str) -> None:
    (home / "keys").mkdir(mode=0o700)
    os.chown(home / owned, NOBODY, NOBODY)
    words = ("validate", "--home", str(home)) if how == "flag" else ("validate",)
    by_variable = how == "variable"
    done = run(home, *words, MOSAIC_HOME=str(home)) if by_variable else run(home, *words)
    error = refused(done)
    assert str(home / owned) in error
    assert "belongs to nobody, and you are root" in error
    assert f"MOSAIC_SAFE_HOMES={home}" in error


@as_root
@pytest.mark.parametrize("verb", ["up", "serve", "init", "status", "doctor", "keys add"])
def test_no_verb_acts_on_another_users_home(home: Path, verb: str) -> None:
    os.chown(home, NOBODY, NOBODY)
    refused(run(home, *verb.split(), "--home", str(home)))


@as_root
def test_root_does_not_remove_another_users_home(home: Path) -> None:
    os.chown(home, NOBODY, NOBODY)
    refused(run(home, "destroy", "--yes"))
    assert home.exists()


def test_a_user_does_not_act_on_roots_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    error = refused(run(home, "validate"))
    assert f"`sudo -u {owner} mosaic" in error
    assert f"`sudo chown -R nobody {home}`" in error


@pytest.mark.parametrize("name", ["", "mosaic.toml", "keys", "secrets", "ca", "logs"])
@pytest.mark.parametrize("mode", [0o020, 0o002, 0o1002])
def test_a_home_that_others_may_write_is_refused_until_the_line_is_typed(
    home: Path, name: str, mode: int
) -> None:
    if name and name != "mosaic.toml":
        (home / name).mkdir(mode=0o700)
    path = home / name
    path.chmod(path.stat().st_mode & 0o777 | mode)
    error = refused(run(home, "validate"))
    assert f"others may write to {path} (" in error
    line = f"chmod -R go-w {home}"
    assert f"`{line}`" in error
    subprocess.run(shlex.split(line), check=True)
    assert run(home, "validate").code == 0


def test_a_home_below_a_folder_that_anybody_may_write_is_refused_unless_it_is_sticky(
    home: Path,
) -> None:
    home.parent.chmod(0o777)
    error = refused(run(home, "validate"))
    assert f"`chmod o-w {home.parent}`" in error
    home.parent.chmod(0o1777)
    assert run(home, "validate").code == 0


def test_no_home_is_made_where_anybody_could_replace_it(home: Path) -> None:
    shutil.rmtree(home)
    inner = home.parent / "inner"
    inner.mkdir()
    inner.chmod(0o777)
    refused(run(home, "init", cwd=inner))
    refused(run(home, "up", "--home", str(inner / "new" / ".mosaic")))
    assert list(inner.iterdir()) == []


def test_a_link_is_judged_by_where_it_lies_and_where_it_leads(home: Path) -> None:
    link = home.parent / "link"
    link.symlink_to(home)
    home.chmod(0o777)
    refused(run(home, "validate", "--home", str(link)))
    home.chmod(0o700)
    assert run(home, "validate", "--home", str(link)).code == 0
    loose = home.parent / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    (loose / "link").symlink_to(home)
    refused(run(home, "validate", "--home", str(loose / "link")))


@pytest.mark.parametrize("value", ["{home}", "/elsewhere:{home}", "*"])
def test_a_home_that_is_trusted_is_used_whoever_may_write_it(home: Path, value: str) -> None:
    home.chmod(0o777)
    assert run(home, "validate", MOSAIC_SAFE_HOMES=value.format(home=home)).code == 0
    refused(run(home, "validate", MOSAIC_SAFE_HOMES="/elsewhere"))


def test_a_home_cannot_say_that_it_is_trusted(home: Path) -> None:
    (home / "mosaic.toml").write_text('safe_homes = "*"\n')
    assert "there is no setting 'safe_homes'" in run(home, "validate").err


def test_what_is_trusted_is_a_path(home: Path) -> None:
    done = run(home, "validate", MOSAIC_SAFE_HOMES="relative")
    assert done.code == 78
    assert "MOSAIC_SAFE_HOMES" in done.err
