"""Who signed the commits since the applied one, and what each of them changes itself.

git verifies, by the keys that the operator names and no others: neither the user's keyring nor what
a repository configures is asked. The programs that it runs are ours to name. A signer is known by
a key: an SSH key as the principal in the operator's file, an OpenPGP key as its own fingerprint,
since a user id is what its owner says it is.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.core.model.commits import ReadCommit
from reconciler.core.model.text import printable
from reconciler.errors import NeedsEdit, Retry
from reconciler.process import BoundExceeded, Bounds, ProcessResult, run_process
from reconciler.source.git.command import FULL_HASH
from reconciler.source.git.environment import git_version
from reconciler.source.git.history import read_commit
from reconciler.source.names import unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.setting_values import SignatureSetting
    from reconciler.source.git.command import Repository

MAX_COMMITS: Final = 10_000  # in one reading
IMPORTING: Final = Bounds(seconds=30, output=16 * 1024 * 1024)
VERIFIES_SSH: Final = (2, 34)  # git(1) of this version has gpg.ssh.allowedSignersFile

_TRAILERS: Final = "%(trailers:key=Signs-off,valueonly,separator=%x2C)"
_FORMAT: Final = f"--format=%G?%x00%GS%x00%GP%x00{_TRAILERS}"
_REASONS: Final = {
    "N": "it is not signed",
    "B": "its signature is bad",
    "U": "its signature is by none of the allowed signers",
    "E": "its signature is by none of the allowed signers",
    "X": "its signature has expired",
    "Y": "its signature is by a key that has expired",
    "R": "its signature is by a key that was revoked",
}
_MAIL: Final = re.compile(r"<([^<>\s]+)>\s*$|^([^<>\s]+@[^<>\s]+)$")


def read_commits(
    repository: Repository, applied: str | None, tip: str, setting: SignatureSetting
) -> tuple[ReadCommit, ...]:
    """Return the commits that `tip` has and `applied` has not, oldest first; for None, the tip.

    Raises:
        NeedsEdit: `source_unreadable`; `config_invalid`: the allowed keys cannot be read.
    """
    reach = ("--max-count=1", tip) if applied is None else (tip, f"^{applied}")
    listed = repository.run("rev-list", "--reverse", "--topo-order", *reach, "--")
    ids = listed.decode("ascii").split()
    if len(ids) > MAX_COMMITS:
        raise unreadable(
            f"{len(ids):,} commits came since the applied one, more than {MAX_COMMITS:,}"
        )
    with _verifying(setting) as (options, env):
        return tuple(_read(repository, each, options, env) for each in ids)


def read_chosen(
    repository: Repository, commits: list[str], setting: SignatureSetting
) -> dict[str, ReadCommit]:
    """Return some commits by their hash.

    Raises:
        NeedsEdit: as `read_commits`.
    """
    if not commits:
        return {}
    with _verifying(setting) as (options, env):
        return {each: _read(repository, each, options, env) for each in commits}


def read_sign_offs(repository: Repository, tip: str, but: str | None) -> dict[str, tuple[str, ...]]:
    """Return what the commits that `tip` has and `but` has not sign off; nothing is verified."""
    less = (f"^{but}",) if but is not None and repository.object(but) == but else ()
    printed = repository.run("log", "-z", f"--format=%H%x01{_TRAILERS}", tip, *less, "--")
    records = (each.partition("\x01") for each in printed.decode("utf-8", "replace").split("\0"))
    return {commit: named for commit, _, text in records if (named := _hashes(text))}


def _read(
    repository: Repository, commit: str, options: tuple[str, ...], env: dict[str, str]
) -> ReadCommit:
    printed = repository.run(
        *options, "log", "-1", _FORMAT, "--end-of-options", commit, "--", env=env
    )
    state, name, fingerprint, trailers = printed.decode("utf-8", "replace").split("\0", 3)
    good = state == "G"
    return ReadCommit(
        read_commit(repository, commit),
        paths=_own_paths(repository, commit),
        # only an OpenPGP key has a fingerprint of its primary key
        signer=printable(fingerprint.strip().upper() or name.strip(), 255) if good else None,
        signature="" if good else _REASONS.get(state, "its signature cannot be checked"),
        signs_off=_hashes(trailers),
    )


def _hashes(trailers: str) -> tuple[str, ...]:
    return tuple(
        each for each in re.split(r"[\s,]+", trailers.strip()) if FULL_HASH.fullmatch(each)
    )


def _own_paths(repository: Repository, commit: str) -> tuple[str, ...]:
    """Return the paths that a commit changes itself, both names of one that moves.

    Of a merge: where it has neither what one side changed nor what both left, file by file.
    """
    printed = repository.run("rev-list", "--max-count=1", "--parents", commit, "--")
    _, *parents = printed.decode("ascii").split()
    if len(parents) < 2:
        words = ("diff-tree", "-r", "-z", "--root", "--no-commit-id", "--name-only", "--no-renames")
        changed = repository.run(*words, commit, "--")
        return tuple(sorted(_text(each) for each in changed.split(b"\0") if each))
    trees = [_tree(repository, each) for each in parents]
    made = _tree(repository, commit)
    bases = repository.ask("merge-base", "--all", *parents).output.decode("ascii").split()
    if len(parents) > 2 or len(bases) != 1:  # the intent of each side cannot be known
        every = set(made).union(*trees)
        return tuple(sorted(p for p in every if any(tree.get(p) != made.get(p) for tree in trees)))
    base, (ours, theirs) = _tree(repository, bases[0]), trees
    return tuple(
        sorted(
            path
            for path in set(made) | set(ours) | set(theirs)
            if made.get(path) != _merged(base.get(path), ours.get(path), theirs.get(path))
        )
    )


def _merged(base: str | None, ours: str | None, theirs: str | None) -> str | None:
    """Return what a merge of one file has to be; what nobody has, where both sides changed it."""
    if theirs in (ours, base):
        return ours
    return theirs if ours == base else "both sides changed it"


def _tree(repository: Repository, commit: str) -> dict[str, str]:
    listed = repository.run("ls-tree", "-r", "-z", "--full-tree", commit)
    records = (record.partition(b"\t") for record in listed.split(b"\0") if record)
    return {_text(name): facts.decode("ascii") for facts, _, name in records}


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


@contextmanager
def _verifying(setting: SignatureSetting) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """Give git's options and environment for verifying, by the allowed keys alone."""
    signers = setting.allowed_signers
    if signers is not None and not os.access(signers, os.R_OK):
        raise _unusable(f"MOSAIC_ALLOWED_SIGNERS: {signers} cannot be read")
    if signers is not None and (version := git_version()) < VERIFIES_SSH:
        raise NeedsEdit(
            "config_invalid",
            f"git {'.'.join(map(str, version))} does not verify SSH signatures, expected 2.34 or "
            "later",
            hint="install a later git, or sign by OpenPGP and name MOSAIC_SIGNERS_KEYRING alone",
        )
    with tempfile.TemporaryDirectory(prefix="mosaic-keys-") as home:
        if setting.keyring is not None:
            _import(setting.keyring, Path(home))
        configured = {
            "gpg.format": "openpgp",
            "gpg.program": "gpg",
            "gpg.openpgp.program": "gpg",
            "gpg.x509.program": "false",
            "gpg.ssh.program": "ssh-keygen",
            "gpg.ssh.allowedSignersFile": signers or "/dev/null",
            "gpg.ssh.revocationFile": "",
            "gpg.minTrustLevel": "undefined",
        }
        options = [word for name, text in configured.items() for word in ("-c", f"{name}={text}")]
        yield tuple(options), {"GNUPGHOME": home}


