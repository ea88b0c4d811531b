"""git, run so that nothing that a repository holds is obeyed: no hook, filter or redirect."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import printable
from reconciler.core.spelling import nearest
from reconciler.errors import NeedsEdit, Retry
from reconciler.process import Bounds, OutputTooLarge, ProcessResult, ProcessTimeout, run_process
from reconciler.source.git.environment import NO_PROTOCOL, OPTIONS, environment
from reconciler.source.git.errors import error_summary, lines_of
from reconciler.source.names import refuse_dash, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)

READING: Final = Bounds(seconds=60.0, output=64 * 1024 * 1024)
FETCHING: Final = Bounds(seconds=300.0, output=16 * 1024 * 1024, file=2 * 1024 * 1024 * 1024)
MAX_NEAR: Final = 1000  # refs that a mistyped one is compared with

FULL_HASH: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)  # SHA-1, SHA-256
SHA1_HEX: Final = 40  # digits


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
        content: bytes | None = None,
        env: Mapping[str, str] | None = None,
        bounds: Bounds = READING,
    ) -> bytes:
        """Return what `git args…` prints; `env` adds to its environment.

        Raises:
            NeedsEdit: `source_unreadable`: git fails, is not there, or prints too much.
            Retry: `source_unavailable`: it takes too long.
        """
        result = self.ask(*args, content=content, env=env, bounds=bounds)
        if result.code != 0:
            raise unreadable(f"git {_verb(args)}: {error_summary(result)}")
        return result.output

    def ask(
        self,
        *args: str,
        content: bytes | None = None,
        env: Mapping[str, str] | None = None,
        bounds: Bounds = READING,
    ) -> ProcessResult:
        """Return the result of `git args…`, whatever its exit code; else as `run`."""
        words = (f"--git-dir={self.folder}", *args)
        more = {"GIT_ALLOW_PROTOCOL": self.protocol or NO_PROTOCOL, **(env or {})}
        return run_git(words, cwd=self.folder, env=more, bounds=bounds, content=content)

    def object(self, name: str) -> str | None:
        """Return the full hash of what git names so, which begins with no dash; None if nothing."""
        result = self.ask("rev-parse", "--verify", "-q", "--end-of-options", name)
        full_hash = result.output.decode("ascii", "replace").strip()
        return full_hash if result.code == 0 and FULL_HASH.fullmatch(full_hash) else None

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
            commit = self.object(f"{name}^{{commit}}")
            if commit is not None:
                return commit
        for name in names:
            if self.object(name) is not None:
                raise unreadable(f"{printable(ref)!r} names no commit")
        heads = self.run("for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags")
        raise unknown_ref(ref, heads.decode("utf-8", "replace").splitlines())


def run_git(
    args: tuple[str, ...],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    bounds: Bounds = READING,
    content: bytes | None = None,
) -> ProcessResult:
    """Run git hardened, in `cwd`; return what came of it.

    Raises:
        NeedsEdit: `source_unreadable`: there is no git, it is too old, or it prints too much.
        Retry: `source_unavailable`: it takes too long, or is killed.
    """
    words = ["git", "--no-pager", *(word for each in OPTIONS for word in ("-c", each)), *args]
    try:
        with environment(env or {}) as made:
            result = run_process(words, cwd=cwd, env=made, bounds=bounds, content=content)
    except FileNotFoundError:
        raise unreadable(f"{cwd} does not exist") from None
    except NotADirectoryError:
        hint = "name a folder; of a bundle: make a clone of it with git clone, and name that"
        raise NeedsEdit("source_unreadable", f"{cwd} is a file", hint=hint) from None
    except OSError as error:
        raise unreadable(f"git cannot be run in {cwd}: {error.strerror}") from None
    except ProcessTimeout:
        raise _ended(args, f"took longer than {bounds.seconds:g} s, and was stopped") from None
    except OutputTooLarge:
        raise unreadable(
            f"git {_verb(args)} printed more than {bounds.output // 1024 // 1024} MiB"
        ) from None
    for line in lines_of(result):
        _log.debug("git %s: %s", _verb(args), line)
    if result.code < 0:
        raise _ended(args, f"was ended by signal {-result.code}")
    return result


def unknown_ref(ref: str, known: list[str]) -> NeedsEdit:
    """Return the error for a ref that is not among `known`, full names."""
    short = sorted(re.sub(r"^refs/(?:heads|tags)/", "", name) for name in known)
    hint = "the repository has no commit yet, on any branch or tag"
    if short and re.fullmatch("[0-9a-f]{7,63}", ref):
        hint = "if that is an abbreviated hash, name the full hash"
    elif short:
        close = nearest(ref, short[:MAX_NEAR], cutoff=0.6)
        suggestion = f"did you mean {printable(close)!r}? " if close else ""
        others = ", ".join(printable(name) for name in short[:5])
        hint = f"{suggestion}it has {others}{', …' if len(short) > 5 else ''}"
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
