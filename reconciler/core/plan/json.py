"""The plan as the JSON object of the contract, and the JSON Schema (draft 2020-12) of that.

`mosaic federation schema plan` prints the schema; a test holds real plans to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.json_document import json_value
from reconciler.core.model.scope import Effect
from reconciler.core.model.spec import Kind
from reconciler.core.plan.model import PLAN_FORMAT_VERSION, Action, NoteKind

if TYPE_CHECKING:
    from reconciler.core.model.spec import Desired
    from reconciler.core.plan.guard import Verdict
    from reconciler.core.plan.model import AnyChange, Plan


def plan_as_json(plan: Plan, verdict: Verdict, desired: Desired) -> dict[str, Any]:
    """Return the plan, the guard's word on it, and what it was made from."""
    return {
        "formatVersion": PLAN_FORMAT_VERSION,
        "digest": plan.digest,
        "source": {"path": desired.label, "revision": desired.revision, "dirty": desired.dirty},
        "changes": [_change(change) for change in plan.changes],
        "notes": json_value(plan.notes),
        "summary": plan.summary.as_json() | {"total": plan.summary.total},
        "guard": verdict.as_json(),
    }


def _change(change: AnyChange) -> dict[str, Any]:
    place = change.place
    return {
        "action": str(change.action),
        "kind": str(change.kind),
        "name": change.name,
        "path": place.path if place is not None else None,
        "line": place.line if place is not None else None,
        "reason": change.reason,
        "fields": [field.as_json() for field in change.fields],
        "certificates": json_value(change.certificates),
    }


_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_DIGEST: Final = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_TIME: Final = {"type": "string", "format": "date-time"}
_KIND: Final = {"enum": [str(each) for each in Kind]}


def plan_schema() -> dict[str, Any]:
    """Return the schema of what `plan --output json` prints, without its `$schema` and `$id`."""
    return {
        "title": "Plan",
        "description": "What an apply would do, in the order in which it would be done.",
        **_object(
            formatVersion={"const": PLAN_FORMAT_VERSION},
            digest=_DIGEST,
            source=_object(
                path=_TEXT, revision={"type": ["string", "null"]}, dirty={"type": "boolean"}
            ),
            changes=_list(_change_schema()),
            notes=_list(
                _object(
                    kind=_KIND,
                    name=_TEXT,
                    note={"enum": [str(each) for each in NoteKind]},
                    detail=_TEXT,
                    command=_TEXT,
                )
            ),
            summary=_object(
                **dict.fromkeys(
                    ("create", "update", "replace", "revoke", "unchanged", "total"), _COUNT
                )
            ),
            guard=_guard_schema(),
        ),
    }


def _change_schema() -> dict[str, Any]:
    return _object(
        action={"enum": [str(each) for each in Action]},
        kind=_KIND,
        name=_TEXT,
        path={"type": ["string", "null"], "description": "relative to the source"},
        line={"type": ["integer", "null"], "minimum": 1},
        reason=_TEXT,
        fields=_list(
            _object(
                path={"type": "string", "description": "relative to spec"},
                old={"description": "null: absent"},
                new={"description": "null: absent"},
                effect={"enum": [str(each) for each in Effect]},
            )
        ),
        certificates={
            "description": "the live ones that the change ends, withholds or narrows",
            **_list(
                _object(
                    serial={"type": "string", "pattern": "^[1-9a-f][0-9a-f]*$"},
                    peer=_TEXT,
                    notAfter=_TIME,
                )
            ),
        },
    )


def _guard_schema() -> dict[str, Any]:
    return _object(
        allowed={"type": "boolean"},
        removals=_COUNT,
        managed=_COUNT,
        percent={"type": "number", "minimum": 0, "maximum": 100},
        limitCount=_COUNT,
        limitPercent={"type": "number"},
        refusals=_list(_object(code=_TEXT, message=_TEXT, hint=_TEXT, objects=_list(_TEXT))),
    )


def _object(**properties: object) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}
