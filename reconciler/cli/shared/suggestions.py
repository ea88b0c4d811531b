"""Suggestions for an unknown verb: by meaning, then by spelling; never a verb that creates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.core.spelling import edits, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_TYPED: Final = 32  # characters of a word that is looked at
MIN_LIKENESS: Final = 0.6  # difflib's ratio, for verbs that create nothing
EDITS_PER_LETTER: Final = 3  # one edit for each so many letters is an obvious typo

# These make, change or start something: they are suggested for an obvious typo of theirs alone.
CREATING: Final = frozenset(
    {"init", "up", "demo", "apply", "run", "serve", "prepare", "create", "invite", "add", "install"}
    | {"upgrade", "rotate", "rewrap", "checkpoint", "export", "rename", "resume"}
)

# what other tools call it: our verbs, of which the first that the group has is meant
MEANINGS: Final[Mapping[str, tuple[str, ...]]] = {
    word: verbs
    for words, verbs in (
        ("delete remove rm del erase end terminate cancel", ("revoke", "retire", "grant revoke")),
        ("get ls all", ("list", "grant list", "status")),
        ("list", ("grant list", "status")),
        ("show info view cat read", ("show", "grant show", "status")),
        ("describe inspect", ("show", "explain", "status")),
        ("why who reason story", ("explain",)),
        ("diff preview changes compare what-if", ("plan", "check")),
        ("check", ("validate", "verify", "status")),
        ("lint test", ("validate", "check", "verify", "status")),
        ("verify validate", ("validate", "verify", "check", "audit verify")),
        ("diagnose troubleshoot", ("doctor", "check", "status")),
        ("ping ready healthcheck", ("health", "status")),
        ("log logs events journal", ("history", "list")),
        ("state ps", ("status", "list")),
        ("start launch boot", ("up",)),
        ("sync reconcile deploy push", ("apply",)),
        ("watch loop daemon", ("run",)),
        ("server listen", ("serve",)),
        ("stop freeze disable block hold", ("suspend", "pause")),
        ("continue unpause unsuspend unfreeze enable", ("resume",)),
        ("mv move", ("rename",)),
        ("format prettify", ("fmt",)),
        ("dump", ("export",)),
        ("migrate migration", ("upgrade", "db upgrade")),
        ("psql connection dsn", ("url", "db url")),
    )
    for word in words.split()
}


def suggestion(word: str, verbs: Collection[str], below: Mapping[str, Collection[str]]) -> str:
    """Return the verb that `word` is likely to mean, or nothing.

    `below` has the verbs of each group among `verbs`: `grant list` may be meant by `list`.
    """
    typed = word.lower()
    if len(typed) > MAX_TYPED:
        return ""
    if typed in verbs:
        return typed
    reachable = {*verbs, *(f"{group} {verb}" for group, its in below.items() for verb in its)}
    known = {word: next((v for v in its if v in reachable), "") for word, its in MEANINGS.items()}
    if result := known.get(typed):
        return result
    for group, its in below.items():
        if typed in its:
            return f"{group} {typed}"
    if _is_typo(typed, close := nearest(typed, verbs)):
        return close
    if (word := nearest(typed, known)) and _is_typo(typed, word) and known[word]:
        return known[word]
    return nearest(typed, set(verbs) - CREATING, cutoff=MIN_LIKENESS)


def _is_typo(typed: str, verb: str) -> bool:
    if not verb:
        return False
    swapped = sorted(typed) == sorted(verb) and edits(typed, verb) == 2
    distance = 1 if swapped else edits(typed, verb)
    return distance * EDITS_PER_LETTER <= len(typed)
