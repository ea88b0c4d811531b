"""What git is given: of the operator's environment what reaches a host, of settings ours alone.

The settings are given twice: on the command line, where they win over those of the repository, and
as a file, which alone reaches the processes that git starts, and which alone may say whose
repositories are read (git before 2.38 takes `safe.directory` from nowhere else).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import NeedsEdit, Retry
from reconciler.process import BoundExceeded, Bounds, run_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MINIMUM: Final = (2, 30)  # Debian 11; `rev-parse --end-of-options` is of this version
MINIMUM_TEXT: Final = ".".join(map(str, MINIMUM))
NO_PROTOCOL: Final = "none"

_SETTINGS_FILE: Final = Path(__file__).with_name("gitconfig")
_NAMES_SETTINGS_FILE: Final = (2, 32)  # heeds GIT_CONFIG_GLOBAL
_VERSION: Final = re.compile(rb"git version (\d+)\.(\d+)")
_PROBE: Final = Bounds(seconds=30.0, output=64 * 1024)

PASSED_ON: Final = frozenset(
    {
        "PATH",
        "HOME",  # curl reads ~/.netrc
        "TMPDIR",
        "SSH_AUTH_SOCK",
        "GIT_SSH_COMMAND",
        "GIT_SSL_CAINFO",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
    }
)
_FIXED: Final = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": str(_SETTINGS_FILE),
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",  # empty: neither it, nor core.askPass, nor SSH_ASKPASS
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_GRAFT_FILE": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
}
# What old commits have wrong and `git clone` takes: dates and names that nothing here relies on,
# the shape of trees, which is judged as they are read, and files that only a checkout obeys. All
# of these are known to git 2.30.
_TAKEN_AS_IT_IS: Final = (
    *("badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "missingEmail"),
    *("missingNameBeforeEmail", "missingSpaceBeforeDate", "missingSpaceBeforeEmail"),
    *("zeroPaddedDate", "multipleAuthors", "nulInCommit", "zeroPaddedFilemode", "badFilemode"),
    *("badTagName", "missingTaggerEntry", "gitmodulesUrl", "gitmodulesPath", "gitmodulesName"),
    *("gitmodulesUpdate", "gitmodulesParse", "gitmodulesBlob", "gitmodulesLarge"),
    *("gitmodulesMissing", "gitmodulesSymlink"),
)
OPTIONS: Final = (
    "safe.directory=*",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.commitGraph=false",  # a file of the repository that may lie about parents
    "log.showSignature=false",
    "trailer.separators=:",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.fsckObjects=true",
    *(f"fetch.fsck.{each}=ignore" for each in _TAKEN_AS_IT_IS),
    "fetch.unpackLimit=1",
    "gc.auto=0",
    "maintenance.auto=false",
    "credential.helper=",
    "protocol.allow=never",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",  # octets a second
    "http.lowSpeedTime=30",  # seconds
)

_versions: Final[dict[tuple[str, int], tuple[int, int]]] = {}  # by the program and its mtime


@contextmanager
def environment(more: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Give the environment for one run of git; `more` is added to it.

    Raises:
        NeedsEdit: `source_unreadable`: there is no git, or it is older than `MINIMUM`.
    """
    made = {name: text for name, text in os.environ.items() if name in PASSED_ON}
    made.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    made |= {**_FIXED, "GIT_ALLOW_PROTOCOL": NO_PROTOCOL, **more}
    if git_version() >= _NAMES_SETTINGS_FILE:
        yield made
        return
    with tempfile.TemporaryDirectory(prefix="mosaic-git-") as folder:
        yield _with_home(made, Path(folder))


def git_version() -> tuple[int, int]:
    """Return the version of the git on the PATH.

    Raises:
        NeedsEdit: `source_unreadable`: there is none, or it is older than `MINIMUM`.
        Retry: `source_unavailable`: it does not end, or is killed.
    """
    program = shutil.which("git")
    if program is None:
        raise NeedsEdit(
            "source_unreadable",
            "there is no git program on the PATH",
            hint="install git, or name a folder of manifests",
        )
    key = (program, Path(program).stat().st_mtime_ns)
    if key not in _versions:
        env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
        try:
            result = run_process([program, "--version"], cwd=Path("/"), env=env, bounds=_PROBE)
        except BoundExceeded:
            raise _interrupted("did not end") from None
        if result.code < 0:
            raise _interrupted(f"was ended by signal {-result.code}")
        numbers = _VERSION.match(result.output)
        _versions[key] = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    version = _versions[key]
    if version < MINIMUM:
        raise NeedsEdit(
            "source_unreadable",
            f"{program} is git {'.'.join(map(str, version))}, expected {MINIMUM_TEXT} or later",
            hint="install a later git, or put one first on the PATH",
        )
    return version


def _interrupted(how: str) -> Retry:
    hint = "nothing was changed; try again"
    return Retry("source_unavailable", f"git --version {how}", hint=hint)


def _with_home(env: dict[str, str], folder: Path) -> dict[str, str]:
    """Return `env` for a git that takes settings only from a home: one with ours in it.

    curl finds `.netrc` there; ssh is given the real home back, as is what its command names by `~`.
    """
    home = env.get("HOME") or _home_of_account()
    (folder / ".gitconfig").symlink_to(_SETTINGS_FILE)
    (folder / ".netrc").symlink_to(Path(home) / ".netrc")
    ssh = f"export HOME={shlex.quote(home)}; {env['GIT_SSH_COMMAND']}"
    return {**env, "HOME": str(folder), "GIT_SSH_COMMAND": ssh}


def _home_of_account() -> str:
    try:
        return str(Path.home())
    except RuntimeError:  # the machine does not know the account
        return "/nonexistent"
