"""Plans as files: what a person approved, so that exactly that is applied, or nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.cli.plan.options import PlanOptions
from reconciler.core.plan.json import plan_as_json
from reconciler.core.plan.model import PLAN_FORMAT_VERSION
from reconciler.core.setting_values import SourceSetting
from reconciler.errors import NeedsEdit
from reconciler.files import remedy, write_output

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.model.spec import Desired
    from reconciler.reconcile import PlanResult


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What of a saved plan decides: the source it was made from, its digest, the options.

    The source of one that was read from a repository names the commit, not the ref that moves.
    """

    source: SourceSetting
    digest: str
    options: PlanOptions


def save_plan(path: Path, result: PlanResult, desired: Desired, saved: SavedPlan) -> None:
    """Write a plan as the object of the contract, with what it takes to apply it; whole or not.

    Raises:
        NeedsEdit: `value_invalid`: it cannot be written there.
    """
    document = plan_as_json(result.plan, result.verdict, desired)
    document["asked"] = saved.options.as_json()
    document["reading"] = {
        "location": saved.source.location,
        "ref": desired.revision if saved.source.is_git else None,
        "path": saved.source.path,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        write_output(path, text.encode())
    except OSError as error:
        raise NeedsEdit(
            "value_invalid",
            f"--save: {str(path)!r} cannot be written: {error.strerror}",
            hint=remedy(error),
        ) from None


def read_plan(path: Path) -> SavedPlan:
    """Return the saved plan of a file.

    Raises:
        NeedsEdit: `usage`: the file is no saved plan of this version.
    """
    try:
        return _saved(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise NeedsEdit(
            "usage",
            f"{str(path)!r} is a file, but not a plan that this version saved",
            hint="name the source's folder; --target kind/name narrows what is applied",
        ) from None


def _saved(document: Any) -> SavedPlan:
    if document["formatVersion"] != PLAN_FORMAT_VERSION:
        raise ValueError("another format")
    digest, reading = document["digest"], document["reading"]
    location, ref, path = reading["location"], reading["ref"], reading["path"]
    texts = (digest, location, ref or "", path or "")
    if not all(isinstance(each, str) for each in texts):
        raise TypeError("not texts")
    plan_options = PlanOptions.from_json(document["asked"])
    return SavedPlan(SourceSetting(location, ref, path), digest, plan_options)
