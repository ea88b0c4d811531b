"""git, run so that nothing which a repository holds is obeyed: no hook, filter, prompt or redirect.

Only what the operator's environment says of reaching a host is kept: a proxy, an SSH agent or
command, `~/.netrc`, a bundle of roots.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.text import printable, without_credentials
from reconciler.core.words import nearest
from reconciler.errors import NeedsEdit, Retry
from reconciler.source.names import unreadable
from reconciler.source.process import Bounds, Ended, TookTooLong, TooMuchOutput, run_process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

READING: Final = Bounds(seconds=60.0, output=64 * 1024 * 1024)
FETCHING: Final = Bounds(seconds=300.0, output=16 * 1024 * 1024, file=2 * 1024 * 1024 * 1024)
MAX_MESSAGE: Final = 300  # characters of what git says
MAX_NEAR: Final = 1000  # refs that a mistyped one is compared with

FULL_HASH: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)  # SHA-1, SHA-256
SHA1_HEX: Final = 40  # digits

_KEPT: Final = frozenset(
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
    "GIT_CONFIG_GLOBAL": "/dev/null",
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
_NO_PROTOCOL: Final = "none"
_CONFIG: Final = (
    "safe.directory=*",  # a mounted checkout is somebody else's; what that guards against is off
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.commitGraph=false",  # a file of the repository that may lie about parents
    "log.showSignature=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.fsckObjects=true",
    "fetch.unpackLimit=1",
    "gc.auto=0",
    "maintenance.auto=false",
    "credential.helper=",
    "protocol.allow=never",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",  # octets a second
    "http.lowSpeedTime=30",  # seconds
)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository by its git folder: a bare one, or the `.git` of a checkout. It is only read.

    `protocol` is the one by which a fetch may reach the outside; None for nothing at all.
    """

    folder: Path
    protocol: str | None = None

    def run(
        self,
        *args: str,
        input: bytes | None = None,  # noqa: A002 - as subprocess calls it
        env: Mapping[str, str] | None = None,
        bounds: Bounds = READING,
    ) -> bytes:
        """Return what `git args…` prints; `env` adds to its environment.

        Raises:
            NeedsEdit: `source_unreadable`: git fails, is not there, or prints too much.
            Retry: `source_unavailable`: it takes too long.
        """
        ended = self.ask(*args, input=input, env=env, bounds=bounds)
        if ended.code != 0:
            raise unreadable(f"git {_verb(args)}: {said(ended)}")
        return ended.output

    def ask(
        self,
        *args: str,
        input: bytes | None = None,  # noqa: A002 - as subprocess calls it
        env: Mapping[str, str] | None = None,
        bounds: Bounds = READING,
    ) -> Ended:
        """Return how `git args…` ended, whatever its exit code; else as `run`."""
        words = (f"--git-dir={self.folder}", *args)
        more = {"GIT_ALLOW_PROTOCOL": self.protocol or _NO_PROTOCOL, **(env or {})}
        return run_git(words, cwd=self.folder, env=more, bounds=bounds, input=input)

    def object(self, name: str) -> str | None:
        """Return the full hash of what git names so, which begins with no dash; None if nothing."""
        ended = self.ask("rev-parse", "--verify", "-q", "--end-of-options", name)
        found = ended.output.decode("ascii", "replace").strip()
        return found if ended.code == 0 and FULL_HASH.fullmatch(found) else None

    def resolve(self, ref: str) -> str:
        """Return the full hash of the commit that `ref` names: a branch before a tag of its name.

        Raises:
            NeedsEdit: `source_unreadable`, with the refs whose names are near.
        """
        refuse_dash(ref, "the ref")
        names: tuple[str, ...] = (ref,)
        if not (ref == "HEAD" or ref.startswith("refs/") or FULL_HASH.fullmatch(ref)):
            names = (f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/remotes/{ref}", ref)
        for name in names:
            found = self.object(f"{name}^{{commit}}")
            if found is not None:
                return found
        heads = self.run("for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags")
        raise unknown_ref(ref, heads.decode("utf-8", "replace").splitlines())


def run_git(
    args: tuple[str, ...],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    bounds: Bounds = READING,
    input: bytes | None = None,  # noqa: A002 - as subprocess calls it
) -> Ended:
    """Run git hardened, in `cwd`; return how it ended.

    Raises:
        NeedsEdit: `source_unreadable`: there is no git, or it prints too much.
        Retry: `source_unavailable`: it takes too long, or is killed.
    """
    kept = {name: text for name, text in os.environ.items() if name in _KEPT}
    kept.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    made = {**kept, **_FIXED, "GIT_ALLOW_PROTOCOL": _NO_PROTOCOL, **(env or {})}
    options = [word for each in _CONFIG for word in ("-c", each)]
    words = ["git", "--no-pager", *options, *args]
    try:
        ended = run_process(words, cwd=cwd, env=made, bounds=bounds, input=input)
    except FileNotFoundError:
        raise NeedsEdit(
            "source_unreadable",
            "there is no git program on the PATH" if cwd.is_dir() else f"{cwd} does not exist",
            hint="install git, or name a folder of manifests" if cwd.is_dir() else "check the path",
        ) from None
    except OSError as error:
        raise unreadable(f"git cannot be run in {cwd}: {error.strerror}") from None
    except TookTooLong:
        raise _ended(args, f"took longer than {bounds.seconds:g} s, and was ended") from None
    except TooMuchOutput:
        raise unreadable(
            f"git {_verb(args)} printed more than {bounds.output // 1024 // 1024} MiB"
        ) from None
    if ended.code < 0:
        raise _ended(args, f"was ended by signal {-ended.code}")
    return ended


def said(ended: Ended) -> str:
    """Return what git said of its failure: the telling line, printable, without credentials."""
    lines = ended.errors.decode("utf-8", "replace").splitlines()
    told = [line for line in lines if line.strip()]
    fatal = [line for line in told if line.startswith(("fatal:", "error:"))]
    line = (fatal or told or [f"it ended with {ended.code}"])[0]
    return printable(without_credentials(line), MAX_MESSAGE)


def refuse_dash(text: str, what: str) -> None:
    """Raise where git could take `text` for an option.

    Raises:
        NeedsEdit: `source_unreadable`.
    """
    if text.startswith("-"):
        raise unreadable(f"{what} {printable(text)!r} begins with a dash")


def unknown_ref(ref: str, known: list[str]) -> NeedsEdit:
    """Return the error for a ref that is not among `known`, full names."""
    short = sorted(re.sub(r"^refs/(?:heads|tags)/", "", name) for name in known)
    hint = "the repository has neither branches nor tags"
    if short:
        close = nearest(ref, short[:MAX_NEAR], cutoff=0.6)
        meant = f"did you mean {printable(close)!r}? " if close else ""
        others = ", ".join(printable(name) for name in short[:5])
        hint = f"{meant}it has {others}{', …' if len(short) > 5 else ''}"
    return NeedsEdit(
        "source_unreadable", f"the repository has no ref {printable(ref)!r}", hint=hint
    )


def _ended(args: tuple[str, ...], how: str) -> Retry:
    hint = "nothing was changed; try again"
    return Retry("source_unavailable", f"git {_verb(args)} {how}", hint=hint)


def _verb(args: tuple[str, ...]) -> str:
    """Return the command of `args`, which may follow options such as `-c name=value`."""
    pairs = zip(("", *args), args, strict=False)
    return next((word for before, word in pairs if before != "-c" and word[:1] != "-"), "")
