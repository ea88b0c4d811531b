"""Finding a step-ca and a Go by what they tell, and installing one for oneself or for everybody."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from reconciler.embedded.stepca import build, install
from reconciler.errors import MosaicError
from tests.support.project.checkout import ROOT
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that is the whole PATH, beside an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(install, "SYSTEM", tmp_path / "system")
    return folder


def program(path: Path, says: str, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nprintf '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return path


def system(path: Path) -> Path:
    return path.parent / "system" / "step-ca-0.30.2" / "step-ca"


def cached(path: Path) -> Path:
    return path.parent / "cache" / "mosaic-federation" / "step-ca-0.30.2" / "step-ca"


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("Smallstep CA/0.30.2 (linux/amd64)", True),
        ("Smallstep CA/1.0.0 (linux/amd64)", True),
        ("Smallstep CA/0.30.1 (linux/amd64)", False),
        ("Smallstep CA/0000000-dev (linux/amd64)", False),
    ],
)
def test_the_one_on_path_is_taken_if_it_is_new_enough(path: Path, text: str, taken: bool) -> None:
    result = program(path / "step-ca", text)

    assert install.find_step_ca() == (result if taken else None)


def test_of_a_development_build_go_knows_the_version(path: Path) -> None:
    result = program(path / "step-ca", "Smallstep CA/0000000-dev (linux/amd64)")
    module = "mod\\tgithub.com/smallstep/certificates\\t"
    program(path / "go", f"{result}: go1.26.8\\n\\t{module}v0.30.1\\th1:x\\n")
    assert install.find_step_ca() is None

    program(path / "go", f"{result}: go1.26.8\\n\\t{module}v0.31.0\\th1:x\\n")
    assert install.find_step_ca() == result


def test_an_old_one_on_path_gives_way_to_the_cache(path: Path) -> None:
    program(path / "step-ca", "Smallstep CA/0.19.0 (linux/amd64)")
    result = program(cached(path), "Smallstep CA/0.30.2 (linux/amd64)")

    assert install.find_step_ca() == result
    assert install.install_step_ca(pytest.fail, cached(path).parent) == result


def test_one_for_every_user_is_found_after_the_cache(path: Path) -> None:
    of_all = program(system(path), "Smallstep CA/0.30.2 (linux/amd64)")
    assert install.find_step_ca() == of_all
    own = program(cached(path), "Smallstep CA/0.30.2 (linux/amd64)")
    assert install.find_step_ca() == own


def test_a_folder_that_is_named_gets_a_copy_that_everybody_can_run(path: Path) -> None:
    program(cached(path), "Smallstep CA/0.30.2 (linux/amd64)")
    named = path.parent / "new" / "named"
    before = os.umask(0o077)
    try:
        copied = install.install_step_ca(lambda _step: None, named)
    finally:
        os.umask(before)
    assert copied == named / "step-ca"
    assert {each.stat().st_mode & 0o777 for each in (copied, named, named.parent)} == {0o755}
    assert install.install_step_ca(pytest.fail, named) == copied, "nothing is done again"


def test_root_installs_for_every_user_and_anybody_else_for_oneself(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.chmod(0o700)  # as root's home is
    own = program(cached(path), "Smallstep CA/0.30.2 (linux/amd64)")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert install.install_step_ca(pytest.fail) == own
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert install.install_step_ca(lambda _step: None) == system(path)


def test_what_a_killed_build_left_is_removed(path: Path) -> None:
    program(path / "step-ca", "Smallstep CA/0.30.2 (linux/amd64)")
    left = path.parent / "named" / "build-x" / "modules"
    left.mkdir(parents=True)
    install.install_step_ca(lambda _step: None, path.parent / "named")
    assert [each.name for each in (path.parent / "named").iterdir()] == ["step-ca"]


def test_a_folder_that_cannot_be_written_to_is_named(path: Path) -> None:
    program(path / "step-ca", "Smallstep CA/0.30.2 (linux/amd64)")
    (path.parent / "file").write_text("")
    with pytest.raises(MosaicError) as failed:
        install.install_step_ca(lambda _step: None, path.parent / "file" / "below")
    assert failed.value.code == "install_failed"
    assert str(path.parent / "file") in failed.value.message
    assert "--dir DIR" in failed.value.hint


def test_the_build_needs_nothing_but_the_standard_library() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules)\n"
        "import reconciler.embedded.stepca.install\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(names - sys.stdlib_module_names - {'reconciler'}))"
    )
    ended = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert ended.stdout.strip() == ""


def test_a_build_reports_what_it_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "TELL_EVERY_S", 0.0)
    go = (
        'case "$1" in env) echo go1.26.8;; *)'
        " echo 'go: downloading example.org/x v1' >&2; echo runtime >&2; echo net/http >&2;"
        ' mkdir -p "$GOBIN"; printf "#!/bin/sh\\necho Smallstep CA/0.30.2\\n" >"$GOBIN/step-ca";'
        ' chmod +x "$GOBIN/step-ca"; echo "$GOMODCACHE $GOFLAGS" >"$GOBIN/../../env";; esac'
    )
    program(path / "go", "").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{go}\n")
    steps: list[str] = []

    built = install.install_step_ca(steps.append, path.parent / "named")

    assert "1 module fetched, 2 packages built" in steps[-2]
    assert "all of its 2 packages are built" in steps[-1]
    modules, flags = (built.parent / "env").read_text().split()
    assert modules.startswith(f"{built.parent}/build-"), "not the user's cache"
    assert flags == "-modcacherw"
    assert sorted(each.name for each in built.parent.iterdir()) == ["env", "step-ca"]


def test_a_build_that_fails_says_why_and_what_to_do(path: Path) -> None:
    script = 'case "$1" in env) echo go1.26.8;; *) echo "no such host" >&2; exit 1;; esac'
    program(path / "go", "").write_text(f"#!/bin/sh\n{script}\n")

    with pytest.raises(MosaicError, match="cannot build step-ca: no such host") as failed:
        install.install_step_ca(lambda _step: None, cached(path).parent)

    assert failed.value.code == "install_failed"
    assert "run `mosaic federation ca install` again" in failed.value.hint
    assert not cached(path).exists()
    assert list(cached(path).parent.iterdir()) == []


@pytest.mark.parametrize(("text", "taken"), [("go1.19.8", False), ("go1.21.0", True), ("", False)])
def test_a_go_that_cannot_fetch_a_newer_one_is_passed_over(
    path: Path, text: str, taken: bool
) -> None:
    assert build.fetches_toolchains(str(program(path / "go", text)), {}) is taken