def _import(keyring: str, home: Path) -> None:
    """Import the operator's public keys into a keyring of this reading alone.

    Whose keys they are, the operator has said by naming the file.
    """
    (home / "gpg.conf").write_text("trust-model always\nno-auto-key-retrieve\n")
    if _gpg(home, "--quiet", "--import", "--", keyring).code != 0:
        raise _unusable(f"MOSAIC_SIGNERS_KEYRING: {keyring} holds no public keys that gpg takes")
    listed = _gpg(home, "--with-colons", "--list-keys")
    if listed.code != 0:
        raise _unusable(f"MOSAIC_SIGNERS_KEYRING: gpg cannot list the keys of {keyring}")
    for mail, keys in _claimed(listed.output.decode("utf-8", "replace")).items():
        if len(keys) > 1:
            raise NeedsEdit(
                "config_invalid",
                f"MOSAIC_SIGNERS_KEYRING: {keyring}: {len(keys)} keys claim the mail address"
                f" {printable(mail, 200)}: {', '.join(sorted(keys))}",
                hint="a signer is known by one key: leave the others out of the file",
            )


def _gpg(home: Path, *words: str) -> ProcessResult:
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    command = ["gpg", "--homedir", str(home), "--batch", *words]
    try:
        result = run_process(command, bounds=IMPORTING, env=env)
    except (OSError, BoundExceeded):
        raise _unusable("MOSAIC_SIGNERS_KEYRING: gpg cannot be run") from None
    if result.code < 0:  # as at the end of a loop
        how = f"gpg was ended by signal {-result.code}"
        raise Retry("source_unavailable", how, hint="nothing was changed; try again")
    return result


def _claimed(listed: str) -> dict[str, set[str]]:
    """Return the fingerprints of the keys that claim each mail address (gnupg, doc/DETAILS)."""
    claimed: dict[str, set[str]] = {}
    key, awaits_fingerprint, revoked = "", False, False
    for record in (line.split(":") for line in listed.splitlines()):
        match record[0]:
            case "pub":
                awaits_fingerprint, revoked = True, record[1] == "r"
            case "fpr" if awaits_fingerprint:
                key, awaits_fingerprint = record[9], False
            case "uid" if not revoked and record[1] != "r":
                text = record[9].replace("\\x3a", ":").replace("\\x3A", ":")
                if mail := _MAIL.search(text):
                    claimed.setdefault((mail[1] or mail[2]).lower(), set()).add(key)
    return claimed


def _unusable(message: str) -> NeedsEdit:
    hint = "name a readable file of public keys: nothing was applied"
    return NeedsEdit("config_invalid", message, hint=hint)
