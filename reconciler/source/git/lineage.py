"""In which commits an object came to be declared as it is: its manifest, traced back through git.

What a commit declares is compared with what its parents declare, so a manifest is followed when it
moves, and a commit that changes another object of the same file is no step. A merge is a step only
if it changes the manifest itself. The commits since the applied one are looked at first; those
before it only if something in them has not taken effect yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from reconciler.core.model.spec import is_declaring
from reconciler.core.source import MAX_FILE
from reconciler.core.trust.claims import State, Step
from reconciler.errors import MosaicError
from reconciler.source.git.objects import Row, read_blobs
from reconciler.source.git.signatures import read_chosen, read_sign_offs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.model.commits import ReadCommit
    from reconciler.core.model.spec import Kind, Spec
    from reconciler.core.setting_values import SignatureSetting
    from reconciler.core.trust.claims import Claim, Parse
    from reconciler.source.git.command import Repository

_FILES: Final = (b"100644", b"100755", b"100664")


@dataclass(frozen=True, slots=True)
class _Diff:
    """What a commit changes of one parent: the paths, and the blobs that were there before."""

    paths: frozenset[str]
    before: tuple[tuple[str, str], ...]  # path and blob


@dataclass(slots=True)
class GitLineage:
    """The commits of a repository from `tip` back; `since` is where the rules began to hold.

    `commits` are those that `applied` lacks, as they were read. `links` are the links on the way to
    a manifest, with the place of its file last, by the manifest's path.
    """

    repository: Repository
    tip: str
    prefix: str
    applied: str | None
    commits: tuple[ReadCommit, ...]
    setting: SignatureSetting
    links: dict[str, tuple[str, ...]]
    _parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _diffs: dict[tuple[str, str], _Diff] = field(default_factory=dict)
    _declared: dict[tuple[str, str], dict[tuple[Kind, str], State]] = field(default_factory=dict)
    _all_loaded: bool = False
    _loaded: bool = False

    def trace(self, claim: Claim, since: str | None, parse: Parse) -> tuple[Step, ...]:
        """Return the commits in which a claim came to be, until the row holds what is declared.

        Raises:
            NeedsEdit: `source_unreadable`.
        """
        paths: dict[str, set[str]] = {}
        seen: set[tuple[str, State]] = set()
        pending = [(self.tip, claim.declared)]
        while pending:
            commit, state = pending.pop()
            if (commit, state) in seen or claim.covers(state):
                continue
            seen.add((commit, state))
            if not self._knows(commit, since):
                continue
            for parent, before in self._before(commit, state, claim, parse):
                if claim.is_step(before, state):
                    places = paths.setdefault(commit, set())
                    places |= {state.path, before.path if before is not None else state.path}
                if before is not None and parent:
                    pending.append((parent, before))
        read = self._read(list(paths), since)
        return tuple(
            Step(read[commit][0], frozenset(places), read[commit][1])
            for commit, places in paths.items()
        )

    def _before(
        self, commit: str, state: State, claim: Claim, parse: Parse
    ) -> Iterable[tuple[str, State | None]]:
        """Return each parent that counts, with what it declares of the object, if it does.

        A merge that has what one side made of what both sides had is no change of its own, and only
        the sides that have it count.
        """
        parents = self._parents[commit] or ("",)
        states = [self._state_in(commit, each, state, claim, parse) for each in parents]
        pairs = list(zip(parents, states, strict=True))
        specs = [each.spec if each is not None else None for each in states]
        if len(parents) == 2 and state.spec in self._merged(parents, states, claim, parse):
            return [pair for pair, spec in zip(pairs, specs, strict=True) if spec == state.spec]
        return pairs

    def _merged(
        self, parents: tuple[str, ...], states: list[State | None], claim: Claim, parse: Parse
    ) -> list[Spec | None]:
        """Return what a merge of two commits has to declare; nothing if that cannot be known."""
        bases = self.repository.ask("merge-base", "--all", *parents).output.decode("ascii").split()
        if len(bases) != 1:
            return []
        base = self._state_in(parents[0], bases[0], states[0], claim, parse)
        before, ours, theirs = (each.spec if each is not None else None for each in (base, *states))
        if theirs in (ours, before):
            return [ours]
        return [theirs] if ours == before else []

    def _state_in(
        self, commit: str, other: str, state: State | None, claim: Claim, parse: Parse
    ) -> State | None:
        """Return what another commit declares of an object, by its state in the first."""
        changed = self._diff(commit, other).paths
        links = self.links.get(state.path, ()) if state is not None else ()
        if state is not None and changed.isdisjoint((state.path, *links)):
            return state
        if links and not changed.isdisjoint((*links[:-1],)):
            return None  # it was linked to from elsewhere, or led elsewhere
        before = self._declared_before(commit, other, parse).get((claim.kind, claim.name))
        if before is not None and state is not None and links and before.path == links[-1]:
            return replace(before, path=state.path)
        return before

    def _declared_before(
        self, commit: str, parent: str, parse: Parse
    ) -> dict[tuple[Kind, str], State]:
        """Return what a parent declares in the files that a commit changes."""
        key = (commit, parent)
        if key not in self._declared:
            places = {each[-1] for each in self.links.values()}
            wanted = [
                (path, blob)
                for path, blob in self._diff(commit, parent).before
                if is_declaring(path, self.prefix) or path in places
            ]
            declared: dict[tuple[Kind, str], State] = {}
            for row in _sized(self.repository, wanted):
                (content,) = read_blobs(self.repository, [row])
                try:
                    objects = list(parse(row.name, content))
                except MosaicError:  # what was invalid declared nothing
                    continue
                declared |= {(kind, name): State(row.name, spec) for kind, name, spec in objects}
            self._declared[key] = declared
        return self._declared[key]

    def _knows(self, commit: str, since: str | None) -> bool:
        """Load the commits as they are needed; tell whether one came after `since`."""
        if not self._loaded:
            self._loaded = True
            self._load(self.tip, self.applied)
        if commit not in self._parents and not self._all_loaded and self.applied is not None:
            self._all_loaded = True
            self._load(self.applied, since)
        return commit in self._parents

    def _diff(self, commit: str, other: str) -> _Diff:
        if (commit, other) not in self._diffs:
            self._read_diffs([(commit, other)])
        return self._diffs[commit, other]

    def _load(self, tip: str, but: str | None) -> None:
        less = (f"^{but}",) if but is not None and self.repository.object(but) == but else ()
        listed = self.repository.run("rev-list", "--topo-order", "--parents", tip, *less, "--")
        lines = [line.split() for line in listed.decode("ascii").splitlines()]
        self._parents |= {commit: tuple(parents) for commit, *parents in lines}
        self._read_diffs([(each, other) for each, *more in lines for other in more or ("",)])

    def _read_diffs(self, pairs: list[tuple[str, str]]) -> None:
        words = ("diff-tree", "--stdin", "-r", "-z", "--raw", "--no-abbrev", "--no-renames")
        request = "".join(f"{' '.join(pair).strip()}\n" for pair in pairs).encode()
        where = (self.prefix.rstrip("/"),) if self.prefix else ()
        printed = self.repository.run(*words, "--root", "--always", "--", *where, content=request)
        self._diffs |= dict(zip(pairs, _parse_diffs(printed), strict=True))

    def _read(
        self, commits: list[str], since: str | None
    ) -> dict[str, tuple[ReadCommit, frozenset[str]]]:
        """Return commits by their hash, each with who signed it, or signed it off, at any time."""
        known = {each.commit.id: each for each in self.commits}
        signs_off = {each.commit.id: each.signs_off for each in self.commits}
        if any(each not in known for each in commits) and self.applied is not None:
            signs_off |= read_sign_offs(self.repository, self.applied, since)
        wanted = set(commits)
        off = {each for each, named in signs_off.items() if not wanted.isdisjoint(named)}
        missing = sorted((wanted | off) - known.keys())
        known |= read_chosen(self.repository, missing, self.setting)
        result = {}
        for commit in commits:
            own = (commit, *(each for each in off if commit in signs_off[each]))
            signers = (known[each].signer for each in own)
            result[commit] = (known[commit], frozenset(each for each in signers if each))
        return result


def _parse_diffs(printed: bytes) -> list[_Diff]:
    """Return the diffs that `git diff-tree --stdin -z --raw --always` prints, in their order."""
    diffs: list[tuple[set[str], list[tuple[str, str]]]] = []
    tokens = iter(printed.split(b"\0"))
    for token in tokens:
        if token.startswith(b":"):
            mode, _, blob, *_ = token[1:].split()
            path = next(tokens).decode("utf-8", "surrogateescape")
            diffs[-1][0].add(path)
            if mode in _FILES:
                diffs[-1][1].append((path, blob.decode("ascii")))
        elif token:
            diffs.append((set(), []))
    return [_Diff(frozenset(paths), tuple(before)) for paths, before in diffs]


def _sized(repository: Repository, blobs: list[tuple[str, str]]) -> list[Row]:
    """Return blobs with their sizes, without those that are larger than any manifest."""
    if not blobs:
        return []
    request = "".join(f"{blob}\n" for _, blob in blobs).encode()
    printed = repository.run("cat-file", "--batch-check=%(objectsize)", content=request)
    sizes = printed.decode("ascii", "replace").splitlines()
    return [
        Row("100644", blob, int(size), path)
        for (path, blob), size in zip(blobs, sizes, strict=True)
        if size.isdecimal() and int(size) <= MAX_FILE
    ]
