"""What git inherits: nothing that changes what is read, whatever a user or a hook has set."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from reconciler.core.setting_values import SignatureSetting, SourceSetting
from reconciler.errors import NeedsEdit
from reconciler.source.read import read_source
from tests.support.manifests.text import GRANT, PEER
from tests.support.repositories.repository import Checkout

GIT: Final = shutil.which("git")
# As git before 2.32 and 2.38 are: settings come from a home alone, safe.directory from a file.
OLD: Final = r"""#!/bin/bash
[ "$1" != --version ] || exec echo git version 2.30.2
unset GIT_CONFIG_GLOBAL
words=()
while (($#)); do
    if [[ $1 == -c && $2 == safe.directory=* ]]; then shift; else words+=("$1"); fi
    shift
done
exec GIT "${words[@]}"
"""


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    return Checkout.make(tmp_path / "repository", beta=PEER)


@pytest.fixture(params=["new", "old"])
def age(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The git on the PATH: this machine's, and one that behaves as git 2.30 does."""
    assert GIT is not None
    if request.param == "old":
        program(tmp_path / "bin" / "git", OLD.replace("GIT ", f"{GIT} "))
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return str(request.param)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def readings(repository: Checkout, tmp_path: Path) -> list[tuple[str, list[str], bool]]:
    """Read it as a folder, in place, and as a remote: each with its commit and its files."""
    places = (
        SourceSetting(str(repository.path / "manifests")),
        SourceSetting(str(repository.path), "main", "manifests"),
        SourceSetting(repository.url, "main", "manifests", str(tmp_path / "cache")),
    )
    made = []
    for place in places:
        source = read_source(place)
        assert source.commit is not None
        made.append((source.commit.id, [file.path for file in source.files], source.dirty))
    return made


@pytest.mark.parametrize(
    "name",
    [
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"),
        *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_CEILING_DIRECTORIES"),
        *("GIT_REPLACE_REF_BASE", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_CONFIG"),
        *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_PARAMETERS", "GIT_PREFIX"),
        *("GIT_GLOB_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_EXEC_PATH"),
        *("GIT_ASKPASS", "SSH_ASKPASS", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR", "GIT_SSH"),
        *("GIT_TRACE", "GIT_TRACE2", "GIT_TRACE2_EVENT", "GIT_TRACE_SETUP", "GIT_DEFAULT_HASH"),
        *("GIT_ATTR_SOURCE", "GIT_QUARANTINE_PATH", "GIT_ALLOW_PROTOCOL", "GIT_TEMPLATE_DIR"),
        *("GIT_DEFAULT_REF_FORMAT", "GIT_PROXY_COMMAND", "GIT_PROTOCOL", "GIT_FLUSH"),
    ],
)
def test_a_variable_of_git_changes_nothing(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    expected = [(repository.head, ["beta.yaml"], False)] * 3
    ran = tmp_path / "ran"
    monkeypatch.setenv(name, str(program(tmp_path / "program", f"#!/bin/sh\ntouch {ran}\n")))
    assert readings(repository, tmp_path) == expected
    assert not ran.exists()


def test_settings_in_variables_are_not_heeded(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = repository.head
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path}/none.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "file:///")
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert readings(repository, tmp_path) == [(head, ["beta.yaml"], False)] * 3


def test_the_users_settings_are_not_heeded_and_run_nothing(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: str
) -> None:
    ran, head = tmp_path / f"ran-{age}", repository.head
    run = program(tmp_path / "program", f"#!/bin/sh\ntouch {ran}\n")
    home = tmp_path / "home"
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "ignore").write_text("*\n")
    (home / ".config" / "git" / "attributes").write_text("* filter=x\n")
    settings = f"""\
[core]
    hooksPath = {tmp_path}
    fsmonitor = {run}
    sshCommand = {run}
    pager = {run}
    askPass = {run}
    excludesFile = {home}/.config/git/ignore
    autocrlf = true
[credential]
    helper = {run}
[filter "x"]
    clean = {run}
    smudge = {run}
    required = true
[gpg]
    program = {run}
[uploadpack]
    packObjectsHook = {run}
[log]
    showSignature = true
[http]
    proxy = http://127.0.0.1:1
[protocol]
    allow = never
[protocol "file"]
    allow = never
[transfer]
    hideRefs = refs
[url "{tmp_path}/none"]
    insteadOf = file:///
[include]
    path = {home}/more
"""
    for path in (home / ".gitconfig", home / ".config" / "git" / "config"):
        path.write_text(settings)
    (home / "more").write_text("[safe]\n    directory =\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert readings(repository, tmp_path) == [(head, ["beta.yaml"], False)] * 3
    assert not ran.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.usefixtures("age")
def test_the_repository_of_somebody_else_is_read_in_every_way(
    repository: Checkout, tmp_path: Path
) -> None:
    head = repository.head
    for path in (repository.path, *repository.path.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    assert readings(repository, tmp_path) == [(head, ["beta.yaml"], False)] * 3


@pytest.mark.usefixtures("age")
def test_ssh_has_the_home_of_its_user(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "a home"
    log = tmp_path / "log"
    program(
        home / "ssh",
        f'#!/bin/sh\necho "$HOME" >> {log}\nfor last; do :; done\nexec sh -c "$last"\n',
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_SSH_COMMAND", "~/ssh")
    url = f"ssh://git@git.example{repository.path}"
    source = read_source(SourceSetting(url, "main", cache=str(tmp_path / "cache")))
    assert len(source.files) == 1
    assert set(log.read_text().splitlines()) == {str(home)}


@pytest.mark.usefixtures("age")
def test_an_account_that_the_machine_does_not_know_needs_no_home(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_uid: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert readings(repository, tmp_path) == [(repository.head, ["beta.yaml"], False)] * 3


def test_a_git_that_is_too_old_is_named_with_the_least_version(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin" / "git", "#!/bin/sh\necho git version 2.25.1\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(NeedsEdit, match=r"bin/git is git 2\.25, expected 2\.30 or later") as caught:
        repository.read()
    assert caught.value.hint == "install a later git, or put one first on the PATH"


def test_a_git_that_verifies_no_ssh_signature_says_so(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "signers").touch()
    assert GIT is not None
    program(tmp_path / "bin" / "git", OLD.replace("GIT ", f"{GIT} "))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    setting = SourceSetting(str(repository.path), "main")
    with pytest.raises(NeedsEdit, match=r"git 2\.30 does not verify SSH signatures") as caught:
        read_source(setting, signatures=SignatureSetting(str(tmp_path / "signers"), None))
    assert caught.value.code == "config_invalid"


def test_it_works_inside_a_hook(repository: Checkout, tmp_path: Path) -> None:
    """git sets GIT_DIR and GIT_INDEX_FILE for a pre-commit hook."""
    mosaic = Path(sys.executable).with_name("mosaic")
    log = tmp_path / "log"
    program(
        repository.path / ".git" / "hooks" / "pre-commit",
        f"#!/bin/sh\nenv | grep ^GIT_ > {log}\n"
        f"{mosaic} federation validate manifests >> {log} 2>&1 || exit\n"
        f"{mosaic} federation validate {repository.path} --ref main --path manifests"
        f" >> {log} 2>&1\n",
    )
    repository.write(grants=GRANT)
    repository.git("add", "-A")
    subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@x.example", "commit", "-qam", "second"],
        cwd=repository.path,
        check=True,
    )
    assert "GIT_INDEX_FILE=" in log.read_text()
    assert log.read_text().count("valid: 1 peer") == 2
