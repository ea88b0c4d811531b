"""Finding a step-ca and a Go: by what they tell, on PATH first, then in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.embedded import install
from reconciler.errors import MosaicError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that is the whole PATH, beside an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def program(path: Path, says: str, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nprintf '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return path


def cached(path: Path) -> Path:
    return path.parent / "cache" / "mosaic-federation" / "step-ca-0.30.2" / "step-ca"


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ("Smallstep CA/0.30.2 (linux/amd64)", True),
        ("Smallstep CA/1.0.0 (linux/amd64)", True),
        ("Smallstep CA/0.30.1 (linux/amd64)", False),
        ("Smallstep CA/0000000-dev (linux/amd64)", False),
    ],
)
def test_the_one_on_path_is_taken_if_it_is_new_enough(path: Path, told: str, taken: bool) -> None:
    found = program(path / "step-ca", told)

    assert install.find_step_ca() == (found if taken else None)


def test_of_a_development_build_go_knows_the_version(path: Path) -> None:
    found = program(path / "step-ca", "Smallstep CA/0000000-dev (linux/amd64)")
    module = "mod\\tgithub.com/smallstep/certificates\\t"
    program(path / "go", f"{found}: go1.26.8\\n\\t{module}v0.30.1\\th1:x\\n")
    assert install.find_step_ca() is None

    program(path / "go", f"{found}: go1.26.8\\n\\t{module}v0.31.0\\th1:x\\n")
    assert install.find_step_ca() == found


def test_an_old_one_on_path_gives_way_to_the_cache(path: Path) -> None:
    program(path / "step-ca", "Smallstep CA/0.19.0 (linux/amd64)")
    kept = program(cached(path), "Smallstep CA/0.30.2 (linux/amd64)")

    assert install.find_step_ca() == kept
    assert install.install_step_ca(pytest.fail) == kept


def test_a_build_that_fails_says_why_and_what_to_do(path: Path) -> None:
    script = 'case "$1" in env) echo go1.26.8;; *) echo "no such host" >&2; exit 1;; esac'
    program(path / "go", "").write_text(f"#!/bin/sh\n{script}\n")

    with pytest.raises(MosaicError, match="cannot build step-ca: no such host") as failed:
        install.install_step_ca(lambda _step: None)

    assert failed.value.code == "install_failed"
    assert "run `mosaic federation ca install` again" in failed.value.hint
    assert not cached(path).exists()
    assert list(cached(path).parent.iterdir()) == []


@pytest.mark.parametrize(("told", "taken"), [("go1.19.8", False), ("go1.21.0", True), ("", False)])
def test_a_go_that_cannot_fetch_a_newer_one_is_passed_over(
    path: Path, told: str, taken: bool
) -> None:
    assert install._fetches_toolchains(str(program(path / "go", told))) is taken
