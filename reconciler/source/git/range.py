"""A range of commits, as a person names it: `BASE..TIP`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.setting_values import is_url
from reconciler.errors import NeedsEdit
from reconciler.source.git.remote import Remote
from reconciler.source.git.worktree import locate
from reconciler.source.names import unreadable

if TYPE_CHECKING:
    from reconciler.core.setting_values import SourceSetting


@dataclass(frozen=True, slots=True)
class CommitRange:
    """The commits that `tip` has and `base` has not; `fork` is the commit that both have."""

    base: str
    tip: str
    fork: str


def resolve_range(setting: SourceSetting, text: str) -> CommitRange:
    """Return the range that `BASE..TIP` names; without a TIP, it ends at the source's ref, or HEAD.

    Raises:
        NeedsEdit: `usage`: there is no BASE; `source_unreadable`: there is no such commit.
        Retry: `source_unavailable`.
    """
    base, _, tip = text.partition("..")
    if not base or tip.startswith("."):
        raise NeedsEdit("usage", f"got {text!r}, expected BASE..TIP", hint="name both commits")
    tip = tip or setting.ref or "HEAD"
    if is_url(setting.location):
        remote = Remote.parse(setting.location)
        repository, full_base = remote.fetch(base, setting.cache)
        _, full_tip = remote.fetch(tip, setting.cache)
    else:
        place = locate(Path(setting.location))
        if place is None:
            raise unreadable(f"{setting.location} is in no git repository")
        repository = place.repository
        full_base, full_tip = repository.resolve(base), repository.resolve(tip)
    forks = repository.ask("merge-base", full_base, full_tip).output.decode("ascii").split()
    if not forks:
        raise unreadable(f"{full_tip[:12]} and {full_base[:12]} have no commit in common")
    return CommitRange(full_base, full_tip, forks[0])
